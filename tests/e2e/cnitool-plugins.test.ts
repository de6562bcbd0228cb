// The newest Go cnitool, the reference client of CNI 1.1, drives our plugins through all of its commands, and takes
// over from our tool and we from it, on real interfaces.
import { expect } from "bun:test";
import { tools } from "../../scripts/tools.ts";
import { leases, linkNames, PLUGIN_FOLDER, ruleset } from "../support/plugins.ts";
import { Sandbox, testWith, WARREN } from "../support/sandbox.ts";

const withCnitool = testWith(tools.cnitool);

withCnitool(
  "Go's cnitool adds, checks, asks for status, collects and deletes with our plugins, and shares its cache with us",
  async () => {
    await using sandbox = await Sandbox.create();
    const dataDir = `${sandbox.directory}/store`;
    await sandbox.text(["mkdir", "conf"]);
    await Bun.write(
      `${sandbox.directory}/conf/lab.conflist`,
      JSON.stringify({
        cniVersion: "1.1.0",
        name: "lab",
        plugins: [
          {
            type: "warren-bridge",
            bridge: "br0",
            isDefaultGateway: true,
            ipMasq: true,
            ipam: {
              type: "warren-ipam",
              dataDir,
              ranges: [[{ subnet: "10.88.0.0/16" }], [{ subnet: "fd00:88::/64" }]],
            },
          },
          { type: "warren-trace", cniOutput: `${sandbox.directory}/calls.log` },
          { type: "warren-portmap", dataDir, capabilities: { portMappings: true } },
          { type: "warren-tuning", dataDir, sysctl: { "net.ipv4.conf.IFNAME.arp_filter": "1" } },
        ],
      }),
    );
    const pods = [await sandbox.addNetns("pod1"), await sandbox.addNetns("pod2")];
    const [pod1 = "", pod2 = ""] = pods;
    const env = { NETCONFPATH: `${sandbox.directory}/conf`, CNI_PATH: PLUGIN_FOLDER };
    const go = (...args: string[]) => sandbox.text([tools.cnitool.path ?? "", ...args], { env });
    const ours = (...args: string[]) => sandbox.text([WARREN, ...args], { env });

    await go("status", "lab", pod1);
    const added = JSON.parse(await go("add", "lab", pod1));
    expect(added.ips.map(({ address }: { address: string }) => address)).toEqual([
      "10.88.0.2/16",
      "fd00:88::2/64",
    ]);
    await go("check", "lab", pod1);
    // from its cache to us, and back
    await ours("check", "lab", pod1);
    await ours("add", "lab", pod2);
    await go("check", "lab", pod2);
    expect(await leases(sandbox, dataDir)).toHaveLength(4);
    await go("del", "lab", pod2);
    expect(await leases(sandbox, dataDir)).toHaveLength(2);
    // its gc has no list: libcni DELs what its cache knows, and the plugins are told nothing
    await go("gc", "lab", pod1);
    expect(await leases(sandbox, dataDir)).toEqual([]);
    expect(await linkNames(sandbox)).toEqual(["br0"]);
    expect(await ruleset(sandbox)).not.toContain("masquerade");
    await ours("status", "lab");
    // and the logger between them saw all of it
    const log = await sandbox.text(["grep", "CNI Command", "calls.log"]);
    expect(
      log
        .trimEnd()
        .split("\n")
        .map((line) => line.replace("CNI Command: ", "")),
    ).toEqual(["STATUS", "ADD", "CHECK", "CHECK", "ADD", "CHECK", "DEL", "DEL", "GC", "STATUS"]);
  },
);
