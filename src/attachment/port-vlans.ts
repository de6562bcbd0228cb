// Which VLANs the host's end of a pair takes part in as a port of a bridge, by the keys of a config. Pure.
import { CniError, ErrorCode } from "../cni/error.ts";
import type { PortVlans } from "../net/vlan-filter.ts";

/** A range of VLANs, one VLAN, or both, as the config has them. */
interface Trunk {
  readonly minID?: number | null | undefined;
  readonly maxID?: number | null | undefined;
  readonly id?: number | null | undefined;
}

/** The keys about VLANs in a config. */
export interface VlanKeys {
  readonly vlan?: number | null | undefined;
  readonly vlanTrunk?: readonly Trunk[] | null | undefined;
  readonly preserveDefaultVlan?: boolean | null | undefined;
}

const LARGEST_VLAN = 4094;

function refuseTrunk(message: string, cure = `expected VLAN ids from 1 to ${LARGEST_VLAN}`): never {
  // clients compare these messages
  throw new CniError(ErrorCode.invalidConfig, message, cure);
}

function isVlan(id: number, lowest = 1): boolean {
  return Number.isInteger(id) && id >= lowest && id <= LARGEST_VLAN;
}

/** Returns the VLANs of the host's end, if any; throws CniError 7 in the words of the reference plugin. */
export function vlansOf(config: VlanKeys): PortVlans | undefined {
  const vlan = config.vlan ?? 0;
  if (!isVlan(vlan, 0)) {
    throw new CniError(
      ErrorCode.invalidConfig,
      `invalid VLAN ID ${vlan} (must be between 0 and ${LARGEST_VLAN})`,
      "0 means none",
    );
  }
  const tagged = new Set((config.vlanTrunk ?? []).flatMap(trunkOf));
  if (vlan === 0 && tagged.size === 0) return undefined;
  return {
    // a trunk without a VLAN of its own leaves untagged frames where a bridge has them from the start
    native: vlan === 0 ? 1 : vlan,
    tagged: [...tagged].sort((left, right) => left - right),
    keepDefault: config.preserveDefaultVlan === true,
  };
}

function trunkOf({ minID, maxID, id }: Trunk): number[] {
  const ids: number[] = [];
  if (minID !== null && minID !== undefined && !isVlan(minID)) refuseTrunk("incorrect trunk minID parameter");
  if (maxID !== null && maxID !== undefined && !isVlan(maxID)) refuseTrunk("incorrect trunk maxID parameter");
  if (typeof minID === "number" && typeof maxID === "number") {
    if (minID > maxID) refuseTrunk("minID is greater than maxID in trunk parameter", "exchange the two");
    for (let one = minID; one <= maxID; one++) ids.push(one);
  } else if (typeof minID === "number" || typeof maxID === "number") {
    const missing = typeof minID === "number" ? "maxID" : "minID";
    refuseTrunk(
      `minID and maxID should be configured simultaneously, ${missing} is missing`,
      `add ${missing}`,
    );
  }
  if (id !== null && id !== undefined) {
    if (!isVlan(id)) refuseTrunk("incorrect trunk id parameter");
    ids.push(id);
  }
  return ids;
}
