// What runs inside the virtual machine: each case on a throwaway host of its own, as in the other suites, and its
// outcome in one line on the console. The test outside imports the names, so that both know the same cases.
import { isDeepStrictEqual } from "node:util";
import { writeStdout } from "../../src/sys/stdio.ts";
import { type Config, call, leases, linkNames, ruleset, succeed } from "../support/plugins.ts";
import { Sandbox } from "../support/sandbox.ts";

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
];

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
