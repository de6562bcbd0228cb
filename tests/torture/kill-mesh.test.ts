// kill -9 at every step of `warren node up` and `down`: another `up` makes the rest, and `down` leaves nothing, whatever was
// made by then.
import { describe, expect } from "bun:test";
import { Sandbox, testWith, WARREN } from "../support/sandbox.ts";
import { IS_FULL, sample } from "./extent.ts";
import { problemsOf } from "./ordeal.ts";
import { killAt, recordSteps, type Step, strace } from "./steps.ts";

type Verb = "up" | "down";

const SET_UP = `
  ip link add up0 type veth peer up1; ip link set up1 up; ip link set up0 up
  ip addr add 192.0.2.1/24 dev up0`;

/** A host with a configuration of the mesh, on which nothing of it was made yet. */
class MeshHost implements AsyncDisposable {
  private constructor(readonly sandbox: Sandbox) {}

  static async create(): Promise<MeshHost> {
    const host = new MeshHost(await Sandbox.create());
    const { directory } = host.sandbox;
    await host.sandbox.text(["sh", "-ec", `${SET_UP}; mkdir ${directory}/state ${directory}/net.d`]);
    const config = {
      ...{ clusterCIDRs: ["10.244.0.0/16", "fd00:244::/48"], backend: "vxlan", address: "192.0.2.1" },
      nodeCIDRs: ["10.244.1.0/24", "fd00:244:0:1::/64"],
      peers: [{ name: "b", address: "192.0.2.2", nodeCIDRs: ["10.244.2.0/24", "fd00:244:0:2::/64"] }],
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

  /** Everything that a mesh could leave. */
  async seen(): Promise<string> {
    const script = [
      'ip -j link | grep -o \'"ifname":"[^"]*"\'; ip route; ip -6 route | grep -v ^fe80 || true; nft list ruleset; ls -A /run/netns',
      "cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding",
      `cd ${this.sandbox.directory}; ls -A state net.d`,
    ];
    return this.sandbox.text(["sh", "-ec", script.join("\n")]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.sandbox[Symbol.asyncDispose]();
  }
}

async function begun(verb: Verb): Promise<{ readonly host: MeshHost; readonly clean: string }> {
  const host = await MeshHost.create();
  const clean = await host.seen();
  if (verb === "down") await host.succeed("up");
  return { host, clean };
}

async function stepsOf(verb: Verb): Promise<Step[]> {
  const { host } = await begun(verb);
  await using _ = host;
  const { outcome, steps } = await recordSteps(host.sandbox, host.run(verb));
  expect(outcome).toMatchObject({ exitCode: 0 });
  return IS_FULL ? steps : steps.filter(({ looksOnly }) => !looksOnly);
}

async function kill(verb: Verb, step: Step, cure: Verb): Promise<void> {
  const { host, clean } = await begun(verb);
  await using _ = host;
  expect(await killAt(host.sandbox, host.run(verb), step)).toBe(true);
  if (cure === "up") {
    await host.succeed("up");
    expect(await host.succeed("show")).toContain("everything of this node is there");
    expect(await host.succeed("up")).toBe("left 1 peer as it was\neverything of this node is there\n");
  }
  await host.succeed("down");
  expect(await host.seen()).toBe(clean);
}

describe("a node of a mesh", () => {
  for (const verb of ["up", "down"] as const) {
    testWith(strace)(
      `S3-W01 S3-W02 killed at any step of node ${verb}: up makes the rest, and down leaves nothing`,
      async () => {
        const trials = sample(await stepsOf(verb), 4).flatMap((step) =>
          sample(["up", "down"] as const, 1).map((cure) => ({
            what: `killed, then ${cure}, before`,
            step,
            endure: () => kill(verb, step, cure),
          })),
        );
        expect(await problemsOf(trials)).toBe("");
      },
      3_600_000,
    );
  }
});
