// Kernels that lack what a config needs. STATUS says so with code 50, names the feature and the cure; an ADD is
// refused in the same words and leaves nothing; DEL and GC have nothing to complain about.
import { type Config, succeed } from "../support/plugins.ts";
import { Sandbox } from "../support/sandbox.ts";
import { add, type Case, chained, collect, network, pod, refusal, same, traces, walk } from "./case.ts";
import { withoutModules } from "./kernel-modules.ts";

/** A kernel without a module, a plugin that needs it, and what it says. */
interface Lack {
  readonly module: string;
  readonly plugin: string;
  readonly needs: Config;
  /** What STATUS and ADD say that the kernel has none of. */
  readonly feature: string;
  /** What the operator can do instead. */
  readonly cure: string;
  /** The bridge that a refused ADD has made by then; bridges stay. */
  readonly bridge?: string;
}

const PORTS = { runtimeConfig: { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: "tcp" }] } };
const RECEIVING = { ingressRate: 8_000_000, ingressBurst: 800_000 };
const SENDING = { egressRate: 8_000_000, egressBurst: 800_000 };
const NO_NAT = "turn ipMasq off";
const NO_PORT_MAP = "take portmap out of the chain";
const NO_FIREWALL = "take firewall out of the chain";
const NO_NETEM = "take netem out of the chain";
const NO_BANDWIDTH = "take bandwidth out of the chain";

const LACKS: readonly Lack[] = [
  ...lacks("warren-bridge", "load the module", {
    bridge: [{}, "bridge"],
    veth: [{}, "veth", "cni0"],
  }),
  ...lacks("warren-bridge", "load the module", { bridge: [{ vlan: 100 }, "bridge"] }),
  ...lacks("warren-bridge", NO_NAT, {
    nfnetlink: [{ ipMasq: true }, "nf_tables"],
    nf_tables: [{ ipMasq: true }, "nf_tables"],
    nf_nat: [{ ipMasq: true }, "nf_tables for masquerade"],
    nft_masq: [{ ipMasq: true }, "nf_tables for masquerade"],
  }),
  ...lacks("warren-bridge", "turn macspoofchk off", {
    nf_tables: [{ macspoofchk: true }, "nf_tables", "cni0"],
  }),
  ...lacks("warren-ptp", "load the module", { veth: [{}, "veth"] }),
  ...lacks("warren-ptp", NO_NAT, { nf_nat: [{ ipMasq: true }, "nf_tables for masquerade"] }),
  ...lacks("warren-macvlan", "load the module", { macvlan: [{ master: "dum0" }, "macvlan"] }),
  ...lacks("warren-ipvlan", "load the module", { ipvlan: [{ master: "dum0" }, "ipvlan"] }),
  ...lacks("warren-vrf", "load the module", { vrf: [{ vrfname: "blue" }, "vrf"] }),
  ...lacks("warren-vlan", "load the module", { "8021q": [{ master: "dum0", vlanId: 5 }, "vlan"] }),
  ...lacks("warren-portmap", NO_PORT_MAP, {
    nf_tables: [PORTS, "nf_tables"],
    nf_nat: [PORTS, "nf_tables for port maps"],
    nft_nat: [PORTS, "nf_tables for port maps"],
    nft_masq: [PORTS, "nf_tables for port maps"],
    nft_ct: [PORTS, "nf_tables for port maps"],
    nft_fib_inet: [PORTS, "nf_tables for port maps"],
  }),
  ...lacks("warren-firewall", NO_FIREWALL, {
    nf_tables: [{}, "nf_tables"],
    nft_ct: [{ ingressPolicy: "isolated" }, "nf_tables for the firewall"],
  }),
  ...lacks("warren-bandwidth", NO_BANDWIDTH, {
    sch_tbf: [RECEIVING, "token bucket (sch_tbf)"],
    ifb: [SENDING, "intermediate device (ifb)"],
    sch_ingress: [SENDING, "redirection (sch_ingress, cls_u32, act_mirred)"],
    cls_u32: [SENDING, "redirection (sch_ingress, cls_u32, act_mirred)"],
    act_mirred: [SENDING, "redirection (sch_ingress, cls_u32, act_mirred)"],
  }),
  ...lacks("warren-netem", NO_NETEM, {
    sch_netem: [{ lat: "50ms" }, "netem qdisc"],
    sch_htb: [{ netem: "delay=5ms peer=10.0.0.0/8" }, "classes for peers (sch_htb, cls_u32)"],
    ifb: [{ netem: "delay=5ms direction=both" }, "intermediate device (ifb)"],
    act_mirred: [{ netem: "delay=5ms direction=ingress" }, "redirection (sch_ingress, cls_u32, act_mirred)"],
  }),
  ...lacks("warren-tuning", "remove the key", {
    nf_conntrack: [
      { sysctl: { "net.netfilter.nf_conntrack_max": "1000" } },
      'sysctl "net.netfilter.nf_conntrack_max"',
    ],
  }),
];

