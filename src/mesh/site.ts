// Where the pieces of the mesh stand: the host, and the namespace of the tunnel, which may not be there yet or no more.
import { CniError, ErrorCode } from "../cni/error.ts";
import { type Connection, connectHost, connectInside } from "../net/connection.ts";
import { allLinks } from "../net/link-shape.ts";
import { createNetns, deleteNetns, type Netns, NetnsError, openNetns } from "../net/netns.ts";
import { findLink, type Link } from "../net/veth.ts";
import { statFile } from "../sys/files.ts";
import type { MeshNames } from "./plan.ts";

/** The namespace of the tunnel, open. */
export interface Inside {
  readonly netns: Netns;
  readonly connection: Connection;
}

/** The host and the namespace of the tunnel. Closed with `using`. */
export class Site implements Disposable {
  readonly host: Connection = connectHost();
  #inside: Inside | undefined;

  constructor(readonly names: MeshNames) {}

  /** Returns the namespace of the tunnel; undefined where there is none. Throws NetnsError, SystemError. */
  inside(): Inside | undefined {
    const { path } = this.names.netns;
    const inode = statFile(path)?.inode;
    if (this.#inside !== undefined && this.#inside.netns.inode === inode) return this.#inside;
    this.#close();
    if (inode === undefined || this.isUnfinished()) return undefined;
    const netns = openNetns(path);
    this.#inside = { netns, connection: connectInside(netns) };
    return this.#inside;
  }

  /** Returns the namespace of the tunnel, which an earlier piece has made. */
  requireInside(): Inside {
    const inside = this.inside();
    if (inside === undefined) throw new NetnsError(this.names.netns.path, "missing");
    return inside;
  }

  /** True for the empty file that an interrupted creation leaves in the place of a namespace. */
  isUnfinished(): boolean {
    const { path } = this.names.netns;
    const file = statFile(path);
    if (file === undefined || file.bytes !== 0n || file.kind !== "file") return false;
    try {
      openNetns(path)[Symbol.dispose]();
      return false;
    } catch (error) {
      if (error instanceof NetnsError && error.problem === "not a network namespace") return true;
      throw error;
    }
  }

  /** Makes the namespace of the tunnel. */
  createInside(): void {
    const { path } = this.names.netns;
    if (this.isUnfinished()) deleteNetns(path);
    createNetns(path);
  }

  /** Takes its name from the namespace of the tunnel, which goes then unless somebody else is in it. */
  deleteInside(): void {
    this.#close();
    deleteNetns(this.names.netns.path);
  }

  /** Returns the interfaces in the namespace of the tunnel that are up and not the mesh's. */
  foreignLinks({ connection }: Inside): Link[] {
    const ours = [this.names.pair.inner, ...this.names.tunnelNames, "lo"];
    return allLinks(connection).filter(({ name, up }) => up && !ours.includes(name));
  }

  /** Returns an interface of the host; throws CniError 102 where it is of another kind, or somebody else's. */
  ownLink(name: string, kind: string): Link | undefined {
    const link = findLink(this.host, name);
    if (link === undefined) return undefined;
    const { alias } = this.names;
    if (link.kind === kind && (link.alias === "" || link.alias === alias)) return link;
    throw new CniError(
      ErrorCode.nameTaken,
      `there is an interface ${name} already: ${link.kind === kind ? `a ${kind} that belongs to ${JSON.stringify(link.alias)}` : `a ${link.kind || "physical interface"}, no ${kind}`}`,
      "remove it, or give the mesh another bridge or netns in its configuration",
    );
  }

  #close(): void {
    this.#inside?.connection[Symbol.dispose]();
    this.#inside?.netns[Symbol.dispose]();
    this.#inside = undefined;
  }

  [Symbol.dispose](): void {
    this.#close();
    this.host[Symbol.dispose]();
  }
}
