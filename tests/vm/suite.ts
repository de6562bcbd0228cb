// What runs inside the virtual machine: each case on a throwaway host of its own, as in the other suites, and its
// outcome in one line on the console. The test outside imports the names, so that both know the same cases.
import { isDeepStrictEqual } from "node:util";
import { writeStdout } from "../../src/sys/stdio.ts";
import { type Answer, type Config, call, leases, linkNames, ruleset, succeed } from "../support/plugins.ts";
import { Sandbox, WARREN } from "../support/sandbox.ts";

/** One case: what it shows, and how. */
export interface Case {
  readonly name: string;
  run(host: Sandbox): Promise<void>;
}

/** What a line about a case begins with on the console. */
export const CASE_MARK = "VM-CASE ";

/** Throws unless both are deeply equal. */
export function same(actual: unknown, expected: unknown): void {
  if (isDeepStrictEqual(actual, expected)) return;
  throw new Error(`expected ${JSON.stringify(expected)}, got ${JSON.stringify(actual)}`);
}

function network(host: Sandbox, more: Config = {}): Config {
  return {
    cniVersion: "1.1.0",
    name: "lab",
    type: "warren-bridge",
    bridge: "br0",
    ipam: {
      type: "warren-ipam",
      dataDir: `${host.directory}/store`,
      ranges: [[{ subnet: "10.88.0.0/16" }], [{ subnet: "fd00:88::/64" }]],
    },
    ...more,
  };
}

/** Returns the network's parts that DEL must have taken away. */
async function leftOf(host: Sandbox): Promise<unknown> {
  return {
    links: (await linkNames(host)).filter((name) => name.startsWith("veth")),
    rules: await ruleset(host),
    leases: await leases(host, `${host.directory}/store`),
  };
}

export const CASES: readonly Case[] = [
  {
    name: "STATUS is 50 and names nf_tables where the kernel has none; without ipMasq all verbs work",
    async run(host) {
      // no module can be loaded, and nothing before this case has loaded nf_tables
      await host.text(["modprobe", "-a", "bridge", "veth"]);
      const helper = await host.text(["sysctl", "-n", "kernel.modprobe"]);
      await host.text(["sysctl", "-w", "kernel.modprobe=/bin/false"]);
      try {
        const status = await call(host, "STATUS", network(host, { ipMasq: true }));
        same([status.document?.code, status.document?.msg], [50, "the kernel has no nf_tables"]);
        const pod = { containerId: "pod-1", netns: "pod1" };
        await host.addNetns("pod1");
        const refused = await call(host, "ADD", network(host, { ipMasq: true }), pod);
        same([refused.document?.code, refused.document?.msg], [2, "the kernel has no nf_tables"]);
        same(await leases(host, `${host.directory}/store`), []);
        await succeed(host, "STATUS", network(host));
        const added = await succeed(host, "ADD", network(host), pod);
        await succeed(host, "CHECK", { ...network(host), prevResult: added.document }, pod);
        await succeed(host, "DEL", network(host), pod);
        await succeed(host, "GC", { ...network(host), "cni.dev/valid-attachments": [] });
      } finally {
        await host.text(["sysctl", "-w", `kernel.modprobe=${helper.trim()}`]);
      }
    },
  },
  {
    name: "every verb of bridge works on a kernel that does not echo new links (Linux 6.1)",
    async run(host) {
      const config = network(host, { isDefaultGateway: true, ipMasq: true, hairpinMode: true });
      const pod = { containerId: "pod-1", netns: "pod1" };
      await host.addNetns("pod1");
      await succeed(host, "STATUS", config);
      const added = await succeed(host, "ADD", config, pod);
      same(
        added.document.ips.map(({ address }: { address: string }) => address),
        ["10.88.0.2/16", "fd00:88::2/64"],
      );
      await succeed(host, "CHECK", { ...config, prevResult: added.document }, pod);
      await succeed(host, "DEL", config, pod);
      await succeed(host, "GC", { ...config, "cni.dev/valid-attachments": [] });
      same(await leftOf(host), { links: [], rules: "", leases: [] });
    },
  },
  {
    name: "vlan separates pods on one bridge, and the gateway of a VLAN is an interface of its own",
    async run(host) {
      const red = vlanNetwork(host, "red", { vlan: 100, isGateway: true });
      const blue = vlanNetwork(host, "blue", { vlan: 200 });
      const added = new Map<string, Answer>();
      for (const [name, config] of [
        ["red1", red],
        ["red2", red],
        ["blue1", blue],
        ["blue2", blue],
      ] as const) {
        await host.addNetns(name);
        added.set(name, await succeed(host, "ADD", config, { containerId: name, netns: name }));
      }
      const first = added.get("red1")?.document;
      const gateway = first.interfaces[3];
      same(gateway.name, "br0.100");
      same(added.get("blue1")?.document.interfaces.length, 3);
      const [link] = (await host.json(["ip", "-json", "addr", "show", "dev", "br0.100"])) as Shown[];
      const address = link?.addr_info.find(({ family }) => family === "inet")?.local;
      same([link?.address, address], [gateway.mac, "10.1.0.1"]);
      // both networks give 10.1.0.2 and 10.1.0.3 to their own pods; only red's bridge end has a gateway
      same(
        {
          pod: await answers(host, "10.1.0.3", "red1"),
          gateway: await answers(host, "10.1.0.1", "red2"),
          otherPod: await answers(host, "10.1.0.3", "blue1"),
          otherGateway: await answers(host, "10.1.0.1", "blue1"),
        },
        { pod: true, gateway: true, otherPod: true, otherGateway: false },
      );
      const checked = { ...red, prevResult: first };
      const pod = { containerId: "red1", netns: "red1" };
      await succeed(host, "CHECK", checked, pod);
      const port: string = first.interfaces[1].name;
      same(await vlansOf(host, port), ["100 PVID"]);
      await host.text(["bridge", "vlan", "add", "dev", port, "vid", "300"]);
      const broken = await call(host, "CHECK", checked, pod);
      same([broken.document?.code, broken.document?.msg], [103, `port ${port}: it takes part in VLAN 300`]);
      for (const config of [red, blue]) {
        await succeed(host, "GC", { ...config, "cni.dev/valid-attachments": [] });
        same(await leases(host, `${host.directory}/store-${config.name}`), []);
      }
    },
  },
  {
    name: "vlanTrunk carries tagged VLANs, and preserveDefaultVlan keeps the bridge's own",
    async run(host) {
      await host.addNetns("pod");
      const trunk = { vlanTrunk: [{ minID: 10, maxID: 12 }, { id: 20 }, { id: 11 }] };
      const vlansFor = async (ifname: string, more: Config) => {
        const config = vlanNetwork(host, "trunk", more);
        const pod = { containerId: "pod", netns: "pod", ifname };
        const { document } = await succeed(host, "ADD", config, pod);
        await succeed(host, "CHECK", { ...config, prevResult: document }, pod);
        return vlansOf(host, document.interfaces[1].name);
      };
      same(await vlansFor("a", trunk), ["1 PVID", "10", "11", "12", "20"]);
      same(await vlansFor("b", { ...trunk, vlan: 5 }), ["5 PVID", "10", "11", "12", "20"]);
      same(await vlansFor("c", { vlan: 5, preserveDefaultVlan: true }), ["1", "5 PVID"]);
    },
  },
  {
    name: "a bridge that does not filter VLANs is refused for a network that has them",
    async run(host) {
      await host.addNetns("pod");
      await host.text(["ip", "link", "add", "br0", "type", "bridge"]);
      const pod = { containerId: "pod", netns: "pod" };
      const answer = await call(host, "ADD", vlanNetwork(host, "red", { vlan: 100 }), pod);
      same([answer.document?.code, answer.document?.msg], [102, 'bridge "br0" does not filter VLANs']);
      same(await leases(host, `${host.directory}/store-red`), []);
    },
  },
];

