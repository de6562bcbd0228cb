// What an operator changes of an interface that is there already: its hardware address, its MTU, the length of its
// queue, and what it listens to. It is read before it is changed, so that it can be put back.
import { getLink, type Link, setLink } from "../netlink/link.ts";
import { LinkFlag } from "../netlink/link-message.ts";
import { ignoring, type Request } from "../netlink/message.ts";
import { interfaceName } from "../sys/interface-name.ts";
import type { Connection } from "./connection.ts";
import { inNetns, type Netns } from "./netns.ts";

/** Attributes of an interface; what is left out is not meant. */
export interface LinkAttributes {
  /** Hardware address in its one spelling, such as `02:00:00:00:00:01`. */
  readonly mac?: string | undefined;
  /** It takes every packet, whoever it is for. */
  readonly promisc?: boolean | undefined;
  readonly mtu?: number | undefined;
  /** It takes every packet for any group. */
  readonly allmulti?: boolean | undefined;
  /** How many packets wait to be sent. */
  readonly txQLen?: number | undefined;
}

function attributesOf(link: Link): Required<LinkAttributes> {
  return {
    mac: link.address,
    promisc: link.promiscuous,
    mtu: link.mtu,
    allmulti: (link.flags & LinkFlag.allMulticast) !== 0,
    txQLen: link.txQueueLength,
  };
}

const NAMES = ["mac", "promisc", "mtu", "allmulti", "txQLen"] as const;

/** Returns the names of the attributes that are meant. */
export function attributeNames(attributes: LinkAttributes): (keyof LinkAttributes)[] {
  return NAMES.filter((name) => attributes[name] !== undefined);
}

/** Returns what the attributes that `wanted` means are now. */
export function currentAttributes(link: Link, wanted: LinkAttributes): LinkAttributes {
  const current = attributesOf(link);
  return Object.fromEntries(attributeNames(wanted).map((name) => [name, current[name]]));
}

/** An attribute that is not what it should be. */
export interface AttributeDifference {
  readonly attribute: keyof LinkAttributes;
  readonly wanted: string;
  readonly found: string;
}

/** Returns the attributes of the link that are not as `wanted` means them. */
export function attributeDifferences(link: Link, wanted: LinkAttributes): AttributeDifference[] {
  const current = attributesOf(link);
  return attributeNames(wanted)
    .filter((name) => current[name] !== wanted[name])
    .map((attribute) => ({
      attribute,
      wanted: String(wanted[attribute]),
      found: String(current[attribute]),
    }));
}

// One request an attribute, so that a refusal names the one that is refused. The MTU goes first, as it is the one
// that a device refuses most often.
function requests(index: number, attributes: LinkAttributes): Request<never>[] {
  const { mac, promisc, mtu, allmulti, txQLen } = attributes;
  const change = (name: string, settings: Parameters<typeof setLink>[1]): Request<never> => ({
    ...setLink(index, settings),
    operation: `set ${name} of link ${index}`,
  });
  return [
    ...(mtu === undefined ? [] : [change(`mtu ${mtu}`, { mtu })]),
    ...(mac === undefined ? [] : [change(`mac ${mac}`, { address: mac })]),
    ...(promisc === undefined ? [] : [change(`promisc ${promisc}`, { promiscuous: promisc })]),
    ...(allmulti === undefined ? [] : [change(`allmulti ${allmulti}`, { allMulticast: allmulti })]),
    ...(txQLen === undefined ? [] : [change(`txQLen ${txQLen}`, { txQueueLength: txQLen })]),
  ];
}

/** Changes the attributes that are meant. Throws NetlinkError; what was changed until then stays changed. */
export function setAttributes(connection: Connection, index: number, attributes: LinkAttributes): void {
  for (const request of requests(index, attributes)) connection.execute([request]);
}

/** Puts attributes back, each even if another one is refused; a link that is gone is success. Throws NetlinkError. */
export function restoreAttributes(connection: Connection, index: number, attributes: LinkAttributes): void {
  connection.execute(requests(index, attributes).map((request) => ignoring(request, "ENODEV")));
}

/** Returns the interface of that name if it is still the one with that number. */
export function sameLink(connection: Connection, name: string, index: number): Link | undefined {
  const link = connection.get(getLink(name));
  return link?.index === index ? link : undefined;
}

/** Returns the name of the interface with that number, without waiting for whoever changes links. Throws SystemError. */
export function interfaceNameIn(netns: Netns, index: number): string | undefined {
  return inNetns(netns, () => interfaceName(index));
}
