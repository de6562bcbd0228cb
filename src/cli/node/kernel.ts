// What the kernel can do of all that Warren's plugins ask of it, found out as STATUS does: by trying, in a namespace of
// its own or in a transaction that can't succeed, so that nothing of it stays.
import { release } from "node:os";
import { describeError } from "../../cni/error.ts";
import { connectHost } from "../../net/connection.ts";
import { MissingFeatureError } from "../../net/feature.ts";
import { probeFirewall } from "../../net/firewall/firewall.ts";
import { forwards } from "../../net/forwarding.ts";
import { probeImpairment } from "../../net/impairment/netem.ts";
import { probeLinkDriver } from "../../net/link-driver.ts";
import { probeMasquerade } from "../../net/masquerade.ts";
import { openPortMapTable, rehearsePortMaps } from "../../net/port-map/table.ts";
import { probeShaping } from "../../net/shaping.ts";
import { probeRules } from "../../net/source-routing.ts";
import { probeTap } from "../../net/tap.ts";
import { probeVlanFilter } from "../../net/vlan-filter.ts";
import { probeWireguard } from "../../net/wireguard.ts";

/** A part of the kernel that some plugins need. */
export interface KernelFeature {
  readonly feature: string;
  /** What needs it. */
  readonly neededBy: string;
  /** Undefined where it can't be found out, without root say. */
  readonly present: boolean | undefined;
  /** Why it is missing or unknown, and what would help. */
  readonly problem: string;
}

interface Probe {
  readonly feature: string;
  readonly neededBy: string;
  readonly probe: () => void;
}

const PROBES: readonly Probe[] = [
  { feature: "nf_tables", neededBy: "ipMasq, macspoofchk", probe: probeMasquerade },
  {
    feature: "nf_tables maps and nat",
    neededBy: "portmap",
    probe: () => rehearsePortMaps(openPortMapTable()),
  },
  { feature: "nf_tables sets", neededBy: "firewall", probe: () => probeFirewall(false) },
  {
    feature: "nf_tables for bridges",
    neededBy: 'firewall with ingressPolicy "isolated"',
    probe: () => probeFirewall(true),
  },
  {
    feature: "token bucket",
    neededBy: "bandwidth, ingress",
    probe: () => probeShaping({ receiving: true, sending: false }),
  },
  {
    feature: "ifb, u32 and mirred",
    neededBy: "bandwidth, egress",
    probe: () => probeShaping({ receiving: false, sending: true }),
  },
  {
    feature: "netem",
    neededBy: "netem",
    probe: () => probeImpairment({ ingress: false, peers: false }),
  },
  { feature: "VLAN filtering of bridges", neededBy: "vlan, vlanTrunk", probe: probeVlanFilter },
  { feature: "routing rules", neededBy: "sbr", probe: probeRules },
  { feature: "macvlan", neededBy: "macvlan", probe: driver("macvlan") },
  { feature: "ipvlan", neededBy: "ipvlan", probe: driver("ipvlan") },
  { feature: "vlan", neededBy: "vlan", probe: driver("vlan") },
  { feature: "dummy", neededBy: "dummy", probe: driver("dummy") },
  { feature: "taps", neededBy: "tap", probe: probeTap },
  { feature: "vrf", neededBy: "vrf", probe: driver("vrf") },
  { feature: "vxlan", neededBy: "pair, a mesh of nodes", probe: driver("vxlan") },
  { feature: "wireguard", neededBy: "an encrypted mesh of nodes", probe: probeWireguard },
];

function driver(kind: Parameters<typeof probeLinkDriver>[1]): () => void {
  return () => {
    using host = connectHost();
    probeLinkDriver(host, kind);
  };
}

/** Returns the kernel's release, such as 6.1.0-18-amd64. */
export function kernelRelease(): string {
  return release();
}

/** Returns every feature with whether the kernel has it. */
export function surveyKernel(): KernelFeature[] {
  return PROBES.map(({ feature, neededBy, probe }): KernelFeature => {
    try {
      probe();
      return { feature, neededBy, present: true, problem: "" };
    } catch (error) {
      if (error instanceof MissingFeatureError) {
        return { feature, neededBy, present: false, problem: error.cure };
      }
      return { feature, neededBy, present: undefined, problem: describeError(error) };
    }
  });
}

/** True for each family if the host forwards its packets; undefined where it has no such family. */
export function surveyForwarding(): {
  readonly ipv4: boolean | undefined;
  readonly ipv6: boolean | undefined;
} {
  const asked = (family: 4 | 6) => {
    try {
      return forwards(family);
    } catch {
      return undefined;
    }
  };
  return { ipv4: asked(4), ipv6: asked(6) };
}
