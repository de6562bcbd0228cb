// The rules for names that come from outside: container ids, network names, interface names. They end up in
// file names, nf_tables names and kernel objects, so nothing else is let in (libcni pkg/utils/utils.go).
import { CniError, ErrorCode } from "./error.ts";
import { shown } from "./input.ts";

/** The longest interface name, in bytes: IFNAMSIZ less the NUL (linux/if.h). */
export const LONGEST_INTERFACE_NAME = 15;

function isLetterOrDigit(code: number): boolean {
  return (code >= 0x30 && code <= 0x39) || (code >= 0x41 && code <= 0x5a) || (code >= 0x61 && code <= 0x7a);
}

/** True if `name` may be a container id or a network name: a letter or digit, then those and `_`, `.`, `-`. */
export function isLegalName(name: string): boolean {
  if (name === "" || !isLetterOrDigit(name.charCodeAt(0))) return false;
  for (let index = 1; index < name.length; index++) {
    const code = name.charCodeAt(index);
    if (!isLetterOrDigit(code) && code !== 0x5f && code !== 0x2e && code !== 0x2d) return false;
  }
  return true;
}

/** Throws CniError 4 unless `containerId` is legal. */
export function checkContainerId(containerId: string): void {
  if (!isLegalName(containerId)) {
    throw new CniError(ErrorCode.invalidEnvironment, "invalid characters in containerID", shown(containerId));
  }
}

/** Throws CniError 7 unless `name` is a legal network name. */
export function checkNetworkName(name: string): void {
  if (name === "") throw new CniError(ErrorCode.invalidConfig, "missing network name");
  if (!isLegalName(name)) {
    throw new CniError(ErrorCode.invalidConfig, "invalid characters found in network name", shown(name));
  }
}

/** Returns why `name` can't be an interface name, or undefined if it can. */
export function interfaceNameProblem(
  name: string,
): { readonly message: string; readonly details: string } | undefined {
  if (name === "") return { message: "interface name is empty", details: "" };
  // the kernel and the store would each have another name in its place (JSON lets half a pair of surrogates through)
  if (!name.isWellFormed()) return { message: "interface name is no Unicode text", details: shown(name) };
  if (new TextEncoder().encode(name).length > LONGEST_INTERFACE_NAME) {
    return {
      message: "interface name is too long",
      details: `interface name should be less than 16 characters, got ${shown(name)}`,
    };
  }
  if (name === "." || name === "..") return { message: "interface name is . or ..", details: shown(name) };
  if (name.includes("%")) {
    // the kernel would put a number in its place, and another one with every call (dev_alloc_name)
    return { message: "interface name contains %", details: shown(name) };
  }
  for (const character of name) {
    if (character === "/" || character === ":" || character.trim() === "" || character === "\0") {
      return { message: "interface name contains / or : or whitespace characters", details: shown(name) };
    }
  }
  return undefined;
}

/** Throws CniError 4 unless `name` is a legal CNI_IFNAME. */
export function checkInterfaceName(name: string): void {
  const problem = interfaceNameProblem(name);
  if (problem !== undefined)
    throw new CniError(ErrorCode.invalidEnvironment, problem.message, problem.details);
}
