// `warren node list`: the nodes of the mesh as the store has them: whose which block is, where each is reached, and when it
// was last heard of.
import { formatAddress } from "../../ip/address.ts";
import { formatPrefix } from "../../ip/prefix.ts";
import { openRegistry, type RegisteredNode } from "../../mesh/registry.ts";
import { readMeshSettings } from "../../mesh/settings.ts";
import { writeStdout } from "../../sys/stdio.ts";
import { operatorCommand } from "../command.ts";
import { ageSince } from "../pod/known.ts";
import { printTable } from "../terminal/table.ts";
import { explained, meshFlags } from "./mesh-command.ts";

/** Whoever runs `warren node run` is heard of several times in this time. */
export const SILENT_AFTER_MS = 120_000;

/** A node as it is shown. Times are in ISO 8601. */
interface ListedNode {
  readonly name: string;
  /** True for the node that is asked. */
  readonly self: boolean;
  readonly nodeCIDRs: readonly string[];
  /** Where others reach it; null as long as it has not said so. */
  readonly address: string | null;
  readonly port: number | null;
  readonly publicKey: string | null;
  readonly hardwareAddress: string | null;
  readonly backend: string;
  readonly joined: string;
  readonly seen: string;
  readonly left: string | null;
  /** Until when the blocks of one that has left stay its own. */
  readonly reservedUntil: string | null;
  readonly state: "there" | "silent" | "left";
}

function timeText(timeMs: number | undefined): string | null {
  return timeMs === undefined ? null : new Date(timeMs).toISOString();
}

function listedNode(node: RegisteredNode, self: string): ListedNode {
  const silent = node.readAtMs - node.seenAtMs > SILENT_AFTER_MS;
  return {
    name: node.name,
    self: node.name === self,
    nodeCIDRs: node.blocks.map(formatPrefix),
    address: node.address === undefined ? null : formatAddress(node.address),
    port: node.address === undefined ? null : node.port,
    publicKey: node.publicKey ?? null,
    hardwareAddress: node.hardwareAddress ?? null,
    backend: node.backend,
    joined: new Date(node.joinedAtMs).toISOString(),
    seen: new Date(node.seenAtMs).toISOString(),
    left: timeText(node.leftAtMs),
    reservedUntil: timeText(node.reservedUntilMs),
    state: node.leftAtMs !== undefined ? "left" : silent ? "silent" : "there",
  };
}

/** Ages are by the server's clock, which wrote the times. */
function inTable(node: ListedNode, { seenAtMs, reservedUntilMs, readAtMs }: RegisteredNode): object {
  const isV6 = node.address?.includes(":") === true;
  const reserved =
    reservedUntilMs !== undefined && reservedUntilMs > readAtMs
      ? `left, block reserved for ${ageSince(readAtMs, reservedUntilMs)}`
      : "left, block free";
  return {
    node: node.name,
    cidrs: node.nodeCIDRs.join(" "),
    endpoint: node.address === null ? "" : `${isV6 ? `[${node.address}]` : node.address}:${node.port}`,
    backend: node.backend,
    seen: `${ageSince(seenAtMs, readAtMs)} ago`,
    state: node.state === "left" ? reserved : node.self ? `${node.state}, this node` : node.state,
  };
}

export const command = operatorCommand({
  name: "list",
  description: "List the nodes of the mesh that are in the store, with their blocks",
  args: meshFlags,
  async run({ args }) {
    const registry = openRegistry(readMeshSettings(args.config));
    const nodes = await explained(() => registry.list());
    const rows = nodes.map((node) => listedNode(node, registry.node));
    if (args.json === true) writeStdout(`${JSON.stringify(rows, null, 4)}\n`);
    else if (rows.length === 0) writeStdout("no nodes\n");
    else printTable(nodes.map((node) => inTable(listedNode(node, registry.node), node)));
    return 0;
  },
});
