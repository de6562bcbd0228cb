// A macvlan: an interface of the container that shares a network card, or any other interface, with its host. It is
// born inside the container, under its final name, on a socket of the container's namespace: before Linux 6.14 a
// socket of the host would look for a link of that name on the host, and every host has an eth0.
import { createLink, getLink, type Link, setLink } from "../netlink/link.ts";
import { MacvlanMode } from "../netlink/link-message.ts";
import { isNetlinkError } from "../netlink/message.ts";
import { bornInside } from "./birth.ts";
import type { Connection } from "./connection.ts";
import { MissingFeatureError, needing } from "./feature.ts";
import { probeLinkDriver } from "./link-driver.ts";
import { masterNamespaceId, UnfitMasterError } from "./master.ts";

/** How macvlans of one master reach each other: directly, not at all, by the switch, or there is only one. */
export type MacvlanModeName = "bridge" | "private" | "vepa" | "passthru";

/** A macvlan that is to be. */
export interface MacvlanSettings {
  readonly name: string;
  readonly master: Link;
  /** True if the master lives in the container too, and not on the host. */
  readonly masterInside: boolean;
  readonly mode: MacvlanModeName;
  /** Undefined is the master's own. */
  readonly mtu: number | undefined;
  /** Undefined is a random one; in mode passthru the master's, and then another one becomes the master's too. */
  readonly address: string | undefined;
  /** Names the attachment to operators, and to a DEL or GC whose store was lost. */
  readonly alias: string | undefined;
  /** How many broadcasts may wait for delivery; undefined is the kernel's default of 1000. */
  readonly broadcastQueueLength: number | undefined;
}

/**
 * Makes the macvlan, still down, and returns it; `finishMacvlan` has to follow. Throws UnfitMasterError,
 * MissingFeatureError or NetlinkError, and then there is none.
 */
export function createMacvlan(inside: Connection, settings: MacvlanSettings): Link {
  const { name, master, mode, address, broadcastQueueLength } = settings;
  const device = { kind: "macvlan", data: { broadcastQueueLength, mode: MacvlanMode[mode] } } as const;
  const own = {
    parent: master.index,
    parentNamespaceId: masterNamespaceId(inside, settings.masterInside),
    mtu: settings.mtu,
    address,
  };
  const birth = (born: string) =>
    needing(
      () => probeLinkDriver(inside, "macvlan"),
      () => inside.execute([createLink(born, device, own)]),
    );
  try {
    return bornInside(inside, name, birth);
  } catch (error) {
    throw explained(error, settings);
  }
}

/** Gives a macvlan what the kernel takes only after its birth, and returns it. Throws as `createMacvlan` does. */
export function finishMacvlan(inside: Connection, made: Link, settings: MacvlanSettings): Link {
  const { alias, address, mode, broadcastQueueLength } = settings;
  // at birth a macvlan of mode passthru has no address but the master's
  inside.execute([setLink(made.index, { alias, ...(mode === "passthru" ? { address } : {}) })]);
  const link = existing(inside, made.index);
  if (broadcastQueueLength !== undefined && macvlanOf(link)?.broadcastQueueLength === undefined) {
    throw new MissingFeatureError("bcqueuelen of macvlans", "remove bcqueuelen, or use Linux 5.11 or newer");
  }
  return link;
}

function existing(inside: Connection, which: number | string): Link {
  const link = inside.get(getLink(which));
  if (link === undefined) throw new Error(`interface ${which} was made and is gone`);
  return link;
}

/** What the kernel's error numbers mean here; it says nothing else about them. */
function explained(error: unknown, { master, mode }: MacvlanSettings): unknown {
  if (isNetlinkError(error, "EBUSY")) {
    return new UnfitMasterError(
      `master ${JSON.stringify(master.name)} can't carry a macvlan: it is a port of another device`,
      "a port of a bridge, bond or ipvlan carries none: name that device itself as master",
      { cause: error },
    );
  }
  if (isNetlinkError(error, "EINVAL") && error.text === "") {
    return new UnfitMasterError(
      mode === "passthru"
        ? `master ${JSON.stringify(master.name)} can't carry a macvlan in mode passthru: it has others, or is no Ethernet device`
        : `master ${JSON.stringify(master.name)} can't carry a macvlan: another one has it in mode passthru, or it is no Ethernet device`,
      "mode passthru takes a master for itself alone: choose another master, or mode bridge",
      { cause: error },
    );
  }
  return error;
}

/** What makes a link a macvlan. */
export interface Macvlan {
  readonly mode: MacvlanModeName | undefined;
  /** Undefined on kernels that do not tell. */
  readonly broadcastQueueLength: number | undefined;
}

/** Returns what kind of macvlan the link is; undefined if it is none. */
export function macvlanOf({ device }: Link): Macvlan | undefined {
  if (device?.kind !== "macvlan") return undefined;
  const names = ["bridge", "private", "vepa", "passthru"] as const;
  return {
    mode: names.find((name) => MacvlanMode[name] === device.data?.mode),
    broadcastQueueLength: device.data?.broadcastQueueLength,
  };
}
