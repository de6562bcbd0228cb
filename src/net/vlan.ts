// A vlan: an interface of a container that sends and receives the tagged frames of one VLAN on another interface, which is on
// the host, or in the container too. It is born inside the container, as a macvlan is.
import { createLink, type Link, setLink } from "../netlink/link.ts";
import { isNetlinkError } from "../netlink/message.ts";
import { bornInside } from "./birth.ts";
import type { Connection } from "./connection.ts";
import { needing } from "./feature.ts";
import { probeLinkDriver } from "./link-driver.ts";
import { masterNamespaceId, UnfitMasterError } from "./master.ts";

/** The largest number of a VLAN: 4095 is reserved (IEEE 802.1Q). */
export const LARGEST_VLAN = 4094;

/** A vlan that is to be. */
export interface VlanSettings {
  readonly name: string;
  /** The interface that carries the tagged frames. */
  readonly parent: Link;
  /** True if the parent lives in the container too, and not on the host. */
  readonly parentInside?: boolean;
  readonly id: number;
  /** Undefined is the parent's own. */
  readonly mtu: number | undefined;
  /** Names the attachment to operators, and to a DEL or GC whose store was lost. */
  readonly alias?: string | undefined;
}

/**
 * Makes the vlan, still down, and returns it. Throws UnfitMasterError, MissingFeatureError or NetlinkError, and then there
 * is none, unless it could not be tagged.
 */
export function createVlan(inside: Connection, settings: VlanSettings): Link {
  const { name, parent, parentInside = false, id, mtu, alias } = settings;
  const own = { parent: parent.index, parentNamespaceId: masterNamespaceId(inside, parentInside), mtu };
  const birth = (born: string) =>
    needing(
      () => probeLinkDriver(inside, "vlan"),
      () => inside.execute([createLink(born, { kind: "vlan", data: { id } }, own)]),
    );
  let link: Link;
  try {
    link = bornInside(inside, name, birth);
  } catch (error) {
    throw explained(error, settings);
  }
  if (alias !== undefined) inside.execute([setLink(link.index, { alias })]);
  return link;
}

/** What the kernel's error numbers mean here. */
function explained(error: unknown, { parent, id }: VlanSettings): unknown {
  const name = JSON.stringify(parent.name);
  if (isNetlinkError(error, "EEXIST")) {
    return new UnfitMasterError(
      `master ${name} has an interface for VLAN ${id} already`,
      "a VLAN has one on each master, on the host or in one container: choose another vlanId or master",
      { cause: error },
    );
  }
  if (isNetlinkError(error, "EOPNOTSUPP")) {
    return new UnfitMasterError(`master ${name} can't carry VLANs`, "choose an Ethernet device as master", {
      cause: error,
    });
  }
  return error;
}

/** Returns the number of the VLAN that the link is of; undefined if it is no vlan. */
export function vlanIdOf({ device }: Link): number | undefined {
  return device?.kind === "vlan" ? device.data?.id : undefined;
}
