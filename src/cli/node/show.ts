// `warren node show`: what there is of the mesh on this node, what is missing or wrong, and each of the other nodes.
import { formatAddress } from "../../ip/address.ts";
import { formatPrefix } from "../../ip/prefix.ts";
import { look, type Shown } from "../../mesh/node-network.ts";
import { findingText } from "../../mesh/topology.ts";
import { writeStdout } from "../../sys/stdio.ts";
import { operatorCommand } from "../command.ts";
import { printTable } from "../terminal/table.ts";
import { explained, knownMembershipOf, meshFlags, openMesh, warnOf } from "./mesh-command.ts";

/** An address and a port, as both are written together (RFC 3986 for IPv6). */
function endpointText({ endpoint: { address, port } }: Shown["peers"][number]["node"]): string {
  const text = formatAddress(address);
  return address.family === 4 ? `${text}:${port}` : `[${text}]:${port}`;
}

function document({ plan, findings, peers, incomplete, rememberedSince }: Shown): object {
  const { network, backend, mtu, blocks, bridge, netns, tunnel } = plan;
  return {
    ...{ network, backend, mtu, bridge, netns: netns.name, tunnel: tunnel.name },
    ...{ address: formatAddress(tunnel.address), port: tunnel.port },
    publicKey: tunnel.key?.publicKey ?? null,
    nodeCIDRs: blocks.map(({ subnet }) => formatPrefix(subnet)),
    complete: findings.length === 0,
    findings,
    peers: peers.map((peer) => ({
      name: peer.name,
      endpoint: endpointText(peer.node),
      nodeCIDRs: peer.node.blocks.map(formatPrefix),
      known: peer.known,
      lastHandshake: peer.lastHandshakeMs === undefined ? null : new Date(peer.lastHandshakeMs).toISOString(),
      receivedBytes: peer.receivedBytes ?? null,
      sentBytes: peer.sentBytes ?? null,
    })),
    incomplete,
    remembered: rememberedSince ?? null,
  };
}

function inTable(peer: Shown["peers"][number]): object {
  return {
    node: peer.name,
    endpoint: endpointText(peer.node),
    blocks: peer.node.blocks.map(formatPrefix).join(" "),
    state: peer.known ? "known" : "missing",
    handshake: peer.lastHandshakeMs === undefined ? "" : new Date(peer.lastHandshakeMs).toISOString(),
    received: peer.receivedBytes ?? "",
    sent: peer.sentBytes ?? "",
  };
}

export const command = operatorCommand({
  name: "show",
  description: "Show this node's part of the mesh, what is missing of it, and the other nodes",
  args: meshFlags,
  async run({ args }) {
    const mesh = openMesh(args.config);
    const shown = await explained(async () => look(mesh, await knownMembershipOf(mesh.settings)));
    const { plan, findings, peers, incomplete, rememberedSince } = shown;
    // what is remembered is as good as the store's until that says otherwise, which nobody can know
    const isWhole =
      findings.length === 0 && peers.every(({ known }) => known) && rememberedSince === undefined;
    if (args.json === true) {
      writeStdout(`${JSON.stringify(document(shown), null, 4)}\n`);
      return isWhole ? 0 : 1;
    }
    warnOf({ unfit: [] }, incomplete);
    const blocks = plan.blocks.map(({ subnet }) => formatPrefix(subnet)).join(" ");
    writeStdout(
      `network ${plan.network}: ${blocks} by ${plan.backend} from ${formatAddress(plan.tunnel.address)} port ${plan.tunnel.port}, MTU ${plan.mtu}\n`,
    );
    if (rememberedSince !== undefined)
      writeStdout(`remembered since ${rememberedSince}, without the store\n`);
    if (plan.tunnel.key !== undefined) writeStdout(`public key ${plan.tunnel.key.publicKey}\n`);
    for (const finding of findings) writeStdout(`${findingText(finding)}\n`);
    if (findings.length === 0) writeStdout("everything of this node is there\n");
    if (peers.length > 0) printTable(peers.map(inTable));
    return isWhole ? 0 : 1;
  },
});
