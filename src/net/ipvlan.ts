// An ipvlan: an interface of the container that shares a network card with its host, hardware address and all; packets find
// it by its addresses. It is born inside the container, as a macvlan is.
import { createLink, type Link, setLink } from "../netlink/link.ts";
import { IpvlanMode } from "../netlink/link-message.ts";
import { isNetlinkError } from "../netlink/message.ts";
import { bornInside } from "./birth.ts";
import type { Connection } from "./connection.ts";
import { needing } from "./feature.ts";
import { probeLinkDriver } from "./link-driver.ts";
import { masterNamespaceId, UnfitMasterError } from "./master.ts";

/** Whether neighbours are asked for (l2), the host routes (l3), or routes and filters (l3s). */
export type IpvlanModeName = keyof typeof IpvlanMode;

/** Returns the mode of that name; undefined if there is none. */
export function ipvlanMode(name: string): IpvlanModeName | undefined {
  return name === "l2" || name === "l3" || name === "l3s" ? name : undefined;
}

/** An ipvlan that is to be. */
export interface IpvlanSettings {
  readonly name: string;
  readonly master: Link;
  /** True if the master lives in the container too, and not on the host. */
  readonly masterInside: boolean;
  /** All ipvlans of one master have the same: the last one that is made says which. */
  readonly mode: IpvlanModeName;
  /** Undefined is the master's own. */
  readonly mtu: number | undefined;
  /** Names the attachment to operators, and to a DEL or GC whose store was lost. */
  readonly alias: string | undefined;
}

/**
 * Makes the ipvlan, still down, and returns it. Throws UnfitMasterError, MissingFeatureError or NetlinkError, and then
 * there is none, unless it could not be tagged.
 */
export function createIpvlan(inside: Connection, settings: IpvlanSettings): Link {
  const { name, master, masterInside, mode, mtu, alias } = settings;
  const own = { parent: master.index, parentNamespaceId: masterNamespaceId(inside, masterInside), mtu };
  const device = { kind: "ipvlan", data: { mode: IpvlanMode[mode] } } as const;
  const birth = (born: string) =>
    needing(
      () => probeLinkDriver(inside, "ipvlan"),
      () => inside.execute([createLink(born, device, own)]),
    );
  let link: Link;
  try {
    link = bornInside(inside, name, birth);
  } catch (error) {
    if (!isNetlinkError(error, "EBUSY", "EINVAL")) throw error;
    throw new UnfitMasterError(
      `master ${JSON.stringify(master.name)} can't carry an ipvlan`,
      "a port of a bridge or bond, a master of macvlans and the loopback carry none: choose another master",
      { cause: error },
    );
  }
  if (alias !== undefined) inside.execute([setLink(link.index, { alias })]);
  return link;
}

/** Returns the mode of the link; undefined if it is no ipvlan. */
export function ipvlanModeOf({ device }: Link): IpvlanModeName | undefined {
  if (device?.kind !== "ipvlan") return undefined;
  return (["l2", "l3", "l3s"] as const).find((name) => IpvlanMode[name] === device.data?.mode);
}