/** The lacks of a plugin that have the same cure, by the module that is missing. */
function lacks(
  plugin: string,
  cure: string,
  modules: Readonly<Record<string, readonly [needs: Config, feature: string, bridge?: string]>>,
): Lack[] {
  return Object.entries(modules).map(([module, [needs, feature, bridge]]) => ({
    ...{ module, plugin, needs, feature, cure },
    ...(bridge === undefined ? {} : { bridge }),
  }));
}

/** Plugins that stand behind another one, which here needs nothing but a bridge. */
const CHAINED: readonly string[] = [
  "warren-portmap",
  "warren-firewall",
  "warren-bandwidth",
  "warren-netem",
  "warren-tuning",
  "warren-vrf",
];

function namesOf(lacking: readonly Lack[]): string {
  return [...new Set(lacking.map(({ plugin }) => plugin.slice("warren-".length)))].join(", ");
}

async function show({ plugin, needs, feature, cure, bridge }: Lack): Promise<void> {
  await using host = await Sandbox.create();
  await host.text(["ip", "link", "add", "dum0", "up", "type", "dummy"]);
  const target = await pod(host, "pod");
  const isChained = CHAINED.includes(plugin);
  const base = network(host, "warren-bridge", { bridge: "br0" });
  const prevResult = isChained ? await add(host, [base], target) : undefined;
  const config = isChained ? chained(host, plugin, { ...needs, prevResult }) : network(host, plugin, needs);
  const before = await traces(host, target);
  for (const [verb, code] of [
    ["STATUS", 50],
    ["ADD", 2],
  ] as const) {
    const answer = await refusal(host, verb, config, verb === "ADD" ? target : undefined);
    const said = [
      answer.code,
      answer.msg.includes(`the kernel has no ${feature}`),
      answer.details.includes(cure),
    ];
    if (!said.every((one) => one === code || one === true)) {
      throw new Error(`${verb}: expected ${code}, ${feature} and ${cure}, got ${JSON.stringify(answer)}`);
    }
  }
  const left = { ...before, links: [...before.links, ...(bridge === undefined ? [] : [bridge])] };
  same(await traces(host, target), left, "what a refused ADD leaves");
  await succeed(host, "DEL", config, target);
  // what only asks for nf_tables to clear up must not miss it
  if (feature === "nf_tables") await collect(host, [config]);
}

/**
 * Modules that are missing at the same time, because nothing that needs one needs the other: of nf_tables, and of traffic
 * control. What waits in one of them leaves a processor to the other.
 */
const TOGETHER: readonly (readonly string[])[] = [
  ["nf_tables", "sch_tbf"],
  ["nfnetlink", "ifb"],
  ["nf_nat", "sch_ingress"],
  ["nft_masq", "cls_u32"],
  ["nft_nat", "act_mirred"],
  ["nft_ct", "sch_netem"],
  ["nft_fib_inet", "sch_htb"],
];

function companyOf(module: string): string {
  return (TOGETHER.find((company) => company.includes(module)) ?? [module]).join(" and ");
}

/** Modules that can't be unloaded: once a case has had a link of theirs, the machine does not lack them any more. */
const PERMANENT = ["vrf"];

export const MISSING_FEATURE_CASES: readonly Case[] = [
  ...[...Map.groupBy(LACKS, ({ module }) => companyOf(module))].map(([modules, lacking]) => ({
    name: `STATUS and ADD say what a kernel without ${modules} lacks: ${namesOf(lacking)}`,
    alone: PERMANENT.includes(modules) ? ("first" as const) : true,
    run: () =>
      withoutModules(modules.split(" and "), async () => {
        await Promise.all(lacking.map(show));
      }),
  })),
  {
    name: "what a config doesn't need may be missing",
    alone: true,
    run: (host) =>
      withoutModules(["nfnetlink", "ifb", "macvlan"], async () => {
        await walk(
          host,
          [
            network(host, "warren-bridge", { isGateway: true, hairpinMode: true }),
            chained(host, "warren-bandwidth", RECEIVING),
            chained(host, "warren-tuning", { sysctl: { "net.ipv4.conf.IFNAME.arp_notify": "1" } }),
          ],
          { remains: { links: ["cni0"] } },
        );
      }),
  },
];
