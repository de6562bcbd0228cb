// The nodes of a mesh in a lab: namespaces on one wire, each with a configuration of its own, the commands as they are called on
// them, and what both stories of the mesh begin and end with.
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import wire from "../../../conf/lab-mesh-wire.conflist" with { type: "text" };
import { MissingFeatureError } from "../../net/feature.ts";
import { NETNS_DIRECTORY } from "../../net/netns.ts";
import { probeWireguard } from "../../net/wireguard.ts";
import { type ConfFile, FOLDERS } from "./sandbox.ts";
import { demand, type Stage } from "./stage.ts";

/** By what the nodes of a lab reach each other, and why. */
export interface LabBackend {
  readonly name: "wireguard" | "vxlan";
  readonly port: number;
  readonly tunnel: string;
  readonly mtu: number;
}

/** Returns wireguard where the kernel has it, over a wire of 1500 bytes. */
export function labBackend(): LabBackend {
  try {
    probeWireguard();
    return { name: "wireguard", port: 28_384, tunnel: "wg0", mtu: 1440 };
  } catch (error) {
    if (!(error instanceof MissingFeatureError)) throw error;
    return { name: "vxlan", port: 4789, tunnel: "vxlan0", mtu: 1450 };
  }
}

/** What the configuration of one node says of another one. */
export interface LabPeer {
  readonly name: string;
  readonly address: string;
  readonly port?: number;
  readonly publicKey?: string | undefined;
  readonly nodeCIDRs: readonly string[];
}

/** What is not shown of an ADD's result. */
export const OTHER_LINES = "tell of its interfaces and routes";

/** Says which backend it is, where it is not the one that one would want. */
export function sayBackend(stage: Stage, { name }: LabBackend): void {
  if (name === "wireguard") stage.say("The tunnel is wireguard: what is on the wire is encrypted.");
  else {
    stage.say(`This kernel has no wireguard, so the tunnel is a vxlan: the packets are the same, but in the clear. All
      else of this lab is as it would be with wireguard.`);
  }
}

/** Writes a configuration, and shows it. */
export function configure(stage: Stage, file: string, config: object): void {
  const text = `${JSON.stringify(config, null, 2).replace(/\[\n\s+("[^"]*")\n\s+\]/g, "[$1]")}\n`;
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
  stage.command(`cat ${file}`);
  stage.output(text);
}

/** Returns the public key in what `warren node show` printed; undefined for a tunnel without keys. */
export function publicKeyIn(shown: string): string | undefined {
  return /^public key (\S+)$/m.exec(shown)?.[1];
}

/** The network that the nodes are attached to. */
export const CONF_FILES: readonly ConfFile[] = [{ path: `${FOLDERS.conf}/10-wire.conflist`, text: wire }];

/** This machine's own address there, which plays the world beyond. */
export const OUTSIDE = "192.0.2.254";

/** The nodes are called node1 to node3. */
export type NodeNumber = 1 | 2 | 3;

/** Returns where the configuration of a node is. */
export function fileOf(number: NodeNumber): string {
  return `/run/lab/node${number}/mesh.json`;
}

/** Returns the command line as it is called on a node. */
export function on(number: NodeNumber, line: string): string {
  return `warren enter node${number} -- warren ${line}`;
}

/** Returns a command line of `warren node` as it is called on a node. */
export function node(number: NodeNumber, verb: string): string {
  return on(number, `node ${verb} --config ${fileOf(number)}`);
}

/** Returns what the configurations of all nodes say, wherever these know each other from. */
export function configOf(number: NodeNumber): object {
  return {
    ...{ clusterCIDRs: ["10.244.0.0/16"], backend: labBackend().name },
    ...{ netns: `wg${number}`, dataDir: `/run/lab/node${number}` },
    conflist: `/run/lab/node${number}/net.d/10-mesh.conflist`,
  };
}

/** Attaches the node's pod, which has its number. */
export async function attachPod(stage: Stage, number: NodeNumber, address: string): Promise<void> {
  const line = on(number, `add mesh pod${number} --cni-conf-dir /run/lab/node${number}/net.d`);
  await stage.showAddress(line, address, OTHER_LINES);
}

/** The step that all stories begin with. */
export async function makeNodes(stage: Stage): Promise<void> {
  stage.begin("Three nodes and a wire");
  stage.say(`Namespaces play the nodes. The wire between them is a network of this machine, which attaches a node as it would a
    pod; this machine itself, at ${OUTSIDE}, plays the world beyond.`);
  await stage.show("warren lab netns node1 node2 node3");
  for (const number of [1, 2, 3]) {
    await stage.showAddress(`warren add wire node${number}`, `192.0.2.${number}/24`, OTHER_LINES);
  }
}

/** Demands that nothing but the tunnel's packets, and who asks for neighbours, was on the wire. */
export function demandOnlyTunnel(table: string, { port }: LabBackend): void {
  const rows = table.split("\n").filter((line) => /^\d+ /.test(line));
  const others = rows.filter((row) => !/^\d+ +neighbours$/.test(row) && !isTunnel(row, port));
  demand(
    rows.some((row) => isTunnel(row, port)),
    `packets to UDP port ${port}`,
  );
  demand(others.length === 0, `nothing else on the wire; there was: ${others.join("; ")}`);
}

function isTunnel(row: string, port: number): boolean {
  return new RegExp(`^\\d+ +UDP +192\\.0\\.2\\.[12] +192\\.0\\.2\\.[12] +${port}$`).test(row);
}

/** The step that all stories end with, on nodes that are up and have their pod. */
export async function end(stage: Stage, numbers: readonly NodeNumber[]): Promise<void> {
  stage.begin("Down, and nothing is left");
  for (const number of numbers) {
    await stage.show(on(number, `del mesh pod${number} --cni-conf-dir /run/lab/node${number}/net.d`));
    await stage.show(node(number, "down"));
  }
  for (const number of [1, 2, 3] as const) {
    const { stdout } = await stage.show(on(number, "lab inventory mesh"));
    demand(stdout === "interfaces:  lo, eth0\nnft chains:  none\n", "nothing but lo and the wire");
  }
  await stage.show("warren leases mesh");
  for (const number of [1, 2, 3] as const) await stage.show(`warren del wire node${number}`);
  await stage.show("warren lab netns --delete node1 node2 node3 pod1 pod2 pod3");
  demand(readdirSync(NETNS_DIRECTORY).length === 0, "no namespace");
  stage.confirm("nothing is left, and the sandbox itself ends with this lab");
}
