// The check of source addresses: a pod may send only frames that carry the hardware address that it was given. Two
// sets hold who is checked and what each may carry, so that a pod is two elements and the rule stands for all.
import { parseHardwareAddress } from "../ip/hardware-address.ts";
import { sameBytes } from "../netlink/buffer.ts";
import { lookup, MetaKey, meta, PayloadBase, payload, Register, verdict } from "../netlink/expression.ts";
import { interfaceNameBytes } from "../netlink/match.ts";
import { isNetlinkError, type Request } from "../netlink/message.ts";
import { addRule, createChain, createTable, flushChain, getChain } from "../netlink/nftables.ts";
import type { TableName } from "../netlink/nftables-message.ts";
import {
  addElements,
  concatenated,
  createSet,
  deleteElements,
  dumpElements,
  type Element,
} from "../netlink/nftables-set.ts";
import type { NetlinkSocket } from "../netlink/socket.ts";
import { needing } from "./feature.ts";
import { openNfTables, openNfTablesIfAny, rehearseRules } from "./nf-tables.ts";

const TABLE: TableName = { family: "bridge", name: "warren" };
const CHAIN = "source-check";
const CHECKED = "checked-ports";
const ALLOWED = "allowed-sources";
/** Before everything else that sees bridged frames (NF_BR_PRI_NAT_DST_BRIDGED, linux/netfilter_bridge.h). */
const PRIORITY = -300;

/** A port of a bridge, and the one hardware address that may come in by it. */
export interface CheckedPort {
  readonly link: string;
  readonly hardwareAddress: string;
  /** Tells operators, and a GC whose store was lost, whose it is. */
  readonly comment: string;
}

function elementsOf({ link, hardwareAddress, comment }: CheckedPort): { checked: Element; allowed: Element } {
  const name = interfaceNameBytes(link);
  const source = parseHardwareAddress(hardwareAddress) ?? new Uint8Array(6);
  return { checked: { key: name, comment }, allowed: { key: concatenated(name, source), comment } };
}

const CURE = "load nf_tables with its bridge family, or turn macspoofchk off";

/** Lets only frames of the port's own address in; throws MissingFeatureError or NetlinkError. */
export function checkSource(port: CheckedPort): void {
  const nftables = openNfTables(CURE);
  const { checked, allowed } = elementsOf(port);
  const add = [addElements(TABLE, ALLOWED, [allowed]), addElements(TABLE, CHECKED, [checked])];
  if ((nftables.get(getChain(TABLE, CHAIN))?.use ?? 0) > 0) {
    nftables.transaction(add);
    return;
  }
  needing(
    () => rehearse(nftables),
    () => nftables.transaction([createTable(TABLE), ...checkIn(TABLE), ...add]),
  );
}

/** The requests that make sets and rule of the check. */
function checkIn(table: TableName): Request<never>[] {
  return [
    createSet(table, { name: CHECKED, key: ["interfaceName"], id: 1 }),
    createSet(table, { name: ALLOWED, key: ["interfaceName", "hardwareAddress"], id: 2 }),
    createChain(table, { name: CHAIN, base: { type: "filter", hook: "prerouting", priority: PRIORITY } }),
    // of two first callers the second one empties what the first one made: one rule is left
    flushChain(table, CHAIN),
    // iifname @checked-ports iifname . ether saddr != @allowed-sources drop
    addRule(table, {
      chain: CHAIN,
      expressions: [
        meta(MetaKey.inputName),
        lookup(CHECKED),
        meta(MetaKey.inputName),
        payload(PayloadBase.link, 6, 6, Register.second),
        lookup(ALLOWED, { inverted: true }),
        verdict("drop"),
      ],
    }),
  ];
}

/** Throws MissingFeatureError if the kernel can't check sources. Nothing is made. */
export function probeSourceCheck(): void {
  const nftables = openNfTables(CURE);
  rehearse(nftables);
}

function rehearse(nftables: NetlinkSocket): void {
  const table: TableName = { ...TABLE, name: "warren-rehearsal" };
  rehearseRules(nftables, {
    ...{ purpose: "the check of source addresses", cure: CURE, tables: [table] },
    requests: checkIn(table),
  });
}

/** Ends the check of a port; one that is not checked is success. Throws NetlinkError. */
export function endSourceCheck(port: Omit<CheckedPort, "comment">): void {
  const nftables = openNfTablesIfAny();
  if (nftables === undefined) return;
  const { checked, allowed } = elementsOf({ ...port, comment: "" });
  for (const [set, element] of [
    [CHECKED, checked],
    [ALLOWED, allowed],
  ] as const) {
    try {
      nftables.transaction([deleteElements(TABLE, set, [{ key: element.key }])]);
    } catch (error) {
      if (!isNetlinkError(error, "ENOENT")) throw error;
    }
  }
}

/** True if only frames of the port's own address come in by it. */
export function isSourceChecked(port: Omit<CheckedPort, "comment">): boolean {
  const nftables = openNfTablesIfAny();
  if (nftables === undefined) return false;
  if ((nftables.get(getChain(TABLE, CHAIN))?.use ?? 0) === 0) return false;
  const { checked, allowed } = elementsOf({ ...port, comment: "" });
  const has = (set: string, { key }: Element) =>
    nftables
      .dump(dumpElements(TABLE, set))
      .flat()
      .some((one) => sameBytes(one.key, key));
  return has(CHECKED, checked) && has(ALLOWED, allowed);
}
