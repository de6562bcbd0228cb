// The plugin vrf, on a kernel that has VRFs: two attachments of a container share one, what it does is what the reference
// plugin does, and nothing stays of it.
import { type Config, PLUGIN_FOLDER, succeed } from "../support/plugins.ts";
import type { Printed } from "../support/printed.ts";
import { Sandbox } from "../support/sandbox.ts";
import { globalAddressesOf, seenLink } from "../support/witness.ts";
import {
  add,
  type Case,
  chained,
  collect,
  dataDirOf,
  ip,
  pod,
  REFERENCE_FOLDER,
  refusal,
  remove,
  same,
  traces,
} from "./case.ts";

/** A dummy with addresses and routes, and the VRF behind it, with the plugins of the reference or ours. */
function chainOf(host: Sandbox, name: string, number: number, prefix = "warren-"): Config[] {
  const ipam = {
    type: `${prefix}host-local`,
    dataDir: dataDirOf(host),
    ranges: [[{ subnet: `10.${number}.0.0/24` }], [{ subnet: `fd00:${number}::/64` }]],
    routes: [{ dst: "0.0.0.0/0" }, { dst: "192.0.2.0/24", priority: 50 }, { dst: "::/0" }],
  };
  const base = { cniVersion: prefix === "" ? "1.0.0" : "1.1.0", name };
  return [
    { ...base, type: `${prefix}dummy`, ipam },
    { ...chained(host, `${prefix}vrf`, { vrfname: "blue" }), ...base },
  ];
}

/** Addresses, masters and routes of the pod as ip has them, those of tables with their number. */
async function routing(host: Sandbox, ...ifnames: string[]): Promise<Printed> {
  const lines = async (family: string) =>
    (await host.text(["ip", "-netns", "pod", family, "route", "show", "table", "all"]))
      .split("\n")
      .map((line) => line.trim())
      .filter((line) => line !== "" && !/^(local|broadcast|anycast|multicast|fe80::|ff00::)/.test(line))
      .sort();
  const links = await Promise.all(ifnames.map((name) => seenLink(host, name, "pod")));
  return {
    links: links.map((link) => [
      link?.flags.includes("UP"),
      globalAddressesOf(link),
      (link as Printed)?.master,
    ]),
    routes: [await lines("-4"), await lines("-6")],
  };
}

async function beside(folder: string): Promise<Printed> {
  await using host = await Sandbox.create();
  const target = await pod(host, "pod");
  let result: Printed;
  for (const config of chainOf(host, "lab", 10, folder === REFERENCE_FOLDER ? "" : "warren-")) {
    const previous = result === undefined ? {} : { prevResult: result };
    result = (await succeed(host, "ADD", { ...config, ...previous }, target, folder)).document;
  }
  return { ...(await routing(host, "eth0")), ips: result.ips, given: result.routes };
}

export const VRF_CASES: readonly Case[] = [
  {
    name: "vrf gives interfaces of a container a table, as the reference plugin has it, and puts them back",
    comparesWithReference: "dummy",
    async run(host) {
      const [first, second] = [chainOf(host, "lab", 10), chainOf(host, "other", 20)];
      const target = await pod(host, "pod");
      const other = { ...target, ifname: "net1" };
      const [dummy, vrf] = first;
      if (dummy === undefined || vrf === undefined) throw new Error("no chain");
      await succeed(host, "STATUS", vrf);
      const before = await add(host, [dummy], target);
      const alone = await routing(host, "eth0");
      const { document } = await succeed(host, "ADD", { ...vrf, prevResult: before }, target);
      same(document, before, "result");
      const checked = { ...vrf, prevResult: document };
      await succeed(host, "CHECK", checked, target);
      await add(host, second, other);
      const { links } = await routing(host, "eth0", "net1");
      same(
        links.map(([up, , master]: Printed) => [up, master]),
        [
          [true, "blue"],
          [true, "blue"],
        ],
      );
      const table = ((await seenLink(host, "blue", "pod"))?.linkinfo?.info_data as Printed)?.table;
      same(table, 1);
      const refused = await refusal(host, "ADD", { ...vrf, name: "third", prevResult: before }, target);
      same([refused.code, refused.msg], [102, "interface eth0 has already a master set"]);

      // the last one to go takes the VRF along
      await remove(host, second, other);
      await ip(host, ["link set eth0 nomaster"], "pod");
      const damaged = await refusal(host, "CHECK", checked, target);
      same([damaged.code, damaged.msg], [103, "interface eth0 is no port of VRF blue"]);
      await succeed(host, "DEL", vrf, target);
      same(await seenLink(host, "blue", "pod"), undefined, "the VRF");
      same(await routing(host, "eth0"), alone, "what the interface has again");
      await succeed(host, "ADD", { ...vrf, prevResult: before }, target);
      await succeed(host, "GC", { ...vrf, "cni.dev/valid-attachments": [] });
      same(await routing(host, "eth0"), alone, "after GC");
      await remove(host, [dummy], target);
      await collect(host, first);
      same((await traces(host, target)).inside, [], "what is left inside");
      same((await traces(host, target)).store, [], "what is left in the store");

      const [theirs, ours] = await Promise.all([beside(REFERENCE_FOLDER), beside(PLUGIN_FOLDER)]);
      same(ours, theirs, "beside the reference plugin");
    },
  },
];
