// A node of a mesh in a lab: a namespace with a configuration of its own, and the commands as they are called on it.
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { MissingFeatureError } from "../../net/feature.ts";
import { probeWireguard } from "../../net/wireguard.ts";
import type { Stage } from "./stage.ts";

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
