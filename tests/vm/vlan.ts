// VLANs of bridge on a kernel that can filter them: who reaches whom, tagged and untagged, where the gateway of a VLAN
// stands, and what CHECK finds.
import { type Config, leases, succeed } from "../support/plugins.ts";
import type { Printed } from "../support/printed.ts";
import type { Sandbox } from "../support/sandbox.ts";
import { add, answers, type Case, collect, ip, network, pod, refusal, same } from "./case.ts";

/** A network on bridge br0 that has its leases, and a part of 10.1.0.0/24, for itself. */
function vlanNetwork(host: Sandbox, name: string, more: Config, rangeStart = "10.1.0.2"): Config {
  const dataDir = `${host.directory}/store-${name}`;
  const ipam = { type: "warren-ipam", dataDir, subnet: "10.1.0.0/24", rangeStart };
  return network(host, "warren-bridge", { name, bridge: "br0", dataDir, ipam, ...more });
}

/** Returns the VLANs of a port, each with the word PVID behind it if untagged frames belong to it. */
async function vlansOf(host: Sandbox, port: string): Promise<string[]> {
  const shown: Printed[] = (await host.json(["bridge", "-json", "vlan", "show", "dev", port])) as Printed[];
  return shown
    .flatMap(({ vlans }) => vlans)
    .flatMap(({ vlan, vlanEnd = vlan, flags = [] }) =>
      Array.from({ length: vlanEnd - vlan + 1 }, (_, index) =>
        flags.includes("PVID") ? `${vlan + index} PVID` : `${vlan + index}`,
      ),
    );
}

/** VLANs that a config asks for, and those that the port then has. */
const PORTS: readonly (readonly [Config, readonly string[]])[] = [
  [{ vlan: 5 }, ["5 PVID"]],
  [{ vlan: 5, preserveDefaultVlan: true }, ["1", "5 PVID"]],
  [{ vlan: 4094 }, ["4094 PVID"]],
  [{ vlanTrunk: [{ minID: 10, maxID: 12 }, { id: 20 }, { id: 11 }] }, ["1 PVID", "10", "11", "12", "20"]],
  [{ vlanTrunk: [{ id: 20 }], preserveDefaultVlan: true }, ["1 PVID", "20"]],
  [{ vlanTrunk: [{ minID: 10, maxID: 11 }], vlan: 5 }, ["5 PVID", "10", "11"]],
  [
    { vlanTrunk: [{ minID: 10, maxID: 11 }], vlan: 5, preserveDefaultVlan: true },
    ["1", "5 PVID", "10", "11"],
  ],
  [{ vlanTrunk: [{ minID: 4, maxID: 6 }], vlan: 5 }, ["4", "5 PVID", "6"]],
];

/** What somebody may do to VLAN 100 of pod red1, and how CHECK says so; `PORT` is the host's end. */
const DAMAGES: readonly (readonly [command: string, message: string])[] = [
  ["bridge vlan add dev PORT vid 300", "port PORT: it takes part in VLAN 300"],
  ["bridge vlan add dev PORT vid 100 untagged", "port PORT: its part in VLAN 100 is another"],
  ["bridge vlan del dev PORT vid 100", "port PORT: it takes no part in VLAN 100"],
  ["ip addr flush dev br0.100", "br0.100 lacks the gateway address 10.1.0.1/24"],
  ["ip link del br0.100", "interface br0.100, where the gateway stands, is gone"],
];

