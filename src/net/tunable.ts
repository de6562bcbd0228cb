// A tunable: a setting of the network under /proc/sys/net by the key that sysctl(8) has for it, as an operator
// writes it into a config. Keys are resolved to paths that can't lead anywhere else, and what the kernel says to a
// value is told apart: there is no such setting, or it does not take the value.
import { readText } from "../sys/files.ts";
import { isSystemError } from "../sys/libc.ts";
import { readSetting, writeSetting } from "./sysctl.ts";

/** Stands for the container's interface in a key. */
const PLACEHOLDER = "IFNAME";
/** The interface that every namespace has. */
const LOOPBACK = "lo";
/** Folders with a folder for each interface: `ipv4/conf/eth0`, `ipv6/neigh/eth0`. */
const PER_INTERFACE = ["conf", "neigh"];

/** A key that names no setting of the network. */
export class TunableKeyError extends Error {
  override readonly name = "TunableKeyError";
}

/**
 * Returns the path of a key below /proc/sys/net, such as `ipv4/conf/eth0/arp_notify`: dots are slashes, and IFNAME,
 * replaced after that, is the interface, whose own dots stay. Throws TunableKeyError.
 */
export function tunablePath(key: string, ifname: string): string {
  const path = key.replaceAll(".", "/").replace(PLACEHOLDER, () => ifname);
  const parts = path.split("/").filter((part) => part !== "");
  const leaves = parts.some((part) => part === "." || part === ".." || part.includes("\0"));
  if (parts[0] !== "net" || parts.length < 2 || leaves) {
    throw new TunableKeyError(`invalid net sysctl key: ${JSON.stringify(path)}`);
  }
  return parts.slice(1).join("/");
}

/** True if the key is about the container's interface, whatever that is called. */
export function isOfInterface(key: string): boolean {
  return key.includes(PLACEHOLDER);
}

/** Returns the path under which a namespace without the interface has a setting like that of `key`. */
export function rehearsedPath(key: string): string {
  const parts = tunablePath(key, LOOPBACK).split("/");
  if (parts.length > 3 && PER_INTERFACE.includes(parts[1] ?? "")) {
    // an interface's name may have been split at its dots
    return [parts[0], parts[1], LOOPBACK, parts.at(-1)].join("/");
  }
  return parts.join("/");
}

/** Why a setting can't be read or written. */
export type TunableProblem = "missing" | "a directory" | "refused" | "not writable";

/** A setting that the kernel does not have, or a value that it does not take. */
export class TunableError extends Error {
  override readonly name = "TunableError";

  constructor(
    readonly path: string,
    readonly problem: TunableProblem,
    options?: { readonly cause?: unknown },
  ) {
    super(`/proc/sys/net/${path}: ${problem}`, options);
  }
}

function explained(path: string, error: unknown): unknown {
  if (isSystemError(error, "ENOENT", "ENOTDIR")) return new TunableError(path, "missing", { cause: error });
  if (isSystemError(error, "EISDIR")) return new TunableError(path, "a directory", { cause: error });
  if (isSystemError(error, "EINVAL", "ERANGE", "EBUSY"))
    return new TunableError(path, "refused", { cause: error });
  if (isSystemError(error, "EACCES", "EPERM", "EROFS"))
    return new TunableError(path, "not writable", { cause: error });
  return error;
}

/**
 * Returns the value in the thread's namespace, or undefined for a setting that can only be written, or that has no value
 * yet (stable_secret). Throws TunableError for one that is not there.
 */
export function readTunable(path: string): string | undefined {
  try {
    const value = readSetting(path);
    if (value === undefined) throw new TunableError(path, "missing");
    return value;
  } catch (error) {
    if (isSystemError(error, "EACCES", "EPERM", "EIO")) return undefined;
    throw explained(path, error);
  }
}

/** Writes a value in the thread's namespace; throws TunableError. */
export function writeTunable(path: string, value: string): void {
  try {
    writeSetting(path, value);
  } catch (error) {
    throw explained(path, error);
  }
}

/**
 * True if both are the same to the kernel as far as spaces and the base of numbers go; what it makes of a list can only
 * be known by letting it.
 */
export function isSameValue(one: string, other: string): boolean {
  return normal(one) === normal(other);
}

function normal(value: string): string {
  return value
    .trim()
    .split(/\s+/)
    .map((word) => {
      // a zero in front is octal to it, and not to JavaScript
      const number = Number(/^0[0-7]+$/.test(word) ? `0o${word}` : word);
      return word !== "" && Number.isInteger(number) ? String(number) : word;
    })
    .join(" ");
}

const ALLOWLIST = "/etc/cni/tuning/allowlist.conf";

/** Returns the host's list of expressions for keys that may be set, or undefined if it has none: then all may. */
export function readAllowlist(): readonly string[] | undefined {
  try {
    return readText(ALLOWLIST)
      .split("\n")
      .map((line) => line.trim())
      .filter((line) => line !== "");
  } catch (error) {
    if (isSystemError(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
}

/** True if one of the expressions matches somewhere in the key; throws SyntaxError for one that is none. */
export function isAllowed(key: string, allowlist: readonly string[]): boolean {
  return allowlist.some((expression) => new RegExp(expression).test(key));
}
