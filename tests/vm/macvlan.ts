// Macvlans on interfaces that the test host's kernel can't make: dummy ones, and those of a VLAN. Every mode goes
// through every verb, on a master of the host and on one in the container, and packets show what the mode means.
import type { Config } from "../support/plugins.ts";
import type { Printed } from "../support/printed.ts";
import { seenLink } from "../support/witness.ts";
import { add, answers, type Case, ip, network, pod, refusal, same, walk } from "./case.ts";

const MODES = ["bridge", "private", "vepa", "passthru"] as const;

function macvlan(host: Parameters<Case["run"]>[0], more: Config): Config {
  return network(host, "warren-macvlan", { master: "dum0", ...more });
}

/** Makes a dummy interface that is up, in a namespace, or on the host beside one of the name that pods have for theirs. */
async function addDummy(host: Parameters<Case["run"]>[0], netns?: string): Promise<void> {
  const beside = netns === undefined ? ["link add eth0 type dummy"] : [];
  await ip(host, ["link add dum0 type dummy", "link set dum0 up", ...beside], netns);
}

export const MACVLAN_CASES: readonly Case[] = [
  ...MODES.map((mode) => ({
    name: `macvlan in mode ${mode} goes through every verb on a dummy master`,
    async run(host: Parameters<Case["run"]>[0]) {
      await addDummy(host);
      await walk(host, [macvlan(host, { mode, mtu: 1400, mac: "02:00:00:00:00:05" })], {
        async look(result, { netns }) {
          const link = await seenLink(host, "eth0", netns);
          const { mode: seenMode } = (link?.linkinfo?.info_data ?? {}) as Printed;
          // the kernel works out the operational state a little later than it brings a link up
          same([link?.flags.includes("UP"), link?.mtu, seenMode], [true, 1400, mode]);
          same([link?.address, result.interfaces.length], ["02:00:00:00:00:05", 1]);
          // a master of passthru takes the container's address on
          same((await seenLink(host, "dum0"))?.address === link?.address, mode === "passthru");
        },
      });
    },
  })),
  {
    name: "macvlan with linkInContainer goes through every verb in modes bridge and passthru",
    async run(host) {
      for (const mode of ["bridge", "passthru"] as const) {
        const name = `in-${mode}`;
        const target = await pod(host, name);
        await addDummy(host, name);
        await walk(host, [macvlan(host, { mode, linkInContainer: true })], {
          target,
          async look() {
            const link = await seenLink(host, "eth0", name);
            const { mode: seenMode } = (link?.linkinfo?.info_data ?? {}) as Printed;
            same(seenMode, mode);
          },
        });
      }
    },
  },
  {
    name: "macvlans of one master reach each other in mode bridge alone, and passthru has a master for itself",
    async run(host) {
      await addDummy(host);
      const modes = ["bridge", "private", "vepa"];
      for (const mode of modes) {
        const config = macvlan(host, {
          name: mode,
          mode,
          ipam: { type: "warren-ipam", subnet: "10.91.0.0/24" },
        });
        const [first, second] = [await pod(host, `${mode}1`), await pod(host, `${mode}2`)];
        await add(host, [config], first);
        await add(host, [config], second);
      }
      const reached = await Promise.all(modes.map((mode) => answers(host, "10.91.0.3", `${mode}1`)));
      same(reached, [true, false, false]);
      const { code, msg } = await refusal(
        host,
        "ADD",
        macvlan(host, { mode: "passthru" }),
        await pod(host, "alone"),
      );
      same(
        [code, msg],
        [
          104,
          'master "dum0" can\'t carry a macvlan in mode passthru: it has others, or is no Ethernet device',
        ],
      );
    },
  },
  {
    name: "a macvlan on an interface of a VLAN sends and hears that VLAN's tagged frames alone",
    async run(host) {
      // a trunk leads from the host to a router, which has an address in each of two VLANs
      await host.addNetns("router");
      await ip(host, [
        "link add trunk type veth peer name trunk netns router",
        "link set trunk up",
        "link add link trunk name trunk.100 type vlan id 100",
        "link set trunk.100 up",
      ]);
      const inVlan = (vlan: number) => [
        `link add link trunk name trunk.${vlan} type vlan id ${vlan}`,
        `addr add 10.91.0.${vlan}/24 dev trunk.${vlan}`,
        `link set trunk.${vlan} up`,
      ];
      await ip(host, ["link set trunk up", ...inVlan(100), ...inVlan(200)], "router");
      const config = macvlan(host, {
        master: "trunk.100",
        mtu: 1496,
        ipam: { type: "warren-ipam", subnet: "10.91.0.0/24", dataDir: `${host.directory}/store` },
      });
      await walk(host, [config], {
        async look(result, { netns }) {
          same(result.interfaces[0].mtu, 1496);
          same(await answers(host, "10.91.0.100", netns), true);
          const [seen] = (await host.json([
            ...["ip", "-n", "router", "-json", "neigh", "show", "to", "10.91.0.2"],
          ])) as Printed[];
          same([seen.dev, seen.lladdr], ["trunk.100", result.interfaces[0].mac]);
          // an address that the router has, and answers for, in VLAN 200 alone
          await host.text(["ip", "-n", "router", "addr", "del", "10.91.0.100/24", "dev", "trunk.100"]);
          await host.inNetns("router", ["sysctl", "-qw", "net.ipv4.conf.all.arp_ignore=1"]);
          same(await answers(host, "10.91.0.200", netns), false);
        },
      });
    },
  },
];
