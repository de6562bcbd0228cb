// The birth of a link inside a container that stands on one of the host's. Before Linux 6.14 the kernel looks on the host,
// too, whether the name is free, and every host has an eth0: then it is born under a name that nobody has, and renamed.
import { deleteLink, getLink, type Link, setLink } from "../netlink/link.ts";
import { ignoring, isNetlinkError } from "../netlink/message.ts";
import type { Connection } from "./connection.ts";

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
