// kill -9 at every step of the calls about the second pod of a link on one node: the call that touches two pods. What was
// there before the second pod is there again, in both pods, the first one waits, and the next pod is linked to it.
import { describe, expect } from "bun:test";
import { type Config, call, type Target } from "../support/plugins.ts";
import { Sandbox, testWith, WARREN } from "../support/sandbox.ts";
import { seenLink } from "../support/witness.ts";
import { IS_FULL, sample } from "./extent.ts";
import { problemsOf } from "./ordeal.ts";
import { type Remains, remains } from "./remains.ts";
import { validList } from "./scenes.ts";
import { haltAt, killAt, type PluginRun, recordSteps, type Step, strace } from "./steps.ts";

const LINK = {
  "warren.pair": "",
  "warren.pair.pod_name": "one",
  "warren.pair.primary": "true",
  "warren.pair.local_ip": "192.168.2.100/24,fd00:2::1/64",
  "warren.pair.local_ifname": "in1",
  "warren.pair.pair_name": "two",
  "warren.pair.pair_ip": "192.168.2.101/24,fd00:2::2/64",
  "warren.pair.pair_ifname": "in2",
  "warren.pair.mirror": "mirror:both:eth0",
  "warren.pair.routes": "198.51.100.0/24 via 192.168.2.101",
};
const ONE: Target = { containerId: "pod-1", netns: "pod1" };
const TWO: Target = { containerId: "pod-2", netns: "pod2" };

type Verb = "ADD" | "DEL" | "GC";

/** A host on which the first pod waits. */
class Pair implements AsyncDisposable {
  private constructor(readonly sandbox: Sandbox) {}

  static async create(): Promise<Pair> {
    const pair = new Pair(await Sandbox.create());
    for (const pod of ["pod1", "pod2"]) await pair.sandbox.addNetns(pod);
    await pair.succeed("ADD", ONE);
    return pair;
  }

  config(target: Target | undefined, more: Config = {}): Config {
    const dataDir = `${this.sandbox.directory}/store`;
    const ipam = { type: "warren-ipam", dataDir, subnet: "10.88.0.0/16" };
    const labels = target === ONE ? LINK : { "warren.pair": "", "warren.pair.pod_name": "two" };
    return {
      ...{ cniVersion: "1.1.0", name: "lab", type: "warren-pair", dataDir },
      boot_network: { type: "warren-bridge", bridge: "br0", dataDir, ipam },
      args: { cni: { labels } },
      ...more,
    };
  }

  async succeed(verb: string, target: Target | undefined, more: Config = {}): Promise<unknown> {
    const { exitCode, stdout, stderr, document } = await call(
      this.sandbox,
      verb,
      this.config(target, more),
      target,
    );
    if (exitCode !== 0) throw new Error(`${verb}: ${stdout}${stderr}`);
    return document;
  }

  /** What is there, but for the number of the link, which is given back while it waits. */
  async seen(): Promise<Remains> {
    const seen = await remains(this.sandbox, `${this.sandbox.directory}/store`, ["pod1", "pod2"]);
    const rows = seen.rows.pairLinks?.map((row) => row.replace(/"vni":\w+/, ""));
    return { ...seen, rows: { ...seen.rows, pairLinks: rows ?? [] } };
  }

  /** The call that is killed, after what has to be there for it. */
  async lead(verb: Verb): Promise<PluginRun> {
    if (verb !== "ADD") await this.succeed("ADD", TWO);
    return verb === "GC"
      ? { verb, config: this.config(undefined, validList([ONE])) }
      : { verb, config: this.config(TWO), target: TWO };
  }

