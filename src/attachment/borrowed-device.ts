// A device of the host that an attachment has for a while: what is written down about it, how it is found again wherever it
// is by then, and how it is given back. The tag on the device counts first, what is written down second.
import * as v from "valibot";
import { CniError, ErrorCode } from "../cni/error.ts";
import { interfaceNameProblem } from "../cni/names.ts";
import type { AttachmentKey } from "../cni/network-config.ts";
import type { Attachment } from "../cni/plugin.ts";
import type { Result } from "../cni/result.ts";
import type { KernelObject } from "../ledger/attachments.ts";
import { describeOwner, type Owner } from "../ledger/owner.ts";
import { type Connection, connectHost, connectInside } from "../net/connection.ts";
import {
  DeviceNameTakenError,
  type DeviceOrigin,
  listTaggedDevices,
  reclaimDevice,
  settleDevice,
} from "../net/device.ts";
import { findLink, type Link } from "../net/veth.ts";
import { openContainer, type RecordedContainer } from "./container-interface.ts";
import { withForeignInterface } from "./foreign-interface.ts";
import { deviceFromTag, deviceTagOf } from "./identity.ts";
import { detailOf } from "./object-detail.ts";

const detailSchema = v.object({ alias: v.string(), up: v.boolean(), address: v.string() });

/** Returns what is written down about a device before it is lent. */
export function deviceObject({ name, alias, up, address }: Link): KernelObject {
  return { kind: "device", name, detail: JSON.stringify({ alias, up, address }) };
}

/** A device that is written down, as it was before it was lent. */
export interface WrittenDevice extends DeviceOrigin {
  readonly address: string;
}

/** Returns the devices among the objects of an attachment; throws CniError 105. */
export function devicesIn(objects: readonly KernelObject[]): WrittenDevice[] {
  return objects
    .filter(({ kind }) => kind === "device")
    .map((object) => ({ name: object.name, ...detailOf(detailSchema, object) }));
}

/** A device where it is now, and what it is to be again. */
interface Borrowed {
  readonly link: Link;
  readonly origin: DeviceOrigin;
}

/** Returns the devices with the attachment's tag; of a store that was lost only the tag is known. */
function taggedDevices(connection: Connection, owner: Owner, written: readonly WrittenDevice[]): Borrowed[] {
  return listTaggedDevices(connection).flatMap((link) => {
    const tag = deviceFromTag(link.alias);
    if (tag === undefined || describeOwner(tag.owner) !== describeOwner(owner)) return [];
    const origin = written.find(({ name }) => name === tag.device);
    return [{ link, origin: origin ?? { name: tag.device, alias: "", up: false } }];
  });
}

/** Returns those that lost their tag: the kernel moved one and could not rename it, or somebody took the tag away. */
function untaggedDevices(inside: Connection, owner: Owner, written: readonly WrittenDevice[]): Borrowed[] {
  return written.flatMap((origin) => {
    const named = [...new Set([origin.name, owner.ifname])].map((name) => findLink(inside, name));
    const link = named.find(
      (one) => one !== undefined && one.address !== "" && one.address === origin.address,
    );
    return link === undefined ? [] : [{ link, origin }];
  });
}

/** Takes the attachment's device out of the namespace of `inside`, if it is there. Throws CniError 102 or NetlinkError. */
export function reclaimFrom(
  host: Connection,
  inside: Connection,
  owner: Owner,
  written: readonly WrittenDevice[],
): void {
  const tagged = taggedDevices(inside, owner, written);
  const found = tagged.length > 0 ? tagged : untaggedDevices(inside, owner, written);
  for (const { link, origin } of found) explained(() => reclaimDevice(host, inside, link, origin));
}

/**
 * Gives the attachment's device back to the host, out of these containers or from where the kernel has put it; one that is
 * nowhere has gone with its container. Throws CniError 102 where its name is taken, 105, or NetlinkError.
 */
export function giveBack(
  owner: Owner,
  objects: readonly KernelObject[],
  containers: readonly RecordedContainer[],
): void {
  const written = devicesIn(objects);
  using host = connectHost();
  for (const container of containers) {
    using netns = openContainer(container);
    if (netns === undefined) continue;
    using inside = connectInside(netns);
    reclaimFrom(host, inside, owner, written);
  }
  // a namespace that ends leaves its cards on the host, and a killed call may leave one that is not yet as it was
  for (const { link, origin } of taggedDevices(host, owner, written)) {
    explained(() => settleDevice(host, link, origin));
  }
}

/**
 * Gives back a device that the reference plugin has moved in, if it is the one of the remembered result: its name on the host is
 * in its alias, and whether it was up is written nowhere. Throws CniError 102 where its name is taken, or NetlinkError.
 */
export function giveForeignBack(
  attachment: Pick<Attachment, "netns" | "ifname">,
  remembered: Result | undefined,
): void {
  withForeignInterface(attachment, remembered, (link, inside) => {
    if (interfaceNameProblem(link.alias) !== undefined) return;
    using host = connectHost();
    explained(() => reclaimDevice(host, inside, link, { name: link.alias, alias: "", up: false }));
  });
}

/** Gives devices on the host their names back whose attachments are not valid, also those that nobody wrote down. */
export function settleStrays(network: string, valid: readonly AttachmentKey[]): void {
  using host = connectHost();
  for (const { alias } of listTaggedDevices(host)) {
    const owner = deviceFromTag(alias)?.owner;
    if (owner?.network !== network) continue;
    const isValid = valid.some(
      ({ containerId, ifname }) => containerId === owner.containerId && ifname === owner.ifname,
    );
    if (!isValid) giveBack(owner, [], []);
  }
}

/** Runs `work`; a device that can't come back is told as a runtime gets to see it. */
function explained(work: () => void): void {
  try {
    work();
  } catch (error) {
    if (!(error instanceof DeviceNameTakenError)) throw error;
    const cure = `rename or remove the other ${error.device}, and DEL again`;
    throw new CniError(ErrorCode.nameTaken, error.message, cure, { cause: error });
  }
}

/** Returns the tag of a device; throws CniError 7 where the names are too long for one, because it could get lost. */
export function tagFor(owner: Owner, { name }: Link): string {
  const tag = deviceTagOf(owner, name);
  if (tag !== undefined) return tag;
  throw new CniError(
    ErrorCode.invalidConfig,
    `the names of network and container are too long to tag device ${name} with them`,
    "the kernel keeps 255 bytes: choose a shorter name for the network",
  );
}