export const VLAN_CASES: readonly Case[] = [
  {
    name: "vlan separates pods on one bridge, and the gateway of a VLAN is an interface of its own",
    async run(host) {
      const red = vlanNetwork(host, "red", { vlan: 100, isGateway: true });
      const blue = vlanNetwork(host, "blue", { vlan: 200 }, "10.1.0.20");
      const results = new Map<string, Printed>();
      for (const [name, config] of [
        ["red1", red],
        ["red2", red],
        ["blue1", blue],
        ["blue2", blue],
      ] as const) {
        results.set(name, await add(host, [config], await pod(host, name)));
      }
      const first = results.get("red1");
      const gateway = first.interfaces[3];
      same(gateway.name, "br0.100");
      same(results.get("blue1").interfaces.length, 3);
      const [link] = (await host.json(["ip", "-json", "addr", "show", "dev", "br0.100"])) as Printed[];
      const address = link.addr_info.find(({ family }: Printed) => family === "inet")?.local;
      same([link.address, address], [gateway.mac, "10.1.0.1"]);
      // all of them are neighbours by their addresses, and only the VLAN is in between
      const asked = await Promise.all(
        [
          ["red1", "10.1.0.3"],
          ["red2", "10.1.0.1"],
          ["red1", "10.1.0.20"],
          ["blue1", "10.1.0.21"],
          ["blue1", "10.1.0.2"],
          ["blue1", "10.1.0.1"],
        ].map(async ([from = "", to = ""]) => [from, to, await answers(host, to, from)]),
      );
      same(asked, [
        ["red1", "10.1.0.3", true],
        ["red2", "10.1.0.1", true],
        ["red1", "10.1.0.20", false],
        ["blue1", "10.1.0.21", true],
        ["blue1", "10.1.0.2", false],
        ["blue1", "10.1.0.1", false],
      ]);
      const checked = { ...red, prevResult: first };
      const target = { containerId: "red1", netns: "red1" };
      await succeed(host, "CHECK", checked, target);
      const port: string = first.interfaces[1].name;
      for (const [command, message] of DAMAGES) {
        await host.text(command.replace("PORT", port).split(" "));
        const { code, msg } = await refusal(host, "CHECK", checked, target);
        same([code, msg], [103, message.replace("PORT", port)]);
        // the first fails where no VLAN was added
        const repair = [`vlan del dev ${port} vid 300`, `vlan add dev ${port} vid 100 pvid untagged`];
        await host.run(["bridge", "-force", "-batch", "-"], { stdin: repair.join("\n") });
      }
      for (const config of [red, blue]) {
        await collect(host, [config]);
        same(await leases(host, `${host.directory}/store-${config.name}`), []);
      }
    },
  },
  {
    name: "the gateway of a VLAN serves pods that come at once, and after a killed ADD or a removed bridge",
    async run(host) {
      await ip(host, [
        "link add br0 type bridge vlan_filtering 1",
        // the bridge of this one was removed
        `link add br0.100 up type veth peer name ${gatewayPort("br0.100")}`,
        // the ADD of this one was killed before its port took part in the VLAN
        `link add br0.200 type veth peer name ${gatewayPort("br0.200")}`,
        `link set ${gatewayPort("br0.200")} master br0 up`,
      ]);
      const vlans = [100, 200, 300];
      const added = vlans.flatMap((vlan) =>
        ["a", "b"].map(async (letter) => {
          const ipam = { type: "warren-ipam", subnet: `10.${vlan - 99}.0.0/24` };
          const config = network(host, "warren-bridge", {
            ...{ name: `net${vlan}`, bridge: "br0", isDefaultGateway: true, vlan, ipam },
          });
          await add(host, [config], await pod(host, `${letter}${vlan}`));
          return answers(host, `10.${vlan - 99}.0.1`, `${letter}${vlan}`);
        }),
      );
      same(await Promise.all(added), [true, true, true, true, true, true]);
      for (const vlan of vlans) same(await vlansOf(host, gatewayPort(`br0.${vlan}`)), [`${vlan} PVID`]);
    },
  },
  {
    name: "vlan, vlanTrunk and preserveDefaultVlan in every combination",
    async run(host) {
      await pod(host, "pod");
      for (const [index, [more, expected]] of PORTS.entries()) {
        const config = vlanNetwork(host, "trunk", more);
        const target = { containerId: "pod", netns: "pod", ifname: `net${index}` };
        const result = await add(host, [config], target);
        await succeed(host, "CHECK", { ...config, prevResult: result }, target);
        same(await vlansOf(host, result.interfaces[1].name), expected, JSON.stringify(more));
      }
    },
  },
  {
    name: "frames of a trunk carry their tag to the pods of that VLAN and to no others",
    async run(host) {
      const trunk = { vlanTrunk: [{ minID: 10, maxID: 11 }] };
      await add(host, [vlanNetwork(host, "trunk", { ...trunk, ipam: {} })], await pod(host, "router"));
      for (const vlan of [10, 11, 12]) {
        const more = {
          vlan,
          ipam: {
            type: "warren-ipam",
            subnet: `10.${vlan}.0.0/24`,
            dataDir: `${host.directory}/store-${vlan}`,
          },
        };
        await add(host, [vlanNetwork(host, `net${vlan}`, more)], await pod(host, `pod${vlan}`));
        await ip(
          host,
          [
            `link add link eth0 name eth0.${vlan} type vlan id ${vlan}`,
            `addr add 10.${vlan}.0.99/24 dev eth0.${vlan}`,
            `link set eth0.${vlan} up`,
          ],
          "router",
        );
      }
      const asked = [10, 11, 12].map((vlan) => answers(host, `10.${vlan}.0.2`, "router"));
      same(await Promise.all(asked), [true, true, false]);
    },
  },
  {
    name: "a bridge that does not filter VLANs is refused for a network that has them",
    async run(host) {
      await host.text(["ip", "link", "add", "br0", "type", "bridge"]);
      const { code, msg } = await refusal(
        host,
        "ADD",
        vlanNetwork(host, "red", { vlan: 100 }),
        await pod(host, "pod"),
      );
      same([code, msg], [102, 'bridge "br0" does not filter VLANs']);
      same(await leases(host, `${host.directory}/store-red`), []);
    },
  },
];

/** The name of the port by which a gateway interface is tied to its bridge. */
function gatewayPort(gateway: string): string {
  return `vlan${BigInt(Bun.hash(gateway)).toString(16).padStart(16, "0").slice(0, 11)}`;
}
