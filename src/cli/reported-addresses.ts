// What a runtime was told of an attachment's addresses, out of what it remembers.
import { decodeResult } from "../cni/result.ts";
import { SUPPORTED_VERSIONS } from "../cni/version.ts";
import type { CachedAttachment } from "../runtime/cache.ts";

/** Returns the addresses in the result of the ADD; none where there is no result. Throws CniError 6 for one that is broken. */
export function reportedAddresses({ result, network }: CachedAttachment): string[] {
  if (result === undefined) return [];
  const own = typeof result.cniVersion === "string" ? result.cniVersion : "";
  const what = `cached result of network "${network}"`;
  return decodeResult(result, own === "" ? SUPPORTED_VERSIONS[0] : own, what).ips.map(
    ({ address }) => address,
  );
}
