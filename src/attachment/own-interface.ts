// An interface that a container has for its own: it is born inside and nothing of it is on the host, so that it is there as
// long as the container's namespace at most. What plugins that make such interfaces have in common, whatever their kind.
import type { AddCall, CheckCall, DelCall, GcCall } from "../cni/plugin.ts";
import type { Result } from "../cni/result.ts";
import { UndoList } from "../cni/undo.ts";
import type { KernelObject } from "../ledger/attachments.ts";
import type { Owner } from "../ledger/owner.ts";
import { announceAddresses } from "../net/announcement.ts";
import { type Connection, connectHost, connectInside } from "../net/connection.ts";
import { routeFrom } from "../net/interface.ts";
import { type Netns, openNetns } from "../net/netns.ts";
import { findLink, type Link, removeLink, removeLinkNumber } from "../net/veth.ts";
import {
  addressesIn,
  bringUpWith,
  openContainer,
  type RecordedContainer,
  refuseTakenName,
  reportedInterface,
  spelledAddresses,
  verifyInterface,
} from "./container-interface.ts";
import { endAttachment, endStaleAttachments } from "./end.ts";
import { removeForeignInterface } from "./foreign-interface.ts";
import type { Additions } from "./fused.ts";
import { aliasOf } from "./identity.ts";
import { confirmReservation, entryOf, leasedThrough, reserve } from "./reservation.ts";
import { type NetworkPlan, type PlaceKeys, type RuntimeDnsKeys, withRuntimeDns } from "./settings.ts";
import { requireWritten } from "./written.ts";

/** A plugin that makes such interfaces, and their kind as the kernel calls it. */
export interface OwnKind {
  readonly plugin: string;
  readonly kind: string;
}

/** Where such an interface is, or is to be. */
export interface OwnPlace {
  readonly netns: Netns;
  readonly host: Connection;
  readonly inside: Connection;
}

/** An interface that is to be. */
export interface OwnInterface extends NetworkPlan {
  /** What chained plugins add in the same go, if the plugin takes them inside. */
  readonly additions?: Additions;
  /** Addresses, routes and DNS that the IPAM plugin would have given, where somebody else has given them. */
  readonly given?: Result | undefined;
  /** What is written down about it beside its being there. */
  readonly objects?: readonly KernelObject[];
  /** Makes it, tagged with the alias, and returns it, still down. Throws what the kernel has against it. */
  make(alias: string | undefined): Link;
}

/**
 * Makes the interface that `wantedAt` says, all or nothing, and returns the result. It is asked before anything is
 * written down or made, and throws what is wrong with the place. Throws CniError 102 where the name is taken.
 */
export async function addOwnInterface(
  call: AddCall<RuntimeDnsKeys>,
  { plugin }: OwnKind,
  wantedAt: (place: OwnPlace) => OwnInterface,
): Promise<Result> {
  const { attachment, note } = call;
  using netns = openNetns(attachment.netns);
  using host = connectHost();
  using inside = connectInside(netns);
  refuseTakenName(inside, attachment.ifname, attachment.netns);
  const wanted = wantedAt({ netns, host, inside });
  const { ipamType, dataDir, additions, given } = wanted;
  const entry = entryOf(call, plugin);
  const ipam = ipamType === undefined ? undefined : await call.delegate(ipamType);
  const undo = new UndoList();
  try {
    const reserved = await reserve(
      call,
      {
        ...{ plugin, dataDir, ipam, pair: false, objectsFor: () => wanted.objects ?? [] },
        ...(additions === undefined ? {} : { additions }),
      },
      (release) => undo.push("the reservation", release),
    );
    // before it is there: one that can't be looked at after its birth has to go, too; the name was free
    undo.push(`interface ${attachment.ifname}`, () => removeLink(inside, attachment.ifname));
    const made = wanted.make(aliasOf(entry));
    const { leased, link } = await leasedThrough(inside, made, {
      ...reserved,
      leased: given ?? reserved.leased,
    });
    const addresses = addressesIn(leased.ips);
    bringUpWith(inside, netns, link, addresses, leased.routes);
    await confirmReservation(entry, dataDir, attachment.netns);
    if (addresses.length > 0) announceAddresses(inside, link);

    const result = {
      interfaces: [{ name: link.name, mac: link.address, mtu: link.mtu, sandbox: attachment.netns }],
      ips: spelledAddresses(addresses, 0),
      routes: leased.routes,
      dns: withRuntimeDns(wanted.dns ?? leased.dns, call.config),
    };
    return additions === undefined ? result : await additions.make(result);
  } catch (error) {
    await undo.run(note);
    throw error;
  }
}

/** What CHECK compares with, beside the result. */
export interface ExpectedOwn extends Pick<NetworkPlan, "ipamType" | "dataDir"> {
  /** Undefined where any will do. */
  readonly mtu?: number | undefined;
}

/**
 * CHECK: the interface is what the result says, it is written down, and `verify` finds nothing of its kind that
 * differs; then the IPAM plugin is asked. Throws CniError 103 for the first difference.
 */
export async function checkOwnInterface(
  call: CheckCall<unknown>,
  { plugin, kind }: OwnKind,
  expected: ExpectedOwn,
  verify: (link: Link, place: OwnPlace, objects: readonly KernelObject[]) => void = () => {},
): Promise<void> {
  const { attachment, previous } = call;
  const reported = reportedInterface(previous, attachment.ifname);
  using netns = openNetns(attachment.netns);
  using host = connectHost();
  using inside = connectInside(netns);
  const link = verifyInterface(inside, attachment.netns, {
    kind,
    reported,
    routes: (previous?.routes ?? []).map((route) => routeFrom(route, reported.addresses)),
    // a plugin behind us, such as tuning, may have given it another one
    mtu: reported.one.mtu ?? expected.mtu,
  });
  verify(link, { netns, host, inside }, await requireWritten(call, plugin, expected.dataDir));
  if (expected.ipamType !== undefined) await (await call.delegate(expected.ipamType)).check();
}

/**
 * Removes the attachment's interface from its container, if both are still there. One without an alias is ours only if
 * the attachment is written down: its ADD may have been killed before it could tag the link.
 */
function removeFrom(container: RecordedContainer, owner: Owner, isWritten: boolean, kind: string): void {
  using netns = openContainer(container);
  if (netns === undefined) return;
  using inside = connectInside(netns);
  const link = findLink(inside, owner.ifname);
  if (link === undefined || link.kind !== kind) return;
  if (link.alias === aliasOf(owner) || (link.alias === "" && isWritten)) {
    removeLinkNumber(inside, link.index);
  }
}

/** DEL: removes the interface, and gives back what was reserved. */
export async function endOwnInterface(call: DelCall<PlaceKeys>, { plugin, kind }: OwnKind): Promise<void> {
  await endAttachment(call, plugin, ({ row }) => {
    // where it was made, and where the runtime says that it is: either may be forgotten, or be another one by now
    for (const netns of new Set([row?.netns ?? "", call.attachment.netns])) {
      const container = { netns, netnsInode: row?.netnsInode ?? null };
      removeFrom(container, entryOf(call, plugin), row !== undefined, kind);
    }
    if (row === undefined) removeForeignInterface(call.attachment, kind, call.remembered());
  });
}

/** GC: does so for all attachments that are not valid. */
export async function collectOwnInterfaces(
  call: GcCall<PlaceKeys>,
  { plugin, kind }: OwnKind,
): Promise<void> {
  await endStaleAttachments(call, plugin, {
    removeInside: ({ owner, netns, netnsInode }) => removeFrom({ netns, netnsInode }, owner, true, kind),
  });
}
