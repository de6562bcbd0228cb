// The sample configs are what people copy, so each goes through every verb of the operator's tool, just as it
// stands in conf/.
import { describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { linkNames, PLUGIN_FOLDER } from "../support/plugins.ts";
import { Sandbox, WARREN } from "../support/sandbox.ts";

const CONF = resolve(import.meta.dir, "../../conf");
const SAMPLES = readdirSync(CONF).filter((name) => name.endsWith(".conflist"));

/** Samples whose device, or whose VLAN, is one pod's. */
const OF_ONE_POD: readonly string[] = ["host-device.conflist", "vlan.conflist"];

/** Samples of kinds of interfaces that not every kernel has, and the arguments by which ip asks for one. */
const KINDS: Readonly<Record<string, readonly string[]>> = {
  "vrf.conflist": ["type", "vrf", "table", "10"],
  "dummy.conflist": ["type", "dummy"],
  "ipvlan.conflist": ["link", "eth0", "type", "ipvlan"],
  "vlan.conflist": ["link", "eth0", "type", "vlan", "id", "1"],
};

/** Returns the kind of interface that a sample needs and the kernel lacks; undefined where it lacks none. */
async function lackingKind(sandbox: Sandbox, sample: string): Promise<string | undefined> {
  const words = KINDS[sample];
  if (words === undefined) return undefined;
  const { stderr } = await sandbox.run(["ip", "link", "add", "probe", ...words]);
  await sandbox.run(["ip", "link", "del", "probe"]);
  return stderr.includes("Unknown device type") ? words[words.indexOf("type") + 1] : undefined;
}

describe("sample configs", () => {
  test.each(SAMPLES)("%s is ready, adds, checks, collects and deletes", async (sample) => {
    await using sandbox = await Sandbox.create();
    await sandbox.addNetns("pod1");
    await sandbox.addNetns("pod2");
    const { name } = await Bun.file(join(CONF, sample)).json();
    // the lab's store is on a disk that is not there at first, and that is what the lab shows
    await sandbox.text(["mkdir", "-p", "/run/lab/disk"]);
    // and a host has network cards, whose names are those that macvlan's samples expect
    for (const card of ["eth0", "card0"]) {
      await sandbox.text(["ip", "link", "add", card, "up", "type", "veth", "peer", "name", `${card}-wire`]);
      await sandbox.text(["ip", "link", "set", `${card}-wire`, "up"]);
    }
    // a fixed address is one pod's; the other one brings its own
    const env = { CAP_ARGS: sample === "static.conflist" ? '{"ips": ["10.91.0.10/24"]}' : "" };
    const folders = ["--cni-conf-dir", CONF, "--cni-bin-dir", PLUGIN_FOLDER];
    const warren = (verb: string, ...args: string[]) =>
      sandbox.text([WARREN, verb, name, ...args, ...folders], args[0] === "pod2" ? { env } : {});
    const lacking = await lackingKind(sandbox, sample);
    if (lacking !== undefined) {
      // the machine of tests/vm has a kernel that can
      await expect(warren("status")).rejects.toThrow(`the kernel has no ${lacking}`);
      return;
    }
    if (sample === "dhcp.conflist") {
      // this host has neither daemon nor server, which tests/netns/dhcp.test.ts has
      await expect(warren("status")).rejects.toThrow("no DHCP daemon listens at /run/cni/dhcp.sock");
      return;
    }
    if (sample === "mesh.conflist") {
      // this host is no node of a mesh, which tests/netns/mesh.test.ts has
      await expect(warren("status")).rejects.toThrow("the configuration of the mesh can't be read");
      return;
    }
    expect(await warren("status")).toBe(`Network ${name} is ready for ADD requests\n`);
    const result = JSON.parse(await warren("add", "pod1"));
    expect(result.interfaces.length).toBeGreaterThan(0);
    await warren("check", "pod1");
    if (!OF_ONE_POD.includes(sample)) await warren("add", "pod2");
    await warren("gc", "pod1");
    await warren("check", "pod1");
    await warren("del", "pod1");
    await warren("gc");
    expect((await linkNames(sandbox)).filter((link) => link.startsWith("veth"))).toEqual([]);
    // a store that no network of the sample ever needed is not there; one that is there is empty
    const leases = await sandbox.run([WARREN, "leases", "--json"]);
    expect(leases.exitCode === 0 ? JSON.parse(leases.stdout) : []).toEqual([]);
  });

  test("every plugin has one that is called after it", () => {
    const names = readdirSync(PLUGIN_FOLDER)
      .filter((file) => file.startsWith("warren-"))
      .map((file) => `${file.slice("warren-".length)}.conflist`);
    expect(SAMPLES).toEqual(expect.arrayContaining(names));
  });
});
