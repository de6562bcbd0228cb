// An interface that a container has for its own: it is born inside and nothing of it is on the host, so that it is there as
// long as the container's namespace at most. What plugins that make such interfaces have in common, whatever their kind.
import type { AddCall, AttachmentCall, GcCall } from "../cni/plugin.ts";
import type { Dns, Result } from "../cni/result.ts";
import { UndoList } from "../cni/undo.ts";
import type { KernelObject } from "../ledger/attachments.ts";
import type { Owner } from "../ledger/owner.ts";
import { announceAddresses } from "../net/announcement.ts";
import { type Connection, connectInside } from "../net/connection.ts";
import { bringUp, configureInterface, routeFrom } from "../net/interface.ts";
import type { Netns } from "../net/netns.ts";
import { findLink, type Link, removeLink, removeLinkNumber } from "../net/veth.ts";
import {
  addressesIn,
  openContainer,
  type RecordedContainer,
  spelledAddresses,
} from "./container-interface.ts";
import { endAttachment, endStaleAttachments } from "./end.ts";
import type { Additions } from "./fused.ts";
import { aliasOf } from "./identity.ts";
import { confirmReservation, entryOf, reserve } from "./reservation.ts";
import { type PlaceKeys, type RuntimeDnsKeys, withRuntimeDns } from "./settings.ts";

/** A plugin that makes such interfaces, and their kind as the kernel calls it. */
export interface OwnKind {
  readonly plugin: string;
  readonly kind: string;
}

/** An interface that is to be. */
export interface OwnInterface {
  readonly ipamType: string | undefined;
  readonly dataDir: string;
  /** Replaces what the IPAM plugin says. */
  readonly dns: Dns | undefined;
  /** What chained plugins add in the same go, if the plugin takes them inside. */
  readonly additions?: Additions;
  /** Addresses, routes and DNS that the IPAM plugin would have given, where somebody else has given them. */
  readonly given?: Result | undefined;
  /** What is written down about it beside its being there. */
  readonly objects?: readonly KernelObject[];
  /** Makes it, tagged with the alias, and returns it, still down. Throws what the kernel has against it. */
  make(alias: string | undefined): Link;
}

/** Makes the interface, all or nothing, and returns the result. Its name has to be free (refuseTakenName). */
export async function addOwnInterface(
  call: AddCall<RuntimeDnsKeys>,
  { plugin }: OwnKind,
  { netns, inside }: { readonly netns: Netns; readonly inside: Connection },
  wanted: OwnInterface,
): Promise<Result> {
  const { attachment, note } = call;
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
    const leased = given ?? reserved.leased;
    const addresses = addressesIn(leased.ips);
    // before it is there: one that can't be looked at after its birth has to go, too; the name was free
    undo.push(`interface ${attachment.ifname}`, () => removeLink(inside, attachment.ifname));
    const link = wanted.make(aliasOf(entry));
    if (addresses.length === 0) bringUp(inside, link.index);
    else {
      configureInterface(inside, netns, {
        name: link.name,
        index: link.index,
        addresses,
        routes: leased.routes.map((route) => routeFrom(route, addresses)),
        detectDuplicates: false,
      });
    }
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
export async function endOwnInterface(
  call: AttachmentCall<PlaceKeys>,
  { plugin, kind }: OwnKind,
): Promise<void> {
  await endAttachment(call, plugin, ({ row }) => {
    // where it was made, and where the runtime says that it is: either may be forgotten, or be another one by now
    for (const netns of new Set([row?.netns ?? "", call.attachment.netns])) {
      const container = { netns, netnsInode: row?.netnsInode ?? null };
      removeFrom(container, entryOf(call, plugin), row !== undefined, kind);
    }
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
