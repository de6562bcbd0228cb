// Kernel settings under /proc/sys/net. The files show the namespace of the thread that opens them, so settings
// of a container are written inside its namespace (inNetns).
import { readText, statFile, writeText } from "../sys/files.ts";
import { isSystemError } from "../sys/libc.ts";

const ROOT = "/proc/sys/net";

/** Returns a setting, such as `ipv4/ip_forward`; undefined where the kernel has none. Throws SystemError. */
export function readSetting(name: string): string | undefined {
  try {
    return readText(`${ROOT}/${name}`).trim();
  } catch (error) {
    if (isSystemError(error, "ENOENT")) return undefined;
    throw error;
  }
}

/** Writes a setting; throws SystemError, ENOENT where the kernel has none. */
export function writeSetting(name: string, value: string | number): void {
  writeText(`${ROOT}/${name}`, String(value));
}

/** Writes a setting where the kernel has it; returns false where it has none (a kernel without IPv6). */
export function writeSettingIfPresent(name: string, value: string | number): boolean {
  try {
    writeSetting(name, value);
    return true;
  } catch (error) {
    if (isSystemError(error, "ENOENT")) return false;
    throw error;
  }
}

/** What the kernel says where a container may look at its settings and not change them. */
const READ_ONLY = ["EROFS", "EACCES", "EPERM"] as const;

/**
 * Writes a setting that spares others a wait or a surprise, and that nothing depends on: where the kernel has none, or
 * `/proc/sys` is read-only, as in most containers, it stays as it is.
 */
export function preferSetting(name: string, value: string | number): void {
  try {
    writeSetting(name, value);
  } catch (error) {
    if (!isSystemError(error, "ENOENT", ...READ_ONLY)) throw error;
  }
}

/** Writes a setting unless it has the value already: a shared one is not touched without need. */
export function ensureSetting(name: string, value: string | number): void {
  if (readSetting(name) !== String(value)) writeSetting(name, value);
}

/** True if the kernel has IPv6 in the thread's namespace, or on an interface there: one of less than 1280 bytes has none. */
export function hasIpv6(interfaceName?: string): boolean {
  return (
    statFile(interfaceName === undefined ? `${ROOT}/ipv6` : `${ROOT}/ipv6/conf/${interfaceName}`) !==
    undefined
  );
}

/**
 * Turns IPv6 on for an interface where it is there and off. It is looked first: the kernel can't write this setting while
 * anybody changes links, and tries again without a pause until they are done.
 */
export function ensureIpv6(interfaceName: string): void {
  const name = `ipv6/conf/${interfaceName}/disable_ipv6`;
  if (readSetting(name) === "1") writeSetting(name, 0);
}
