// A node of a mesh whose daemon follows a store: how long it takes from a change that another node has written until
// the kernel of this one has the peer as it is to be. Listening, the pause in which several changes become one, and the
// sync are in it.
import { writeFileSync } from "node:fs";
import { parseAddress } from "../src/ip/address.ts";
import { parsePrefix } from "../src/ip/prefix.ts";
import { sharedStore } from "../src/ipam/shared-store.ts";
import { routerOf } from "../src/mesh/plan.ts";
import { Registry } from "../src/mesh/registry.ts";
import { connectInside } from "../src/net/connection.ts";
import { openNetns } from "../src/net/netns.ts";
import { findLink } from "../src/net/veth.ts";
import { brokenVxlanPeers, vxlanHardwareAddress } from "../src/net/vxlan-peers.ts";
import { assertSuccess } from "./command.ts";
import { Database } from "./database.ts";
import type { Stage } from "./stage.ts";

const PORT = 4789;
const FIRST_PORT = 5000;
/** Longer than any of it takes; nothing is measured by it. */
const PATIENCE_MS = 30_000;

/** A daemon that runs on the node of the bench. */
class FollowingNode implements AsyncDisposable {
  readonly #process: Bun.Subprocess<"ignore", "ignore", "pipe">;

  private constructor(
    process: Bun.Subprocess<"ignore", "ignore", "pipe">,
    private readonly takeDown: () => void,
  ) {
    this.#process = process;
  }

  static async start(executable: string, config: string): Promise<FollowingNode> {
    const words = (verb: string) => [executable, "node", verb, "--config", config];
    const process = Bun.spawn(words("run"), { stdin: "ignore", stdout: "ignore", stderr: "pipe" });
    const node = new FollowingNode(process, () => assertSuccess(words("down")));
    const decoder = new TextDecoder();
    let told = "";
    for await (const chunk of process.stderr) {
      told += decoder.decode(chunk, { stream: true });
      if (told.includes("the mesh is up on this node")) return node;
    }
    throw new Error(`the daemon has ended: ${told}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill();
    await this.#process.exited;
    this.takeDown();
  }
}

/**
 * Changes the other node so many times, one change after the other is in the kernel, and returns how long each took in ms.
 * `address` is the node's own, on an interface that is there.
 */
export async function timeChanges(
  stage: Stage,
  executable: string,
  address: string,
  changes: number,
): Promise<number[]> {
  await using database = await Database.start();
  const store = (nodeName: string) => ({ postgres: { ...database.settings, nodeName } });
  const config = stage.file("following.json");
  const said = {
    ...{ network: "following", clusterCIDRs: ["10.0.0.0/12"], backend: "vxlan", address },
    ...{ dataDir: stage.file("following"), conflist: stage.file("following.conflist"), store: store("own") },
  };
  writeFileSync(config, JSON.stringify(said));
  const cluster = parsePrefix("10.0.0.0/12");
  if (cluster === undefined) throw new Error("unreachable: it is a subnet");
  const shared = sharedStore(store("other"), "/nowhere");
  const other = new Registry(shared, {
    ...{ network: "following", clusterCIDRs: [cluster], nodeMasks: { 4: 24, 6: 64 } },
    ...{ backend: "vxlan", vni: 1, port: PORT, graceSeconds: 3600 },
  });
  await using _daemon = await FollowingNode.start(executable, config);
  const [block] = await other.join();
  const endpoint = parseAddress("172.16.0.1");
  if (block === undefined || endpoint === undefined) throw new Error("unreachable: it has one");
  const router = routerOf(block);
  const hardwareAddress = vxlanHardwareAddress(router);
  using netns = openNetns("/run/netns/wg");
  using inside = connectInside(netns);
  const tunnel = findLink(inside, "vxlan0");
  if (tunnel === undefined) throw new Error("the daemon has made no tunnel");
  const samples: number[] = [];
  // the first one is not counted: it makes the peer
  for (let change = 0; change <= changes; change++) {
    const port = FIRST_PORT + change;
    await other.announce({ address: endpoint, port, publicKey: undefined, hardwareAddress });
    const startedAtMs = performance.now();
    const peer = { hardwareAddress, endpoint, port, subnets: [{ subnet: block, router }] };
    while (brokenVxlanPeers(inside, tunnel.index, PORT, [peer]).length > 0) {
      if (performance.now() - startedAtMs > PATIENCE_MS) throw new Error("the peer was not set");
      await Bun.sleep(1);
    }
    if (change > 0) samples.push(performance.now() - startedAtMs);
  }
  shared.store.close();
  return samples;
}
