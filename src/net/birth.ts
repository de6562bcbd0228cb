// The birth of links inside containers, under their final names: of a pair between two of them, and of a link that stands on
// one of the host's. Before Linux 6.14 the kernel looks on the host, too, whether the name of the latter is free, and every
// host has an eth0: then it is born under a name that nobody has, and renamed.
import { createLink, deleteLink, getLink, type Link, setLink, veth } from "../netlink/link.ts";
import { ignoring, isNetlinkError } from "../netlink/message.ts";
import type { Connection } from "./connection.ts";
import { needing } from "./feature.ts";
import { probeLinkDriver } from "./link-driver.ts";
import type { Netns } from "./netns.ts";

/** An end of a pair that is to be born. */
export interface PairEnd {
  readonly netns: Netns;
  readonly name: string;
  /** The kernel makes one up where it is left out. */
  readonly hardwareAddress?: string;
}

/**
 * Makes a pair in one message, with each end in its namespace, both down; `inside` is a connection to that of `one`. Throws
 * MissingFeatureError or NetlinkError, EEXIST where either namespace has a link of that name, and then there is none.
 */
export function bornAsPair(inside: Connection, one: PairEnd, other: PairEnd, mtu: number | undefined): void {
  const far = veth({ name: other.name, address: other.hardwareAddress, mtu, netNamespaceFd: other.netns.fd });
  const birth = createLink(one.name, far, { address: one.hardwareAddress, mtu });
  needing(
    () => probeLinkDriver(inside, "veth"),
    () => inside.execute([birth]),
  );
}

/**
 * Returns the link that `birth` makes inside the container under the name that it is given. Throws what `birth` throws,
 * EEXIST where the container has a link of that name, and then there is none.
 */
export function bornInside(inside: Connection, name: string, birth: (name: string) => void): Link {
  try {
    birth(name);
  } catch (error) {
    if (!isNetlinkError(error, "EEXIST") || inside.get(getLink(name)) !== undefined) throw error;
    const passing = passingName();
    birth(passing);
    rename(inside, existing(inside, passing).index, name);
  }
  return existing(inside, name);
}

function passingName(): string {
  const [number = 0] = crypto.getRandomValues(new Uint32Array(1));
  return `warren-${number.toString(16).padStart(8, "0")}`;
}

function rename(inside: Connection, index: number, name: string): void {
  try {
    inside.execute([setLink(index, { name })]);
  } catch (error) {
    inside.execute([ignoring(deleteLink(index), "ENODEV")]);
    throw error;
  }
}

function existing(inside: Connection, name: string): Link {
  const link = inside.get(getLink(name));
  if (link === undefined) throw new Error(`interface ${name} was made and is gone`);
  return link;
}
