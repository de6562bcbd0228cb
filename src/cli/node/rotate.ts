// `warren node rotate`: a new key for this node. The device gets it at once, and the store tells the others, who drop
// the old one. Nothing is changed unless the store answers: with a key that nobody knows the node would be cut off.
import { readFileSync } from "node:fs";
import { CniError, ErrorCode } from "../../cni/error.ts";
import { log } from "../../log.ts";
import { daemonOf } from "../../mesh/daemon-lock.ts";
import { replaceKey } from "../../mesh/key.ts";
import { bringUp } from "../../mesh/node-network.ts";
import { namesOf } from "../../mesh/plan.ts";
import type { Registry } from "../../mesh/registry.ts";
import { presenceOf } from "../../mesh/store-membership.ts";
import { writeStdout } from "../../sys/stdio.ts";
import { operatorCommand } from "../command.ts";
import { explained, membershipOf, meshFlags, openMesh, registryOf, warnOf } from "./mesh-command.ts";

/** How long a daemon may take to tell the store; it looks at everything before that. */
const PATIENCE_MS = 30_000;
const PAUSE_MS = 50;

export const command = operatorCommand({
  name: "rotate",
  description: "Give this node a new key, and have the other nodes know it",
  args: meshFlags,
  async run({ args }) {
    const mesh = openMesh(args.config);
    const { settings } = mesh;
    if (settings.backend !== "wireguard") {
      throw new CniError(
        ErrorCode.invalidConfig,
        `the nodes of the mesh ${settings.network} have no keys: its backend is ${settings.backend}`,
        'only "backend": "wireguard" has them',
      );
    }
    const registry = registryOf(settings);
    const publicKey = await explained(async () => {
      const membership = await membershipOf(settings);
      const daemon = daemonOf(namesOf(settings));
      if (daemon !== undefined) requireDaemon(daemon);
      const key = await replaceKey(settings.keyFile);
      if (daemon !== undefined) process.kill(daemon, "SIGUSR2");
      else {
        const { peers, incomplete, plan } = await bringUp(mesh, membership);
        warnOf(peers, incomplete);
        await registry?.announce(await presenceOf(plan));
      }
      if (registry !== undefined) await known(registry, key.publicKey);
      return key.publicKey;
    });
    if (registry === undefined) {
      log.warn(
        "no store tells the other nodes: until the new key is in their configurations, nothing gets through",
      );
    }
    if (args.json === true) writeStdout(`${JSON.stringify({ publicKey }, null, 4)}\n`);
    else writeStdout(`public key ${publicKey}\n`);
    return 0;
  },
});

/**
 * Throws CniError unless this is a daemon of the mesh: its number may be that of another namespace, where another
 * process has it.
 */
function requireDaemon(daemon: number): void {
  try {
    if (/\0node\0run\0/.test(readFileSync(`/proc/${daemon}/cmdline`, "utf8"))) return;
  } catch (error) {
    if (!(error instanceof Error && "code" in error)) throw error;
  }
  throw new CniError(
    ErrorCode.tryAgainLater,
    `the mesh is kept by a daemon, process ${daemon}, which can't be told from here`,
    "call this where the daemon runs",
  );
}

/** Waits until the store has the key as this node's; the daemon writes it there. Rejects with CniError 11 if it does not. */
async function known(registry: Registry, publicKey: string): Promise<void> {
  const endMs = Date.now() + PATIENCE_MS;
  for (;;) {
    const nodes = await registry.list();
    if (nodes.some((node) => node.name === registry.node && node.publicKey === publicKey)) return;
    if (Date.now() > endMs) {
      throw new CniError(
        ErrorCode.tryAgainLater,
        `the new key is in place, and the ${registry.location} does not have it yet`,
        "see what the daemon says; the other nodes can't reach this one until then",
      );
    }
    await Bun.sleep(PAUSE_MS);
  }
}
