// A change of the network as an operator says it: what it is about, what about it, and which link by its name. Pure; what
// was there before is known to changes.ts.
import { addressFromBytes, formatAddress } from "../../ip/address.ts";
import { Scope } from "../../netlink/address.ts";
import type { Notification } from "../../netlink/notification.ts";
import { type Route, RouteType, Table } from "../../netlink/route.ts";
import { Handle, Parent } from "../../netlink/traffic-control.ts";

/** What of a network can change. */
export const CHANGE_OBJECTS = [
  "link",
  "address",
  "route",
  "neighbour",
  "qdisc",
  "filter",
  "nft",
  "namespace",
] as const;

/** One of them. */
export type ChangeObject = (typeof CHANGE_OBJECTS)[number];

/** What is known of a thing, in the order in which it is told. */
export type Facts = Readonly<Record<string, string | number | boolean>>;

/** A thing that a notification is about. */
export interface Subject {
  readonly object: ChangeObject;
  /** What it is called among its like: the same for as long as it is the same thing. */
  readonly name: string;
  readonly facts: Facts;
  /** The link that it goes with; 0 for none. */
  readonly linkIndex: number;
  /** True for what follows from another change, such as the kernel's own routes to a new address. */
  readonly isConsequence: boolean;
}

/** Returns what the notification is about; undefined for the end of a transaction, and for what can't be read. */
export function subjectOf(
  notification: Notification,
  linkName: (index: number) => string,
): Subject | undefined {
  const plain = { linkIndex: 0, isConsequence: false };
  switch (notification.object) {
    case "link": {
      const { link } = notification;
      const { index, name, kind, up, operState, mtu, address, alias } = link;
      const facts = {
        ...(kind === "" ? {} : { kind }),
        state: up ? "up" : "down",
        carrier: operState,
        ...(link.master === 0 ? {} : { master: linkName(link.master) }),
        mtu,
        ...(address === "" ? {} : { mac: address }),
        ...(alias === "" ? {} : { alias }),
      };
      return { object: "link", name, facts, linkIndex: index, isConsequence: false };
    }
    case "address": {
      const { address, prefixLength, index, tentative, duplicateFound, scope } = notification.address;
      const facts = {
        dev: linkName(index),
        ...(scope === Scope.link ? { scope: "link" } : {}),
        ...(tentative ? { tentative } : {}),
        ...(duplicateFound ? { duplicate: true } : {}),
      };
      const name = `${addressText(address)}/${prefixLength}`;
      return { object: "address", name, facts, linkIndex: index, isConsequence: false };
    }
    case "route":
      return routeSubject(notification.route, linkName);
    case "neighbour": {
      const { index, address, hardwareAddress, master, state } = notification.neighbour;
      const facts = {
        dev: linkName(index),
        ...(address === undefined || hardwareAddress === "" ? {} : { mac: hardwareAddress }),
        ...(master === 0 ? {} : { master: linkName(master) }),
        ...(state === "" ? {} : { state }),
      };
      const name = address === undefined ? hardwareAddress : addressText(address);
      const isConsequence = address !== undefined && isMulticast(address);
      return { object: "neighbour", name, facts, linkIndex: index, isConsequence };
    }
    case "qdisc":
    case "filter": {
      const { index, kind, handle, parent, info } = notification.traffic;
      const priority = info >>> 16;
      const facts = {
        dev: linkName(index),
        ...(handle === 0 ? {} : { handle: handleText(handle) }),
        at: parentText(parent),
        ...(priority === 0 ? {} : { priority }),
      };
      // the empty place where a discipline was
      return {
        object: notification.object,
        name: kind,
        facts,
        linkIndex: index,
        isConsequence: handle === 0,
      };
    }
    case "namespace":
      return { object: "namespace", name: `${notification.id}`, facts: {}, ...plain };
    case "nft": {
      const { kind, family, table, name, handle, count, comments } = notification.rules;
      const words = [kind, family, table, name].filter((word) => word !== "");
      const facts = {
        ...(handle === 0n ? {} : { handle: Number(handle) }),
        ...(count === 0 ? {} : { count }),
        ...(comments.length === 0 ? {} : { comment: comments.join(", ") }),
      };
      return { object: "nft", name: words.join(" "), facts, ...plain };
    }
    default:
      return undefined;
  }
}

function routeSubject(route: Route, linkName: (index: number) => string): Subject {
  const { destination, prefixLength, paths, table, priority, preferredSource, type } = route;
  const [only, ...more] = paths;
  const where = (path: Route["paths"][number]) =>
    `${path.gateway === undefined ? "" : `via ${addressText(path.gateway)} `}dev ${linkName(path.outputIndex)}`;
  const ways: Facts =
    more.length > 0
      ? { ways: paths.map(where).join(", ") }
      : {
          ...(only?.gateway === undefined ? {} : { via: addressText(only.gateway) }),
          ...(only === undefined ? {} : { dev: linkName(only.outputIndex) }),
        };
  const typeName = Object.entries(RouteType).find(([, number]) => number === type)?.[0] ?? `type ${type}`;
  const facts = {
    ...(type === RouteType.unicast ? {} : { type: typeName }),
    ...ways,
    ...(table === Table.main ? {} : { table: table === Table.local ? "local" : table }),
    ...(preferredSource === undefined ? {} : { src: addressText(preferredSource) }),
    ...(priority === 0 ? {} : { metric: priority }),
  };
  const everything = route.family === "ipv6" ? "default (IPv6)" : "default";
  const name =
    destination === undefined || prefixLength === 0
      ? everything
      : `${addressText(destination)}/${prefixLength}`;
  const isConsequence =
    table === Table.local ||
    (destination !== undefined && isMulticast(destination)) ||
    typeName === "multicast";
  return { object: "route", name, facts, linkIndex: only?.outputIndex ?? 0, isConsequence };
}

function addressText(address: Uint8Array): string {
  return formatAddress(addressFromBytes(address));
}

function isMulticast(address: Uint8Array): boolean {
  const [first = 0] = address;
  return address.length === 4 ? first >= 224 && first < 240 : first === 0xff;
}

function handleText(handle: number): string {
  const minor = handle & 0xffff;
  return `${(handle >>> 16).toString(16)}:${minor === 0 ? "" : minor.toString(16)}`;
}

function parentText(parent: number): string {
  if (parent === Parent.root) return "root";
  if (parent === Parent.ingress || parent === Handle.ingress) return "ingress";
  if (parent === Parent.ingressFilters) return "ingress";
  if (parent === Parent.egressFilters) return "egress";
  return handleText(parent);
}
