// A device of the host, a network card above all, that a container has for a while: how it is found, how it moves in under
// another name, and how it comes back under its own. Its alias says all that time whose it is, because a card outlives
// its container: the kernel then puts it back on the host by itself, under whatever name is free.
import { dumpLinks, getLink, type Link, setLink } from "../netlink/link.ts";
import { isNetlinkError } from "../netlink/message.ts";
import { directoryEntries } from "../sys/directory.ts";
import { readText, statFile } from "../sys/files.ts";
import { isSystemError } from "../sys/libc.ts";
import { ownNetworkNamespace } from "../sys/namespace.ts";
import type { Connection } from "./connection.ts";
import type { Netns } from "./netns.ts";

const PCI = "/sys/bus/pci/devices";
const AUXILIARY = "/sys/bus/auxiliary/devices";

/** Drivers by which a program has a card for itself (DPDK): the kernel then knows no interface of it. */
const USERSPACE_DRIVERS: readonly string[] = ["vfio-pci", "uio_pci_generic", "igb_uio"];

/** What tells one device from all others. */
export type DeviceChoice =
  | { readonly by: "name" | "hardware address"; readonly value: string }
  /** The folder in sysfs that stands for the hardware. */
  | { readonly by: "place"; readonly value: string };

/** Returns the folder of a PCI device, or of one on an auxiliary bus; undefined where there is no such device. */
export function placeOfDevice(id: string): string | undefined {
  return [PCI, AUXILIARY].map((bus) => `${bus}/${id}`).find((folder) => statFile(folder) !== undefined);
}

/** True if the hardware at this place belongs to a program, so that no interface can be moved. */
export function isInUserspace(place: string): boolean {
  const driver = /^DRIVER=(.*)$/m.exec(textOf(`${place}/uevent`))?.[1] ?? "";
  return USERSPACE_DRIVERS.includes(driver);
}

function textOf(path: string): string {
  try {
    return readText(path);
  } catch (error) {
    if (isSystemError(error, "ENOENT", "ENOTDIR")) return "";
    throw error;
  }
}

/** Returns the device; undefined if it is not on the host. Throws NetlinkError or SystemError. */
export function findDevice(host: Connection, { by, value }: DeviceChoice): Link | undefined {
  switch (by) {
    case "name":
      return host.get(getLink(value));
    case "hardware address":
      return host.dump(dumpLinks()).find(({ address }) => address === value.toLowerCase());
    case "place": {
      const name = interfaceAt(value);
      return name === undefined ? undefined : host.get(getLink(name));
    }
  }
}

/** The name of the first interface of the hardware; what virtio has it on is a folder further down. */
function interfaceAt(place: string): string | undefined {
  const own = namesIn(`${place}/net`);
  if (own.length > 0) return own[0];
  const virtio = namesIn(place).filter((name) => name.startsWith("virtio"));
  return virtio.flatMap((name) => namesIn(`${place}/${name}/net`))[0];
}

function namesIn(folder: string): string[] {
  try {
    return directoryEntries(folder)
      .map(({ name }) => name)
      .sort();
  } catch (error) {
    if (isSystemError(error, "ENOENT", "ENOTDIR")) return [];
    throw error;
  }
}

/**
 * Moves the device into the container, where it has another name and the tag, and returns it as it is there: down, and
 * without addresses. It is one message, so that the device is tagged as soon as it is away. Throws NetlinkError.
 */
export function lendDevice(
  host: Connection,
  inside: Connection,
  netns: Netns,
  { device, name, tag }: { readonly device: Link; readonly name: string; readonly tag: string },
): Link {
  host.execute([setLink(device.index, { netNamespaceFd: netns.fd, name, alias: tag })]);
  const link = inside.get(getLink(name));
  if (link === undefined) throw new Error(`device ${device.name} was moved and is gone`);
  return link;
}

/** How a device was before it was lent. */
export interface DeviceOrigin {
  readonly name: string;
  readonly alias: string;
  readonly up: boolean;
}

/** Somebody else on the host has the name of a device that comes back. */
export class DeviceNameTakenError extends Error {
  override readonly name = "DeviceNameTakenError";

  constructor(
    readonly device: string,
    options?: { readonly cause?: unknown },
  ) {
    super(
      `device ${JSON.stringify(device)} can't come back: the host has another interface of that name`,
      options,
    );
  }
}

/**
 * Takes a device out of a container and makes it on the host what it was. Killed at any step, it is still tagged, and can
 * be taken back again. Throws DeviceNameTakenError or NetlinkError.
 */
export function reclaimDevice(host: Connection, inside: Connection, link: Link, origin: DeviceOrigin): void {
  const { name } = origin;
  inside.execute([setLink(link.index, { up: false })]);
  // renamed before it arrives, so that what watches the host's interfaces never sees the container's name
  if (link.name !== name && inside.get(getLink(name)) === undefined) {
    inside.execute([setLink(link.index, { name })]);
  }
  using home = ownNetworkNamespace();
  try {
    inside.execute([setLink(link.index, { netNamespaceFd: home.fd, name })]);
  } catch (error) {
    throw isNetlinkError(error, "EEXIST") ? new DeviceNameTakenError(name, { cause: error }) : error;
  }
  const back = host.get(getLink(name));
  if (back === undefined) throw new Error(`device ${name} was moved and is gone`);
  settleDevice(host, back, origin);
}

/** Makes a device that is back on the host, whoever moved it, what it was. Throws as `reclaimDevice` does. */
export function settleDevice(host: Connection, link: Link, { name, alias, up }: DeviceOrigin): void {
  if (link.name !== name) {
    try {
      // only one that is down can be renamed
      host.execute([setLink(link.index, { up: false }), setLink(link.index, { name })]);
    } catch (error) {
      throw isNetlinkError(error, "EEXIST") ? new DeviceNameTakenError(name, { cause: error }) : error;
    }
  }
  host.execute([setLink(link.index, { alias, up })]);
}

/** Returns all links of a namespace that have an alias. */
export function listTaggedDevices(connection: Connection): Link[] {
  return connection.dump(dumpLinks()).filter(({ alias }) => alias !== "");
}
