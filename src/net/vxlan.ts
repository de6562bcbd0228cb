// A vxlan: Ethernet frames in UDP packets to one other node, or to those that it is told of, which have the same number for
// it. The device is inside a namespace, while its packets leave by an interface of the host and obey the host's routes.
import { type Address, addressBytes, addressFromBytes, type Family, formatAddress } from "../ip/address.ts";
import { createLink, type Link, setLink } from "../netlink/link.ts";
import type { LinkDevice } from "../netlink/link-message.ts";
import { isNetlinkError } from "../netlink/message.ts";
import { bornInside } from "./birth.ts";
import type { Connection } from "./connection.ts";
import { needing } from "./feature.ts";
import { probeLinkDriver } from "./link-driver.ts";
import type { Netns } from "./netns.ts";

/** The port that is registered for vxlan (RFC 7348). */
const VXLAN_PORT = 4789;

/** The largest number of a vxlan network (VNI, RFC 7348): 24 bits. */
export const LARGEST_VNI = 0xff_ffff;

/** Returns how many bytes of a packet the vxlan itself takes: the MTU inside is so much smaller than that outside. */
export function vxlanOverhead(family: Family): 50 | 70 {
  return family === 4 ? 50 : 70;
}

/** A vxlan that is to be. */
export interface VxlanSettings {
  readonly name: string;
  /** The number of the network, the same at both ends. */
  readonly vni: number;
  /** The interface of the host by which its packets leave; the host's routes decide where it is left out. */
  readonly parent?: Link | undefined;
  /** Where the other end is; left out where there are several, each told by itself (vxlan-peers.ts). */
  readonly remote?: Address | undefined;
  /** Where its packets come from; the host's routes decide where it is left out. */
  readonly local?: Address | undefined;
  /** The UDP port of both ends; VXLAN_PORT if left out. */
  readonly port?: number | undefined;
  /** Undefined is what the parent leaves. */
  readonly mtu?: number | undefined;
  readonly address?: string | undefined;
  /** Says whose it is. */
  readonly alias?: string | undefined;
}

/** The number of a vxlan that the host has already, on this port. */
export class VniTakenError extends Error {
  override readonly name = "VniTakenError";

  constructor(
    readonly vni: number,
    readonly port: number,
    options?: { readonly cause?: unknown },
  ) {
    super(`the host has a vxlan with the VNI ${vni} on UDP port ${port} already`, options);
  }
}

/** Returns the device as the kernel is told of it. */
export function vxlanDevice({
  vni,
  parent,
  remote,
  local,
  port = VXLAN_PORT,
}: Omit<VxlanSettings, "name">): LinkDevice {
  const from = local === undefined ? undefined : addressBytes(local);
  const to = remote === undefined ? undefined : addressBytes(remote);
  const { family } = remote ?? local ?? { family: 4 };
  return {
    kind: "vxlan",
    data: {
      parent: parent?.index,
      id: vni,
      ...(family === 4 ? { remote: to, local: from } : { local6: from, remote6: to }),
      // where the other ends are is known: a frame with a false sender must not turn what follows elsewhere
      learning: 0,
      port,
    },
  };
}

/**
 * Makes the vxlan inside the namespace, still down, and returns it. Throws VniTakenError, MissingFeatureError or
 * NetlinkError, EEXIST where the container has an interface of that name, and then there is none.
 */
export function createVxlan(
  host: Connection,
  netns: Netns,
  inside: Connection,
  settings: VxlanSettings,
): Link {
  const { name, alias, mtu, address } = settings;
  // on a socket of the host, because the namespace that asks is the one whose routes and ports the device uses
  const birth = (born: string) => {
    try {
      needing(
        () => probeLinkDriver(host, "vxlan"),
        () =>
          host.execute([createLink(born, vxlanDevice(settings), { mtu, address, netNamespaceFd: netns.fd })]),
      );
    } catch (error) {
      if (!isNetlinkError(error, "EEXIST") || !error.text.includes("VNI")) throw error;
      throw new VniTakenError(settings.vni, settings.port ?? VXLAN_PORT, { cause: error });
    }
  };
  const made = bornInside(inside, name, birth);
  if (alias !== undefined) inside.execute([setLink(made.index, { alias })]);
  return made;
}

/** What makes a link a vxlan, as far as it matters here. */
export interface Vxlan {
  readonly vni: number;
  readonly port: number;
  /** Where the other end is, spelled as an address; empty where nobody said. */
  readonly remote: string;
  /** Where its packets come from; empty where nobody said. */
  readonly local: string;
  /** It takes senders for where they say they are. */
  readonly learns: boolean;
}

/** Returns what kind of vxlan the link is; undefined if it is none. */
export function vxlanOf({ device }: Link): Vxlan | undefined {
  if (device?.kind !== "vxlan" || device.data === undefined) return undefined;
  const { id = 0, port = 0, remote, remote6, local, local6, learning } = device.data;
  const spelled = (bytes: Uint8Array | undefined) =>
    bytes === undefined ? "" : formatAddress(addressFromBytes(bytes));
  return {
    ...{ vni: id, port, remote: spelled(remote ?? remote6), local: spelled(local ?? local6) },
    learns: learning === 1,
  };
}
