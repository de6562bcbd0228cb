// The versions of the CNI specification: which ones Warren speaks, how they compare, and which verb came when.

/** Every version that Warren speaks, oldest first. */
export const SUPPORTED_VERSIONS = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] as const;

/** A version that Warren speaks. */
export type CniVersion = (typeof SUPPORTED_VERSIONS)[number];

/** The newest version: what VERSION answers with, and the shape that results have inside Warren. */
export const CURRENT_VERSION: CniVersion = "1.1.0";

/** Returns what VERSION is answered with, by every plugin. */
export function versionAnswer(): string {
  return `${JSON.stringify({ cniVersion: CURRENT_VERSION, supportedVersions: SUPPORTED_VERSIONS })}\n`;
}

/** True if Warren speaks `version`. */
export function isSupportedVersion(version: string): version is CniVersion {
  return SUPPORTED_VERSIONS.some((supported) => supported === version);
}

function isDecimal(text: string): boolean {
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code < 0x30 || code > 0x39) return false;
  }
  return text !== "";
}

/**
 * Returns the numbers in a version string, missing ones 0, as libcni reads them (pkg/version/plugin.go):
 * `"1.1"` is 1.1.0. Undefined if it is no version.
 */
export function parseVersion(version: string): readonly [number, number, number] | undefined {
  const parts = version.split(".");
  if (parts.length > 3) return undefined;
  const numbers: number[] = [];
  for (const part of parts) {
    if (!isDecimal(part)) return undefined;
    numbers.push(Number(part));
  }
  const [major = 0, minor = 0, patch = 0] = numbers;
  return [major, minor, patch];
}

/** Returns a negative number, 0 or a positive one as `left` is older than, equal to or newer than `right`. */
export function compareVersions(left: string, right: string): number {
  const leftNumbers = parseVersion(left) ?? [0, 0, 0];
  const rightNumbers = parseVersion(right) ?? [0, 0, 0];
  for (const [index, number] of leftNumbers.entries()) {
    const difference = number - (rightNumbers[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** The verbs of the specification, as CNI_COMMAND spells them. */
export const VERBS = ["ADD", "DEL", "CHECK", "STATUS", "GC", "VERSION"] as const;

/** One of the verbs. */
export type Verb = (typeof VERBS)[number];

/** True if `command` is a verb that some version of the specification has. */
export function isVerb(command: string): command is Verb {
  return VERBS.some((verb) => verb === command);
}

const INTRODUCED: Readonly<Partial<Record<Verb, CniVersion>>> = {
  CHECK: "0.4.0",
  STATUS: "1.1.0",
  GC: "1.1.0",
};

/** True if a config of this version may be used with the verb: CHECK came with 0.4.0, STATUS and GC with 1.1.0. */
export function versionAllows(version: string, verb: Verb): boolean {
  const introduced = INTRODUCED[verb];
  return introduced === undefined || compareVersions(version, introduced) >= 0;
}
