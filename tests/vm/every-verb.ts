// Every plugin and whole chains through every verb, on a kernel that does not echo new links (Linux 6.1); at the end
// the host is as it was.
import type { Config } from "../support/plugins.ts";
import type { Printed } from "../support/printed.ts";
import type { Sandbox } from "../support/sandbox.ts";
import { globalAddressesOf, seenLink } from "../support/witness.ts";
import { answers, type Case, chained, dataDirOf, IPV4, IPV6, network, same, walk } from "./case.ts";

/** A chain, what is to be seen of it, and what it leaves on purpose. */
interface Row {
  readonly name: string;
  chain(host: Sandbox): Config[];
  /** Addresses that have to answer the pod. */
  readonly answering?: readonly string[];
  /** The addresses of the pod; by default the first of both subnets behind the gateway. */
  readonly addresses?: readonly string[];
  /** What stays of it. */
  readonly remains?: Readonly<Record<string, unknown>>;
}

const BRIDGE_STAYS = { links: ["cni0"] };
const BRIDGE = { isDefaultGateway: true, ipMasq: true, hairpinMode: true };
const PORTS = { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: "tcp" }] };
const LIMITS = {
  ingressRate: 80_000_000,
  ingressBurst: 8_000_000,
  egressRate: 40_000_000,
  egressBurst: 4_000_000,
};
const TUNING = { sysctl: { "net.ipv4.conf.IFNAME.arp_filter": "1" }, mtu: 1400 };
const GATEWAYS = ["10.88.0.1", "fd00:88::1"];

const ROWS: readonly Row[] = [
  {
    name: "bridge",
    chain: (host) => [network(host, "warren-bridge", BRIDGE)],
    answering: GATEWAYS,
    remains: BRIDGE_STAYS,
  },
  { name: "ptp", chain: (host) => [network(host, "warren-ptp", { ipMasq: true })], answering: GATEWAYS },
  {
    name: "bridge with host-local",
    chain: (host) => [
      network(host, "warren-bridge", {
        ...BRIDGE,
        ipam: { type: "warren-host-local", ranges: [[IPV4], [IPV6]], dataDir: dataDirOf(host) },
      }),
    ],
    answering: GATEWAYS,
    remains: BRIDGE_STAYS,
  },
  {
    name: "ptp with static addresses",
    chain: (host) => [
      network(host, "warren-ptp", {
        ipam: {
          type: "warren-static",
          addresses: [
            { address: "10.88.7.7/16", gateway: "10.88.0.1" },
            { address: "fd00:88::7/64", gateway: "fd00:88::1" },
          ],
          routes: [{ dst: "0.0.0.0/0" }],
        },
      }),
    ],
    answering: GATEWAYS,
    addresses: ["10.88.7.7/16", "fd00:88::7/64"],
  },
  {
    name: "a chain of bridge, portmap, firewall, bandwidth and tuning",
    chain: (host) => [
      network(host, "warren-bridge", BRIDGE),
      chained(host, "warren-portmap", { runtimeConfig: PORTS }),
      chained(host, "warren-firewall", { ingressPolicy: "isolated" }),
      chained(host, "warren-bandwidth", { runtimeConfig: { bandwidth: LIMITS } }),
      chained(host, "warren-tuning", TUNING),
    ],
    answering: GATEWAYS,
    remains: BRIDGE_STAYS,
  },
  {
    name: "the same chain in one process",
    chain: (host) => [
      network(host, "warren-bridge", {
        ...BRIDGE,
        runtimeConfig: { ...PORTS, bandwidth: LIMITS },
        ...{ portmap: {}, firewall: { ingressPolicy: "isolated" }, bandwidth: {}, tuning: TUNING },
      }),
    ],
    answering: GATEWAYS,
    remains: BRIDGE_STAYS,
  },
];

export const EVERY_VERB_CASES: readonly Case[] = ROWS.map((row) => ({
  name: `${row.name} goes through every verb`,
  async run(host) {
    await walk(host, row.chain(host), {
      remains: row.remains ?? {},
      async look(_: Printed, { netns }) {
        const seen = globalAddressesOf(await seenLink(host, "eth0", netns));
        same(seen, row.addresses ?? ["10.88.0.2/16", "fd00:88::2/64"]);
        for (const address of row.answering ?? []) same(await answers(host, address, netns), true, address);
      },
    });
  },
}));
