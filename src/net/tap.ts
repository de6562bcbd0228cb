// A tap: an interface of the container whose other end is a program, such as a virtual machine, which gets and gives whole
// Ethernet frames by /dev/net/tun. It stays when the program that made it ends.
import { getLink, type Link, setLink } from "../netlink/link.ts";
import { isSystemError } from "../sys/libc.ts";
import { allowTap, attachTap, keepTap, openTun } from "../sys/tun.ts";
import type { Connection } from "./connection.ts";
import { MissingFeatureError } from "./feature.ts";
import { inNetns, type Netns } from "./netns.ts";
import { rehearse } from "./rehearsal.ts";

const PROBE = "warren-probe";

/** Whose programs may be the other end, and how. */
export interface TapAccess {
  /** The number of a user; undefined is none but who administers the container's network. */
  readonly owner: number | undefined;
  /** The number of a group, likewise. */
  readonly group: number | undefined;
  /** Several threads of the program may each have a queue. */
  readonly multiQueue: boolean;
}

/** A tap that is to be. */
export interface TapSettings extends TapAccess {
  readonly name: string;
  /** Undefined is the kernel's own, 1500. */
  readonly mtu: number | undefined;
  /** Undefined is a random one. */
  readonly address: string | undefined;
  /** A bridge in the container that it becomes a port of. */
  readonly bridge: Link | undefined;
  /** Names the attachment to operators, and to a DEL or GC whose store was lost. */
  readonly alias: string | undefined;
}

/** Runs `work`, which opens the device of taps; that there is none is told as what the kernel lacks. */
function withDevice<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!isSystemError(error, "ENOENT", "ENODEV", "ENXIO")) throw error;
    throw new MissingFeatureError("/dev/net/tun", "load the module tun", { cause: error });
  }
}

/**
 * Makes the tap, still down, and returns it. It goes by itself where anything fails, or this process is killed, before it is
 * all that it is to be. Throws MissingFeatureError, NetlinkError or SystemError.
 */
export function createTap(netns: Netns, inside: Connection, settings: TapSettings): Link {
  const { name, mtu, address, bridge, alias } = settings;
  // the descriptor belongs to the namespace in which it is opened, and so does all that is made by it
  using tun = withDevice(() => inNetns(netns, openTun));
  attachTap(tun, name, settings.multiQueue);
  allowTap(tun, settings.owner, settings.group);
  inside.execute([setLink(name, { mtu, address, alias, master: bridge?.index })]);
  const link = inside.get(getLink(name));
  if (link === undefined) throw new Error(`interface ${name} was made and is gone`);
  keepTap(tun);
  return link;
}

/** Returns what the kernel says of a tap's access; undefined if the link is none. */
export function tapAccessOf({ device }: Link): TapAccess | undefined {
  if (device?.kind !== "tun") return undefined;
  const { owner, group, multiQueue } = device.data ?? {};
  return { owner, group, multiQueue: multiQueue === 1 };
}

/** Throws MissingFeatureError if no tap can be made: tried in a namespace of its own. Throws SystemError. */
export function probeTap(): void {
  rehearse(() => {
    using tun = withDevice(openTun);
    attachTap(tun, PROBE, false);
  });
}
