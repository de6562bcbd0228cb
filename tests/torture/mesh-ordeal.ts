// `warren node up` or `down` that is killed at a step, and what must be true after that: another `up` makes the rest, and
// `down` leaves nothing, whatever was made by then.
import { expect } from "bun:test";
import { tools } from "../../scripts/tools.ts";
import { Sandbox, WARREN } from "../support/sandbox.ts";
import { IS_FULL, sample } from "./extent.ts";
import type { Trial } from "./ordeal.ts";
import { killAt, recordSteps, type Step } from "./steps.ts";

/** What is killed. */
export const NODE_VERBS = ["up", "down"] as const;
export type NodeVerb = (typeof NODE_VERBS)[number];

/** How nodes reach each other: by what every kernel here has, or by what only that of a virtual machine has. */
export type Backend = "vxlan" | "wireguard";

const LINKS = ["link add up0 up type veth peer up1", "link set up1 up", "addr add 192.0.2.1/24 dev up0"];

// by its name alone busybox, which is the shell of a virtual machine, would run its own
const [IP, NFT] = ["ip", "nft"].map((name) => tools.program(name).path ?? name);

/** What another node would say; nobody has the other half. */
const SOMEBODYS_KEY = "5Nz8pQm1bqzX0fUj9aTtGmYw2nq1dC5rT0pV9m8kXQ8=";

/** A host with a configuration of the mesh, on which nothing of it was made yet. */
class MeshHost implements AsyncDisposable {
  private constructor(readonly sandbox: Sandbox) {}

  static async create(backend: Backend): Promise<MeshHost> {
    const host = new MeshHost(await Sandbox.create());
    const { directory } = host.sandbox;
    await host.sandbox.text(["ip", "-batch", "-"], { stdin: LINKS.join("\n") });
    await host.sandbox.text(["mkdir", `${directory}/state`, `${directory}/net.d`]);
    const publicKey = backend === "wireguard" ? { publicKey: SOMEBODYS_KEY } : {};
    const nodeCIDRs = ["10.244.2.0/24", "fd00:244:0:2::/64"];
    const config = {
      ...{ clusterCIDRs: ["10.244.0.0/16", "fd00:244::/48"], backend, address: "192.0.2.1" },
      nodeCIDRs: ["10.244.1.0/24", "fd00:244:0:1::/64"],
      peers: [{ name: "b", address: "192.0.2.2", nodeCIDRs, ...publicKey }],
      ...{ dataDir: `${directory}/state`, conflist: `${directory}/net.d/10-mesh.conflist` },
    };
    await Bun.write(`${directory}/mesh.json`, JSON.stringify(config));
    return host;
  }

  run(verb: string): { readonly command: string[] } {
    return { command: [WARREN, "node", verb, "--config", `${this.sandbox.directory}/mesh.json`] };
  }

  async succeed(verb: string): Promise<string> {
    return this.sandbox.text(this.run(verb).command);
  }

  /** Everything that a mesh could leave, but for the key, which a node keeps. */
  async seen(): Promise<string> {
    const script = [
      `${IP} -j link | grep -o '"ifname":"[^"]*"'; ${IP} route; ${IP} -6 route | grep -v ^fe80 || true`,
      `${NFT} list ruleset; ls -A /run/netns`,
      "cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding",
      `cd ${this.sandbox.directory}; ls -A state net.d | grep -v '^mesh.key$'`,
    ];
    return this.sandbox.text(["sh", "-ec", script.join("\n")]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.sandbox[Symbol.asyncDispose]();
  }
}

/** What is killed, and between which nodes. */
export interface MeshOrdeal {
  readonly verb: NodeVerb;
  readonly backend: Backend;
}

async function begun({
  verb,
  backend,
}: MeshOrdeal): Promise<{ readonly host: MeshHost; readonly clean: string }> {
  const host = await MeshHost.create(backend);
  const clean = await host.seen();
  if (verb === "down") await host.succeed("up");
  return { host, clean };
}

async function stepsOf(ordeal: MeshOrdeal): Promise<Step[]> {
  const { host } = await begun(ordeal);
  await using _ = host;
  const { outcome, steps } = await recordSteps(host.sandbox, host.run(ordeal.verb));
  expect(outcome).toMatchObject({ exitCode: 0 });
  // a virtual machine is slow, and a step that only looks leaves what the one before it left
  return IS_FULL && ordeal.backend !== "wireguard" ? steps : steps.filter(({ looksOnly }) => !looksOnly);
}

async function kill(ordeal: MeshOrdeal, step: Step, cure: NodeVerb): Promise<void> {
  const { host, clean } = await begun(ordeal);
  await using _ = host;
  await killAt(host.sandbox, host.run(ordeal.verb), step);
  if (cure === "up") {
    await host.succeed("up");
    expect(await host.succeed("show")).toContain("everything of this node is there");
    expect(await host.succeed("up")).toBe("left 1 peer as it was\neverything of this node is there\n");
  }
  await host.succeed("down");
  expect(await host.seen()).toBe(clean);
}

/** Returns a kill at each step with each cure: all of them by `npm run torture`, and otherwise `count`. */
export async function nodeKillsOf(ordeal: MeshOrdeal, count: number): Promise<Trial[]> {
  return sample(await stepsOf(ordeal), count).flatMap((step) =>
    sample(NODE_VERBS, 1).map((cure): Trial => {
      return { what: `killed, then ${cure}, before`, step, endure: (at) => kill(ordeal, at, cure) };
    }),
  );
}
