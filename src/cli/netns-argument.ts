// What a NETNS argument of the operator's tool may be: a name under /var/run/netns, a path, a process by `pid:NUMBER`, or a
// container by the engine that runs it: `podman:NAME`, `docker:NAME`, `ctr:NAME`, `ctr:NAMESPACE/NAME`.
import { resolve } from "node:path";
import { CniError, ErrorCode } from "../cni/error.ts";
import { shown } from "../cni/input.ts";
import { isLegalName } from "../cni/names.ts";
import type { Labels } from "../conflist/labels.ts";
import { netnsPath } from "../net/netns.ts";
import { statName } from "../sys/files.ts";
import { UsageError } from "./command.ts";
import { ENGINES, type Engine, runningContainer } from "./container-engine.ts";

/** What an argument means, before anybody is asked. */
export type NetnsReference =
  | { readonly kind: "path"; readonly path: string }
  | { readonly kind: "process"; readonly pid: number }
  | { readonly kind: "container"; readonly engine: Engine; readonly name: string };

/** For the descriptions of arguments. */
export const NETNS_FORMS =
  "a name under /var/run/netns, a path, pid:NUMBER, podman:NAME, docker:NAME or ctr:NAME";

/** Returns what the argument means; throws UsageError for a process or a container that can't be meant. */
export function netnsReference(argument: string): NetnsReference {
  const colon = argument.indexOf(":");
  const scheme = colon < 0 ? "" : argument.slice(0, colon);
  const name = argument.slice(colon + 1);
  if (scheme === "pid") {
    if (/^[1-9]\d{0,9}$/.test(name)) return { kind: "process", pid: Number(name) };
    throw new UsageError(`${shown(argument)}: expected pid: and the number of a process`);
  }
  const engine = ENGINES.find((one) => one === scheme);
  if (engine === undefined) {
    const path = resolve(netnsPath(argument));
    if (argument === "" || path.includes("\0"))
      throw new UsageError(`${shown(argument)} is no network namespace`);
    return { kind: "path", path };
  }
  const parts = name.split("/");
  if (parts.length <= (engine === "ctr" ? 2 : 1) && parts.every(isLegalName))
    return { kind: "container", engine, name };
  throw new UsageError(`${shown(argument)}: expected ${engine}: and the name or id of a container`);
}

/** True if the argument means a process or a container, so that a slash or colon in it is none of a path. */
export function namesProcess(argument: string): boolean {
  return ["pid", ...ENGINES].includes(argument.slice(0, Math.max(0, argument.indexOf(":"))));
}

/** A network namespace that is there, or may be: only a path is not looked at. */
export interface FoundNetns {
  readonly path: string;
  /** Those that the engine gave the container. */
  readonly labels: Labels;
}

/**
 * Returns the namespace that the argument names. Throws UsageError as netnsReference, and CniError 8 for a process that is
 * not there and a container that is not running.
 */
export function findNetns(argument: string): FoundNetns {
  const reference = netnsReference(argument);
  switch (reference.kind) {
    case "path":
      return { path: reference.path, labels: {} };
    case "process":
      return { path: pathOfProcess(reference.pid, `process ${reference.pid}`), labels: {} };
    case "container": {
      const { pid, labels } = runningContainer(reference.engine, reference.name);
      return { path: pathOfProcess(pid, `process ${pid} of container ${argument}`), labels };
    }
  }
}

function pathOfProcess(pid: number, what: string): string {
  if (statName(`/proc/${pid}`) !== undefined) return `/proc/${pid}/ns/net`;
  throw new CniError(
    ErrorCode.invalidNetns,
    `there is no ${what}`,
    "it may have ended, or be hidden by /proc",
  );
}
