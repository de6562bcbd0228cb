// The pools of a network as its config says them, for commands that look at configs and not through a plugin.
import * as v from "valibot";
import { isObject, type JsonObject, memberOf } from "../conflist/json.ts";
import { parseRangeSets, poolSchema, type RangeSet } from "../ipam/pool.ts";

/**
 * Returns the range sets in the `ipam` of a plugin's config, of whichever IPAM plugin with keys like host-local's; none
 * without such keys. Throws CniError 7 for ranges that no plugin can use.
 */
export function rangeSetsOf(document: JsonObject): readonly RangeSet[] {
  const ipam = memberOf(document, "ipam");
  if (!isObject(ipam)) return [];
  const pools = v.safeParse(poolSchema, ipam);
  return pools.success ? parseRangeSets(pools.output) : [];
}

/** Returns the type of the IPAM plugin that a plugin's config names; undefined if it names none. */
export function ipamTypeIn(document: JsonObject): string | undefined {
  const ipam = memberOf(document, "ipam");
  const type = isObject(ipam) ? memberOf(ipam, "type") : undefined;
  return typeof type === "string" && type !== "" ? type : undefined;
}
