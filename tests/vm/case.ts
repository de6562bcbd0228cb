// What a case in the virtual machine is, and what cases have in common: networks to attach pods to, a walk through
// every verb of a chain, and what may be seen of a host afterwards.
import { Database } from "bun:sqlite";
import { existsSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { type Config, call, linkNames, ruleset, succeed, type Target } from "../support/plugins.ts";
import type { Printed } from "../support/printed.ts";
import type { Sandbox } from "../support/sandbox.ts";

/** One case: what it shows, and how. It fails by throwing. */
export interface Case {
  readonly name: string;
  /** True if it compares with the reference plugins, or the name of the one that it needs. */
  readonly comparesWithReference?: boolean | string;
  /** True if it needs a PostgreSQL server in the machine. */
  readonly needsDatabase?: boolean;
  /** True if nothing else may run meanwhile, `first` if nothing else may have run before. */
  readonly alone?: boolean | "first";
  /** Runs it on a throwaway host of its own. */
  run(host: Sandbox): Promise<void>;
}

/** Where the reference plugins are in the machine. */
export const REFERENCE_FOLDER = "/opt/reference";

/** Throws unless both are deeply equal; `what` says where, if a case compares more than once. */
export function same(actual: unknown, expected: unknown, what = ""): void {
  if (isDeepStrictEqual(actual, expected)) return;
  const where = what === "" ? "" : `${what}: `;
  throw new Error(`${where}expected ${JSON.stringify(expected)}, got ${JSON.stringify(actual)}`);
}

/** Throws unless all of it is in `actual`. */
export function holds(actual: unknown, expected: Readonly<Record<string, unknown>>, what = ""): void {
  const picked = Object.fromEntries(
    Object.keys(expected).map((key) => [key, (actual as Printed | undefined)?.[key]]),
  );
  same(picked, expected, what);
}

/** The directory of the store that the networks of a host share. */
export function dataDirOf(host: Sandbox): string {
  return `${host.directory}/store`;
}

export const IPV4 = { subnet: "10.88.0.0/16" };
export const IPV6 = { subnet: "fd00:88::/64" };

/** Returns the config of a plugin of network `lab`, with addresses in both families unless `ipam` says otherwise. */
export function network(host: Sandbox, type: string, more: Config = {}): Config {
  return {
    cniVersion: "1.1.0",
    name: "lab",
    type,
    dataDir: dataDirOf(host),
    ipam: { type: "warren-ipam", ranges: [[IPV4], [IPV6]], dataDir: dataDirOf(host) },
    ...more,
  };
}

/** Returns the config of a plugin that stands behind another one in the list of network `lab`. */
export function chained(host: Sandbox, type: string, more: Config = {}): Config {
  return { cniVersion: "1.1.0", name: "lab", type, dataDir: dataDirOf(host), ...more };
}

/** Returns a pod with a namespace of its own, both called `name`. */
export async function pod(host: Sandbox, name: string): Promise<Target> {
  await host.addNetns(name);
  return { containerId: name, netns: name };
}

/** Adds a pod by all plugins of a chain, as a runtime does; returns the last result. */
export async function add(host: Sandbox, chain: readonly Config[], target: Target): Promise<Printed> {
  let result: Printed;
  for (const config of chain) {
    const previous = result === undefined ? {} : { prevResult: result };
    result = (await succeed(host, "ADD", { ...config, ...previous }, target)).document;
  }
  return result;
}

/** Takes a pod off all plugins of a chain, the last one first. */
export async function remove(host: Sandbox, chain: readonly Config[], target: Target): Promise<void> {
  for (const config of chain.toReversed()) await succeed(host, "DEL", config, target);
}

/** Calls GC of all plugins of a chain with no attachment left. */
export async function collect(host: Sandbox, chain: readonly Config[]): Promise<void> {
  for (const config of chain) await succeed(host, "GC", { ...config, "cni.dev/valid-attachments": [] });
}

/** Returns what there is of networks on a host and in a pod's namespace, in its kernel and in its store. */
export async function traces(host: Sandbox, { netns }: Pick<Target, "netns">): Promise<Printed> {
  const [links, inside, rules] = await Promise.all([
    linkNames(host),
    host.json(["ip", "-netns", netns, "-json", "link"]),
    // without nf_tables there are no rules
    ruleset(host).catch(() => ""),
  ]);
  return {
    links,
    inside: (inside as { ifname: string }[]).map(({ ifname }) => ifname).filter((name) => name !== "lo"),
    rules,
    store: storeContent(dataDirOf(host)),
  };
}

/** Returns whose the leases and the entries of a store are; nobody's where there is none. */
function storeContent(dataDir: string): string[] {
  const path = `${dataDir}/warren.db`;
  if (!existsSync(path)) return [];
  using store = new Database(path);
  const rows = (query: string) =>
    store
      .query(query)
      .values()
      .map((row) => row.join(" "));
  return [
    ...rows("SELECT network, container_id, ifname FROM leases ORDER BY 1, 2, 3"),
    ...rows("SELECT plugin, network, container_id, ifname FROM attachments ORDER BY 1, 2, 3, 4"),
  ];
}

/**
 * Takes a pod through every verb of a chain: STATUS, ADD, CHECK, whatever `look` looks at, DEL and GC. Fails unless
 * the host is then as it was, but for what `remains` names.
 */
export async function walk(
  host: Sandbox,
  chain: readonly Config[],
  options: {
    readonly target?: Target;
    readonly look?: (result: Printed, target: Target) => Promise<void>;
    readonly remains?: Readonly<Record<string, unknown>>;
  } = {},
): Promise<void> {
  const target = options.target ?? (await pod(host, "pod"));
  const before = await traces(host, target);
  for (const config of chain) await succeed(host, "STATUS", config);
  const result = await add(host, chain, target);
  for (const config of chain) await succeed(host, "CHECK", { ...config, prevResult: result }, target);
  await options.look?.(result, target);
  await remove(host, chain, target);
  await collect(host, chain);
  same(await traces(host, target), { ...before, ...options.remains }, "what is left");
}

/** Runs lines of ip's own batch language on the host or, if told, in a namespace: busybox would run its own ip. */
export async function ip(host: Sandbox, lines: readonly string[], netns?: string): Promise<void> {
  const where = netns === undefined ? [] : ["-netns", netns];
  await host.text(["ip", ...where, "-batch", "-"], { stdin: lines.join("\n") });
}

/** True if an address answers a pod or, without one, the host. */
export async function answers(host: Sandbox, address: string, from?: string): Promise<boolean> {
  // busybox starts in a tenth of the time that ip takes
  const where = from === undefined ? [] : ["/bin/busybox", "nsenter", `--net=/run/netns/${from}`, "--"];
  return (await host.run([...where, "ping", "-c", "1", "-W", "3", address])).exitCode === 0;
}

/** Returns the code and the message that a call was refused with; fails if it was not. */
export async function refusal(
  host: Sandbox,
  verb: string,
  config: Config,
  target?: Target,
): Promise<{ readonly code: number; readonly msg: string; readonly details: string }> {
  const { exitCode, document } = await call(host, verb, config, target);
  if (exitCode !== 0) return document;
  throw new Error(`${verb} of ${config.type} succeeded: ${JSON.stringify(document)}`);
}
