// Interfaces that a container has for its own, of kinds that the test host's kernel lacks: each goes through every verb, is
// compared with what the reference plugin makes of the same config, and ends as all of them do.
import { type Config, PLUGIN_FOLDER, succeed } from "../support/plugins.ts";
import type { Printed } from "../support/printed.ts";
import { Sandbox } from "../support/sandbox.ts";
import { globalAddressesOf, routesOf, seenLink } from "../support/witness.ts";
import {
  add,
  type Case,
  dataDirOf,
  ip,
  network,
  pod,
  REFERENCE_FOLDER,
  refusal,
  same,
  walk,
} from "./case.ts";

/** One kind: a config in the reference's own words, what ip says of it, and how it is damaged. */
interface Row {
  readonly type: string;
  readonly config: Config;
  readonly shown: Readonly<Record<string, unknown>>;
  /** A config with which a second pod is refused, and why. */
  readonly refused?: readonly [more: Config, code: number, message: string];
  /** Another config, and how CHECK says that the interface is not of it. */
  readonly differs?: readonly [more: Config, message: string];
  /** What else is to be seen of this kind alone. */
  readonly more?: (host: Sandbox) => Promise<void>;
}

const ROWS: readonly Row[] = [
  {
    type: "ipvlan",
    config: { master: "dum0", mode: "l3", mtu: 1400 },
    shown: { mode: "l3" },
    refused: [{ master: "lo" }, 104, 'master "lo" can\'t carry an ipvlan'],
    differs: [{ mode: "l2" }, "interface eth0 has the mode l3, the config says l2"],
    async more(host) {
      // behind a plugin that made the master, and gave the addresses
      const target = await pod(host, "chained");
      const prevResult = {
        cniVersion: "1.1.0",
        interfaces: [{ name: "dum0" }],
        ips: [{ address: "10.5.0.2/24" }],
      };
      const config = network(host, "warren-ipvlan", { ipam: {} });
      const { document } = await succeed(host, "ADD", { ...config, prevResult }, target);
      same(document.ips, [{ interface: 0, address: "10.5.0.2/24" }]);
      await succeed(host, "CHECK", { ...config, prevResult: document }, target);
      await succeed(host, "DEL", config, target);
      same(await seenLink(host, "eth0", "chained"), undefined);
    },
  },
  { type: "dummy", config: {}, shown: {} },
  {
    type: "vlan",
    config: { master: "dum0", vlanId: 100, mtu: 1400 },
    shown: { id: 100, protocol: "802.1Q" },
    refused: [{}, 104, 'master "dum0" has an interface for VLAN 100 already'],
    differs: [{ vlanId: 101 }, "interface eth0 is of VLAN 100, the config says 101"],
  },
];

/** Makes the device beneath, and an interface of the name that pods have for theirs. */
async function addDummies(host: Sandbox): Promise<void> {
  for (const name of ["dum0", "eth0"]) await host.text(["ip", "link", "add", name, "up", "type", "dummy"]);
}

/** Adds a pod with the plugins in `folder` and returns what can be seen of it then. */
async function seen({ type, config }: Row, folder: string): Promise<Printed> {
  await using host = await Sandbox.create();
  await addDummies(host);
  const target = await pod(host, "pod");
  const prefix = folder === REFERENCE_FOLDER ? "" : "warren-";
  const ipam = {
    type: `${prefix}host-local`,
    ranges: [[{ subnet: "10.1.0.0/24" }], [{ subnet: "fd00:1::/64" }]],
    routes: [{ dst: "0.0.0.0/0" }],
    dataDir: dataDirOf(host),
  };
  const asked = { cniVersion: "1.0.0", name: "lab", ...config, type: `${prefix}${type}`, ipam };
  const { document } = await succeed(host, "ADD", asked, target, folder);
  const inside = await seenLink(host, "eth0", "pod");
  return {
    interfaces: document.interfaces.map(({ name, sandbox }: Printed) => [name, sandbox]),
    rest: [document.ips, document.routes, document.dns],
    inside: [globalAddressesOf(inside), inside?.mtu, inside?.linkinfo],
    routes: [await routesOf(host, 4, "pod"), await routesOf(host, 6, "pod")],
  };
}

export const OWN_INTERFACE_CASES: readonly Case[] = ROWS.map((row) => ({
  name: `${row.type} goes through every verb, as the reference plugin has it`,
  comparesWithReference: row.type,
  async run(host) {
    await addDummies(host);
    const config = network(host, `warren-${row.type}`, row.config);
    await walk(host, [config], {
      async look(result, { netns }) {
        const link = await seenLink(host, "eth0", netns);
        same(link?.linkinfo?.info_kind, row.type);
        const data = (link?.linkinfo?.info_data ?? {}) as Printed;
        same(
          Object.keys(row.shown).map((key) => data[key]),
          Object.values(row.shown),
        );
        same(globalAddressesOf(link), ["10.88.0.2/16", "fd00:88::2/64"]);
        if (row.refused !== undefined) {
          const [more, code, message] = row.refused;
          const refused = await refusal(host, "ADD", { ...config, ...more }, await pod(host, "other"));
          same([refused.code, refused.msg], [code, message]);
        }
        const [more, message] = row.differs ?? [{}, "interface eth0 is down"];
        if (row.differs === undefined) await ip(host, ["link set eth0 down"], netns);
        const target = { containerId: "pod", netns };
        const differs = await refusal(host, "CHECK", { ...config, ...more, prevResult: result }, target);
        same([differs.code, differs.msg], [103, message]);
      },
    });
    await row.more?.(host);
    // a container that lives on loses it to GC, and one that is gone took it along
    const target = await pod(host, "living");
    await add(host, [config], target);
    await succeed(host, "GC", { ...config, "cni.dev/valid-attachments": [] });
    same(await seenLink(host, "eth0", "living"), undefined);
    const gone = await pod(host, "gone");
    await add(host, [config], gone);
    await host.text(["ip", "netns", "del", "gone"]);
    await succeed(host, "DEL", { ...config, master: 7 }, { ...gone, netns: "" });
    const [theirs, ours] = await Promise.all([seen(row, REFERENCE_FOLDER), seen(row, PLUGIN_FOLDER)]);
    same(ours, theirs, "beside the reference plugin");
  },
}));
