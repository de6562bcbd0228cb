// The stage of a lab: commands are shown, run as processes of their own and their answers shown, so that what a reader
// sees is what happened. What a story promises is demanded, and a promise that isn't kept ends the lab.
import { readdirSync } from "node:fs";
import * as v from "valibot";
import { NETNS_DIRECTORY } from "../../net/netns.ts";
import { containerIdOf } from "../settings.ts";
import { Narrator } from "./narrator.ts";
import { NETWORK } from "./sandbox.ts";

/** A step that did not give what it should. */
export class StepError extends Error {
  override readonly name = "StepError";
}

/** Throws StepError, saying what was expected, unless `holds`. */
export function demand(holds: boolean, expected: string): void {
  if (!holds) throw new StepError(`expected ${expected}`);
}

/** The command line that lists the network's leases. */
export const LEASES = `warren leases ${NETWORK.name} --data-dir ${NETWORK.dataDir}`;

/** What a command answered. */
export interface Answer {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

const resultSchema = v.object({ ips: v.array(v.object({ address: v.string() })) });
const leasesSchema = v.array(v.object({ address: v.string(), container: v.string(), since: v.string() }));

/** Leases as `warren leases --json` tells them. */
export type Leases = v.InferOutput<typeof leasesSchema>;

/** A narrator whose commands happen. */
export class Stage extends Narrator {
  #running: Bun.Subprocess | undefined;

  /**
   * Shows a command line, runs it, shows its answer and returns it. The line has no quotes and may begin with a
   * variable. Throws StepError unless it ends with `exitCode`.
   */
  async show(line: string, exitCode = 0): Promise<Answer> {
    this.command(line);
    const answer = await this.#run(line);
    const text = answer.stdout + answer.stderr;
    if (text !== "") this.output(text);
    if (exitCode !== 0) this.aside(`exit code ${answer.exitCode}`);
    demand(answer.exitCode === exitCode, `exit code ${exitCode} of: ${line}; it was ${answer.exitCode}`);
    return answer;
  }

  /**
   * As `show`, of an ADD's result only the line with the address, and what `rest` says of the others. Throws StepError
   * unless it is `address`.
   */
  async showAddress(line: string, address: string, rest = "are like those of pod1"): Promise<void> {
    this.command(line);
    const { exitCode, stdout, stderr } = await this.#run(line);
    const lines = stdout.trimEnd().split("\n");
    const [found, ...others] = lines.filter((one) => one.includes('"address": '));
    if (exitCode !== 0 || found === undefined || others.length > 0) this.output(stdout + stderr);
    else {
      this.output(found);
      this.aside(`the other ${lines.length - 1} lines ${rest}`);
    }
    demand(exitCode === 0, `exit code 0 of: ${line}; it was ${exitCode}`);
    demandAddress(stdout, address);
  }

  /** Returns the leases as they are now, without showing anything. */
  async leases(): Promise<Leases> {
    const { stdout } = await this.#run(`${LEASES} --json`);
    return v.parse(leasesSchema, JSON.parse(stdout));
  }

  /** Throws StepError unless exactly these pods hold an address. */
  async demandHolders(...pods: readonly string[]): Promise<void> {
    const holders = (await this.leases()).map(({ container }) => container).sort();
    const wanted = pods.map(containerIdOf).sort();
    const spelled = [pods, holders].map((names) => names.join(", ") || "nobody");
    demand(Bun.deepEquals(holders, wanted), `leases of ${spelled.join(", not ")}`);
  }

  /** Ends the command that runs at the moment, and what it has started. */
  stop(): void {
    if (this.#running?.exitCode !== null) return;
    try {
      process.kill(-this.#running.pid, "SIGKILL");
    } catch {
      // it ended by itself at this moment
    }
  }

  async #run(line: string): Promise<Answer> {
    const words = line.split(" ");
    const [name = "", value] = words[0]?.split(/=(.*)/s) ?? [];
    const child = Bun.spawn(value === undefined ? words : words.slice(1), {
      env: value === undefined ? process.env : { ...process.env, [name]: value },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      // out of reach of the terminal's Ctrl-C: a command that died of it would pass for a step that failed
      detached: true,
    });
    this.#running = child;
    const [stdout, stderr] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ]);
    return { exitCode: await child.exited, stdout, stderr };
  }
}

/** Throws StepError unless the first address of an ADD's result is `address`. */
export function demandAddress(result: string, address: string): void {
  const first = v.parse(resultSchema, JSON.parse(result)).ips[0]?.address;
  demand(first === address, `the address ${address}, not ${first}`);
}

/** Shows and demands that a network on the bridge lab0 has left nothing but the bridge. */
export async function demandNothingLeft(stage: Stage, network: string): Promise<void> {
  const leases = await stage.show(`warren leases ${network}`);
  demand(leases.stdout === "no leases\n", "no lease");
  const left = await stage.show(`warren lab inventory ${network}`);
  demand(left.stdout === "interfaces:  lo, lab0\nnft chains:  none\n", "nothing but lo and the bridge");
  demand(readdirSync(NETNS_DIRECTORY).length === 0, "no namespace");
  stage.confirm("nothing is left, and the sandbox itself ends with this lab");
}
