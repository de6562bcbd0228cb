// The nodes of a mesh as they were last read from the store. Only what has changed is read again, so that of a thousand nodes
// none asks for the other thousand whenever one of them comes.
import { type IncompleteNode, type KnownNodes, knownNodes, type NodeSource } from "./node.ts";
import type { RegisteredNode, Registry } from "./registry.ts";

/** A node joins, builds its part of the mesh, and tells then where it is: so long it may take until it lacks something. */
const SETTLING_MS = 10_000;

/** What was read of the store. As a source of nodes it tells what it knows, and reads nothing. */
export class NodeDirectory implements NodeSource {
  readonly #nodes = new Map<string, RegisteredNode>();
  #revision = 0;

  constructor(private readonly registry: Registry) {}

  /** This node as the store has it; undefined where it is none of the mesh. */
  get own(): RegisteredNode | undefined {
    const own = this.#nodes.get(this.registry.node);
    return own?.leftAtMs === undefined ? own : undefined;
  }

  /** Reads all nodes; returns whether anything is otherwise than it was. Rejects with SharedStoreError. */
  async readAll(): Promise<boolean> {
    const nodes = await this.registry.list();
    const names = new Set(nodes.map(({ name }) => name));
    const gone = [...this.#nodes.keys()].filter((name) => !names.has(name));
    for (const name of gone) this.#nodes.delete(name);
    return this.#take(nodes) || gone.length > 0;
  }

  /** Reads the nodes that have changed; returns whether there are any. Rejects with SharedStoreError. */
  async readChanges(): Promise<boolean> {
    return this.#take(await this.registry.list(this.#revision));
  }

  #take(nodes: readonly RegisteredNode[]): boolean {
    let isOther = false;
    for (const node of nodes) {
      isOther ||= this.#nodes.get(node.name)?.revision !== node.revision;
      this.#nodes.set(node.name, node);
      this.#revision = Math.max(this.#revision, node.revision);
    }
    return isOther;
  }

  /** Returns the other nodes that are in the mesh. */
  known(): KnownNodes {
    const others = [...this.#nodes.values()].filter(
      ({ name, leftAtMs }) => name !== this.registry.node && leftAtMs === undefined,
    );
    return knownNodes(others);
  }

  async nodes(): Promise<KnownNodes> {
    return this.known();
  }

  /** Returns those that lack something, and not only because they are about to come. */
  lacking(): readonly IncompleteNode[] {
    return this.known().incomplete.filter(({ name }) => {
      const node = this.#nodes.get(name);
      return (
        node !== undefined && Date.now() - node.heardAtMs + node.readAtMs - node.joinedAtMs > SETTLING_MS
      );
    });
  }
}
