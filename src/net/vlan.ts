// A vlan: an interface of a container that sends and receives the tagged frames of one VLAN on an interface of the host. It
// is born inside the container, as a macvlan is.
import { createLink, type Link } from "../netlink/link.ts";
import { bornInside } from "./birth.ts";
import type { Connection } from "./connection.ts";
import { needing } from "./feature.ts";
import { hostNamespaceId } from "./host-namespace.ts";
import { probeLinkDriver } from "./link-driver.ts";

/** The largest number of a VLAN: 4095 is reserved (IEEE 802.1Q). */
export const LARGEST_VLAN = 4094;

/** A vlan that is to be. */
export interface VlanSettings {
  readonly name: string;
  /** The interface of the host that carries the tagged frames. */
  readonly parent: Link;
  readonly id: number;
  /** Undefined is the parent's own. */
  readonly mtu: number | undefined;
}

/** Makes the vlan, still down, and returns it. Throws MissingFeatureError or NetlinkError, and then there is none. */
export function createVlan(inside: Connection, { name, parent, id, mtu }: VlanSettings): Link {
  const settings = { parent: parent.index, parentNamespaceId: hostNamespaceId(inside), mtu };
  const birth = (born: string) =>
    needing(
      () => probeLinkDriver(inside, "vlan"),
      () => inside.execute([createLink(born, { kind: "vlan", data: { id } }, settings)]),
    );
  return bornInside(inside, name, birth);
}
