// The plugins as a runtime calls them: by exec, with the environment and the config of a call, in a sandbox. A
// test says only what is special about its call.
import { dirname } from "node:path";
import type { Printed } from "./printed.ts";
import { type Outcome, type Sandbox, WARREN } from "./sandbox.ts";

/** The folder of the executable and its links. */
export const PLUGIN_FOLDER = dirname(WARREN);

/** A network config as a test writes it. */
export type Config = Readonly<Record<string, unknown>>;

/** Which attachment a call is about. */
export interface Target {
  readonly containerId: string;
  /** The pod's namespace by its name in the sandbox, or a path. */
  readonly netns: string;
  readonly ifname?: string;
  /** CNI_ARGS. */
  readonly args?: string;
}

/** What a plugin answered; `document` is the JSON on standard output, or undefined if there was none. */
export interface Answer extends Outcome {
  readonly document: Printed;
}

/** Returns the variables of a call. */
export function variables(verb: string, target?: Target, path = PLUGIN_FOLDER): Record<string, string> {
  const netns = target?.netns ?? "";
  return {
    CNI_COMMAND: verb,
    CNI_PATH: path,
    ...(target === undefined
      ? {}
      : {
          CNI_CONTAINERID: target.containerId,
          CNI_NETNS: netns === "" || netns.includes("/") ? netns : `/run/netns/${netns}`,
          CNI_IFNAME: target.ifname ?? "eth0",
          CNI_ARGS: target.args ?? "",
        }),
  };
}

/** Calls a verb of the plugin that `config.type` names, found in `path`. */
export async function call(
  host: Sandbox,
  verb: string,
  config: Config,
  target?: Target,
  path = PLUGIN_FOLDER,
): Promise<Answer> {
  const folder = path.split(":").find((one) => Bun.file(`${one}/${config.type}`).size > 0) ?? path;
  const outcome = await host.run([`${folder}/${config.type}`], {
    env: variables(verb, target, path),
    stdin: JSON.stringify(config),
  });
  return { ...outcome, document: outcome.stdout === "" ? undefined : JSON.parse(outcome.stdout) };
}

/** Calls a verb that must succeed and returns the document; throws with the plugin's own words. */
export async function succeed(
  host: Sandbox,
  verb: string,
  config: Config,
  target?: Target,
  path = PLUGIN_FOLDER,
): Promise<Answer> {
  const answer = await call(host, verb, config, target, path);
  if (answer.exitCode === 0) return answer;
  throw new Error(`${verb} failed: ${answer.stdout}${answer.stderr}`);
}

/** Returns the leases in the store of a sandbox, as `warren leases --json` shows them. */
export async function leases(host: Sandbox, dataDir: string): Promise<Record<string, string>[]> {
  const { exitCode, stdout } = await host.run([WARREN, "leases", "--json", "--data-dir", dataDir]);
  return exitCode === 0 ? JSON.parse(stdout) : [];
}

/** Returns the names of the host's interfaces besides the loopback. */
export async function linkNames(host: Sandbox): Promise<string[]> {
  const links = (await host.json(["ip", "-json", "link"])) as { ifname: string }[];
  return links.map(({ ifname }) => ifname).filter((name) => name !== "lo");
}

/** Returns the rule set of the host in nft's own words, without tables that are empty. */
export async function ruleset(host: Sandbox): Promise<string> {
  const text = await host.text(["nft", "list", "ruleset"]);
  return text.replace(/table inet warren \{\s*\}\s*/, "").trim();
}
