// The ports of a bridge as the bridge knows them: how it treats each, and which VLANs it takes part in. The messages are those
// of links with a family of their own (AF_BRIDGE), which gives the attributes' numbers other meanings.
import { attributes, headed, list, nested, struct, u16, u32 } from "./codec.ts";
import { checkedIndex } from "./link.ts";
import { bridgePort, header, linkHeader, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK } from "./link-message.ts";
import type { Request } from "./message.ts";

const AF_BRIDGE = 7;
const RTEXT_FILTER_BRVLAN = 2;

// With AF_BRIDGE the same attribute numbers hold other things.
/** The body of a link message of the family AF_BRIDGE. */
export const bridgeMessage = headed(
  linkHeader,
  attributes({
    port: [12, nested(bridgePort)], // IFLA_PROTINFO
    vlans: [26, list(struct({ flags: u16, id: u16 }), 2)], // IFLA_AF_SPEC with IFLA_BRIDGE_VLAN_INFO
    extensionMask: [29, u32], // IFLA_EXT_MASK
  }),
);

/** What can be told to a bridge about one of its ports. */
export interface BridgePortSettings {
  readonly hairpin?: boolean | undefined;
  readonly isolated?: boolean | undefined;
  readonly learning?: boolean | undefined;
  readonly cost?: number | undefined;
  readonly priority?: number | undefined;
}

function switchOf(setting: boolean | undefined): number | undefined {
  return setting === undefined ? undefined : Number(setting);
}

/** Changes how its bridge treats the port `index`. */
export function setBridgePort(index: number, settings: BridgePortSettings): Request<never> {
  return {
    operation: `set bridge port ${index}`,
    type: RTM_SETLINK,
    flags: 0,
    encode(writer) {
      bridgeMessage.encode(writer, {
        header: header(checkedIndex(index), 0, 0, AF_BRIDGE),
        attributes: {
          port: {
            priority: settings.priority,
            cost: settings.cost,
            hairpin: switchOf(settings.hairpin),
            learning: switchOf(settings.learning),
            isolated: switchOf(settings.isolated),
          },
        },
      });
    },
  };
}

// BRIDGE_VLAN_INFO_*, linux/if_bridge.h
const VLAN_PRIMARY = 2;
const VLAN_UNTAGGED = 4;
const VLAN_RANGE_BEGIN = 8;
const VLAN_RANGE_END = 16;

/** VLANs that a bridge port takes part in. */
export interface BridgeVlan {
  readonly id: number;
  /** The last of a range that starts with `id`. */
  readonly lastId?: number | undefined;
  /** Frames that come in without a tag belong to it. */
  readonly primary?: boolean | undefined;
  /** Frames go out without a tag. */
  readonly untagged?: boolean | undefined;
}

/** Lets the bridge port `index` take part in VLANs; its bridge must filter VLANs. */
export function addBridgeVlans(index: number, vlans: readonly BridgeVlan[]): Request<never> {
  return bridgeVlanRequest("add VLANs to", RTM_SETLINK, index, vlans);
}

/** Takes the bridge port `index` out of VLANs; those that it takes no part in are passed over. */
export function deleteBridgeVlans(index: number, vlans: readonly BridgeVlan[]): Request<never> {
  return bridgeVlanRequest("delete VLANs from", RTM_DELLINK, index, vlans);
}

function bridgeVlanRequest(
  what: string,
  type: number,
  index: number,
  vlans: readonly BridgeVlan[],
): Request<never> {
  return {
    operation: `${what} bridge port ${index}`,
    type,
    flags: 0,
    encode(writer) {
      const entries: { flags: number; id: number }[] = [];
      for (const { id, lastId, primary, untagged } of vlans) {
        const flags = (primary ? VLAN_PRIMARY : 0) | (untagged ? VLAN_UNTAGGED : 0);
        if (lastId === undefined || lastId === id) entries.push({ flags, id });
        else {
          entries.push({ flags: flags | VLAN_RANGE_BEGIN, id });
          entries.push({ flags: flags | VLAN_RANGE_END, id: lastId });
        }
      }
      bridgeMessage.encode(writer, {
        header: header(checkedIndex(index), 0, 0, AF_BRIDGE),
        attributes: { vlans: entries },
      });
    },
  };
}

/** The VLANs of a bridge port. */
export interface BridgePortVlans {
  readonly index: number;
  readonly vlans: readonly BridgeVlan[];
}

/** Asks for the VLANs of every bridge port, each VLAN by itself. */
export function dumpBridgeVlans(): Request<BridgePortVlans> {
  return {
    operation: "list VLANs of bridge ports",
    type: RTM_GETLINK,
    flags: 0,
    encode(writer) {
      bridgeMessage.encode(writer, {
        header: header(0, 0, 0, AF_BRIDGE),
        attributes: { extensionMask: RTEXT_FILTER_BRVLAN },
      });
    },
    decode(reader) {
      const message = bridgeMessage.decode(reader);
      const vlans = (message.attributes.vlans ?? []).map(({ flags, id }) => ({
        id,
        primary: (flags & VLAN_PRIMARY) !== 0,
        untagged: (flags & VLAN_UNTAGGED) !== 0,
      }));
      return { index: message.header.index, vlans };
    },
  };
}
