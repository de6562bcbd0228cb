// What a runtime was told of an attachment's addresses, out of what it remembers.
import { decodeResult, EMPTY_RESULT, type Result } from "../cni/result.ts";
import { SUPPORTED_VERSIONS } from "../cni/version.ts";
import type { CachedAttachment } from "../runtime/cache.ts";

/** Returns the addresses in the result of the ADD; none where there is no result. Throws CniError 6 for one that is broken. */
export function reportedAddresses(attachment: CachedAttachment): string[] {
  return reportedResult(attachment).ips.map(({ address }) => address);
}

function reportedResult({ result, network }: CachedAttachment): Result {
  if (result === undefined) return EMPTY_RESULT;
  const own = typeof result.cniVersion === "string" ? result.cniVersion : "";
  return decodeResult(
    result,
    own === "" ? SUPPORTED_VERSIONS[0] : own,
    `cached result of network "${network}"`,
  );
}

/** An interface in a container, with the addresses that were reported for it. */
export interface ReportedInterface {
  readonly ifname: string;
  readonly addresses: readonly string[];
}

/**
 * Returns the container's interfaces that the result names, with their addresses; an address that stands on none of them is
 * the attachment's own. A plugin may make several, and others than it was asked for. Throws as reportedAddresses.
 */
export function reportedInterfaces(attachment: CachedAttachment): ReportedInterface[] {
  const { interfaces, ips } = reportedResult(attachment);
  const found = new Map<string, string[]>();
  for (const { name, sandbox = "" } of interfaces) if (sandbox !== "") found.set(name, []);
  // every pod has a lo
  if (found.size > 1 || (found.size === 1 && ips.length === 0)) found.delete("lo");
  if (found.size === 0) found.set(attachment.ifname, []);
  for (const { address, interface: index } of ips) {
    const on = index === undefined ? undefined : interfaces[index];
    if (on?.name === "lo" && !found.has("lo")) continue;
    const name = on !== undefined && found.has(on.name) ? on.name : attachment.ifname;
    found.set(name, [...(found.get(name) ?? []), address]);
  }
  return [...found].map(([ifname, addresses]) => ({ ifname, addresses }));
}
