// A dummy: an interface that leads nowhere, for addresses that a container has for itself.
import { createLink, getLink, type Link, setLink } from "../netlink/link.ts";
import type { Connection } from "./connection.ts";
import { needing } from "./feature.ts";
import { probeLinkDriver } from "./link-driver.ts";

/**
 * Makes a dummy inside the container, still down, and returns it. Throws MissingFeatureError or NetlinkError, and then
 * there is none, unless it could not be tagged.
 */
export function createDummy(inside: Connection, name: string, alias: string | undefined): Link {
  needing(
    () => probeLinkDriver(inside, "dummy"),
    () => inside.execute([createLink(name, { kind: "dummy" })]),
  );
  if (alias !== undefined) inside.execute([setLink(name, { alias })]);
  const link = inside.get(getLink(name));
  if (link === undefined) throw new Error(`interface ${name} was made and is gone`);
  return link;
}