/** An interface as ip shows it. */
interface Shown {
  readonly address: string;
  readonly addr_info: readonly { readonly family: string; readonly local: string }[];
}

function vlanNetwork(host: Sandbox, name: string, more: Config): Config {
  return {
    ...network(host, more),
    name,
    ipam: { type: "warren-ipam", dataDir: `${host.directory}/store-${name}`, subnet: "10.1.0.0/24" },
  };
}

async function answers(host: Sandbox, address: string, from: string): Promise<boolean> {
  return (await host.run([WARREN, "lab", "ping", address, "--from", from])).exitCode === 0;
}

/** Returns the VLANs of a port, each with the word PVID behind it if untagged frames belong to it. */
async function vlansOf(host: Sandbox, port: string): Promise<string[]> {
  const shown = (await host.json(["bridge", "-json", "vlan", "show", "dev", port])) as {
    readonly vlans: readonly {
      readonly vlan: number;
      readonly vlanEnd?: number;
      readonly flags?: readonly string[];
    }[];
  }[];
  return shown
    .flatMap(({ vlans }) => vlans)
    .flatMap(({ vlan, vlanEnd = vlan, flags = [] }) =>
      Array.from({ length: vlanEnd - vlan + 1 }, (_, index) =>
        flags.includes("PVID") ? `${vlan + index} PVID` : `${vlan + index}`,
      ),
    );
}

/** Runs every case and prints a line `VM-CASE {name, error}` for each. */
async function main(): Promise<void> {
  for (const { name, run } of CASES) {
    let error: string | undefined;
    try {
      await using host = await Sandbox.create();
      await run(host);
    } catch (thrown) {
      error = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
    }
    writeStdout(`${CASE_MARK}${JSON.stringify({ name, error })}\n`);
  }
}

if (import.meta.main) await main();