  /** Clears up, and expects the state before; then links the next pod, and takes both away. */
  async recover(cure: "DEL" | "GC", waiting: Remains): Promise<void> {
    if (cure === "DEL") await this.succeed("DEL", TWO);
    else await this.succeed("GC", undefined, validList([ONE]));
    expect(await this.seen()).toEqual(waiting);
    const prevResult = await this.succeed("ADD", TWO);
    await this.succeed("CHECK", TWO, { prevResult });
    expect(await seenLink(this.sandbox, "in1", "pod1")).toMatchObject({ operstate: "UP" });
    await this.succeed("DEL", ONE);
    await this.succeed("DEL", TWO);
    expect(Object.values((await this.seen()).rows).flat()).toEqual([]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.sandbox[Symbol.asyncDispose]();
  }
}

async function stepsOf(verb: Verb): Promise<Step[]> {
  await using pair = await Pair.create();
  const { outcome, steps } = await recordSteps(pair.sandbox, await pair.lead(verb));
  expect(outcome).toMatchObject({ exitCode: 0 });
  return IS_FULL ? steps : steps.filter(({ looksOnly }) => !looksOnly);
}

async function kill(verb: Verb, step: Step, cure: "DEL" | "GC"): Promise<void> {
  await using pair = await Pair.create();
  const waiting = await pair.seen();
  await killAt(pair.sandbox, await pair.lead(verb), step);
  await pair.recover(cure, waiting);
}

/** The other pod's namespace goes while the call is at work. */
async function lose(step: Step): Promise<void> {
  await using pair = await Pair.create();
  const run = await pair.lead("ADD");
  const outcome = await haltAt(pair.sandbox, run, step, async () => {
    await pair.sandbox.text(["ip", "netns", "del", "pod1"]);
  });
  if (outcome.exitCode !== 0) expect(JSON.parse(outcome.stdout)).toMatchObject({ code: expect.any(Number) });
  await pair.succeed("DEL", ONE);
  await pair.succeed("DEL", TWO);
  await pair.sandbox.addNetns("pod1");
  expect(Object.values((await pair.seen()).rows).flat()).toEqual([]);
  expect(await seenLink(pair.sandbox, "in2", "pod2")).toBeUndefined();
}

/** A waiting pod whose partner was announced at another node: the next STATUS makes its end. */
async function announced(): Promise<{ readonly pair: Pair; readonly status: PluginRun }> {
  const pair = await Pair.create();
  const { sandbox } = pair;
  await sandbox.text(["ip", "link", "add", "up0", "type", "veth", "peer", "up1"]);
  await sandbox.text(["ip", "addr", "add", "10.0.0.1/24", "dev", "up0"]);
  const where = ["--parent-address", "10.0.0.2", "--data-dir", `${sandbox.directory}/store`];
  await sandbox.text([WARREN, "announce", "lab", "two", ...where]);
  return { pair, status: { verb: "STATUS", config: pair.config(undefined, { parent_interface: "up0" }) } };
}

async function stepsOfStatus(): Promise<Step[]> {
  const { pair, status } = await announced();
  await using _ = pair;
  const { outcome, steps } = await recordSteps(pair.sandbox, status);
  expect(outcome).toMatchObject({ exitCode: 0, stderr: expect.stringContaining("made the link") });
  return steps.filter(({ looksOnly }) => !looksOnly);
}

/** No DEL comes after a STATUS, so the next one has to find what the killed one has not done. */
async function killStatus(step: Step): Promise<void> {
  const { pair, status } = await announced();
  await using _ = pair;
  await killAt(pair.sandbox, status, step);
  await pair.succeed("STATUS", undefined, { parent_interface: "up0" });
  expect(await seenLink(pair.sandbox, "in1", "pod1")).toMatchObject({
    flags: expect.arrayContaining(["UP"]),
    linkinfo: { info_kind: "vxlan", info_data: { remote: "10.0.0.2" } },
  });
  const store = `${pair.sandbox.directory}/store`;
  const links = await pair.sandbox.json([WARREN, "links", "--json", "--data-dir", store]);
  expect(links).toMatchObject([{ state: "up", kind: "vxlan", reason: "" }]);
  await pair.succeed("DEL", ONE);
  expect(await seenLink(pair.sandbox, "in1", "pod1")).toBeUndefined();
}

const withStrace = testWith(strace);

describe("the second pod of a link", () => {
  for (const verb of ["ADD", "DEL", "GC"] as const) {
    withStrace(
      `X-12 killed at any step of ${verb}: the first pod waits, and the next one is linked to it`,
      async () => {
        const trials = sample(await stepsOf(verb), 2).flatMap((step) =>
          sample(["DEL", "GC"] as const, 1).map((cure) => ({
            what: `killed, then ${cure}, before`,
            step,
            endure: (at: Step) => kill(verb, at, cure),
          })),
        );
        expect(await problemsOf(trials)).toBe("");
      },
      3_600_000,
    );
  }

  withStrace(
    "the first pod's namespace goes at any step of ADD: the call ends by itself, and nothing is left",
    async () => {
      const steps = (await stepsOf("ADD")).filter(({ call: name }) => name !== "exit_group");
      const trials = sample(steps, 2).map((step) => ({
        what: "first pod gone after",
        step,
        endure: lose,
      }));
      expect(await problemsOf(trials)).toBe("");
    },
    3_600_000,
  );

  withStrace(
    "killed at any step of a STATUS that makes a missing end: the next STATUS makes it",
    async () => {
      // what writes the store is rolled back; the kernel is not
      const steps = (await stepsOfStatus()).filter((step) => IS_FULL || step.call === "sendto");
      const trials = sample(steps, 2).map((step) => ({
        what: "killed before",
        step,
        endure: killStatus,
      }));
      expect(await problemsOf(trials)).toBe("");
    },
    3_600_000,
  );
});
