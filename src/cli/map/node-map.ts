// The node as a drawing needs it: the host's interfaces, the pods with theirs, and which belongs to which. Interfaces,
// addresses, routes, limits and NAT are what the kernel has at this moment; whose they are, and where ports lead, is
// what the stores say.
import { readdirSync } from "node:fs";
import { describeError } from "../../cni/error.ts";
import { formatPrefix } from "../../ip/prefix.ts";
import { assignmentOf } from "../../ipam/leases.ts";
import { assignedPrefix } from "../../ipam/pool.ts";
import { podOf } from "../../ledger/owner.ts";
import { type Connection, connectHost, connectInside } from "../../net/connection.ts";
import { wordsOf } from "../../net/impairment/impairment.ts";
import { installedImpairments, type Way } from "../../net/impairment/netem.ts";
import {
  inspectNamespace,
  namespaceNumber,
  type SeenInterface,
  type SeenRoute,
} from "../../net/inspection.ts";
import { listMasquerade, masqueradedSubnet } from "../../net/masquerade.ts";
import { NETNS_DIRECTORY, NetnsError, openNetns } from "../../net/netns.ts";
import { isSystemError } from "../../sys/libc.ts";
import type { KnownEntry, KnownLease, NodeStore } from "../node/stores.ts";

/** An interface of a pod. */
export interface PodInterface {
  readonly name: string;
  /** Empty for one that no network of Warren's has made. */
  readonly network: string;
  readonly addresses: readonly string[];
  readonly up: boolean;
  /** The interface of the host that it is tied to: the other end of the pair, or the one that it stands on. */
  readonly hostLink: string | undefined;
  readonly routes: readonly SeenRoute[];
  /** Bits a second; undefined for no limit. */
  readonly receives: bigint | undefined;
  readonly sends: bigint | undefined;
  /** What is to go wrong with its traffic, by warren-netem or `warren impair`. */
  readonly impairments: readonly MapImpairment[];
  /** Ports of the host that lead here: `0.0.0.0:8080/tcp to 10.88.0.2:80`. */
  readonly ports: readonly string[];
}

/** An impairment as the words of a rule. */
export interface MapImpairment {
  readonly way: Way;
  /** Undefined for everybody whom no other one is about. */
  readonly peer: string | undefined;
  readonly rules: string;
}

/** A network namespace with interfaces that lead to the host. */
export interface MapPod {
  readonly name: string;
  readonly netns: string;
  readonly containers: readonly string[];
  /** `gone`: only the stores know it any more; `foreign`: no store knows it. */
  readonly state: "alive" | "gone" | "foreign";
  readonly interfaces: readonly PodInterface[];
}

/** The node. */
export interface NodeMap {
  readonly links: readonly SeenInterface[];
  readonly routes: readonly SeenRoute[];
  readonly masquerades: readonly { readonly network: string; readonly subnet: string }[];
  readonly pods: readonly MapPod[];
}

/** What the stores say of one interface of a container. */
interface Attachment {
  readonly network: string;
  readonly containerId: string;
  readonly ifname: string;
  readonly pod: string | undefined;
  readonly netns: string;
  readonly stale: boolean;
  readonly addresses: string[];
  /** The names of interfaces of the host that were made for it. */
  readonly links: string[];
  readonly ports: string[];
}

/**
 * Returns the map; `note` hears of what should be in it and can't be read. Throws NetlinkError or SystemError where the
 * host's own namespace can't be read.
 */
export function mapNode(stores: readonly NodeStore[], note: (line: string) => void): NodeMap {
  for (const { path, problem } of stores) if (problem !== "") note(`${path} is left out: ${problem}`);
  using host = connectHost();
  const { interfaces: links, routes } = inspectNamespace(host);
  const attachments = attachmentsOf(stores);
  const networks = new Set(attachments.map(({ network }) => network));
  const byNetns = Map.groupBy(
    attachments.filter(({ stale }) => !stale),
    ({ netns }) => netns,
  );
  const pods: MapPod[] = [];
  const shown = new Set<string>();
  for (const [netns, own] of byNetns) {
    shown.add(netns.slice(netns.lastIndexOf("/") + 1));
    const pod = livingPod(host, netns, own, links, note);
    if (pod !== undefined) pods.push(pod);
  }
  for (const name of namedNamespaces()) {
    if (shown.has(name)) continue;
    const pod = livingPod(host, `${NETNS_DIRECTORY}/${name}`, [], links, note);
    if (pod?.interfaces.some(({ hostLink }) => hostLink !== undefined))
      pods.push({ ...pod, state: "foreign" });
  }
  const gone = Map.groupBy(
    attachments.filter(({ stale }) => stale),
    ({ containerId }) => containerId,
  );
  for (const [containerId, own] of gone) pods.push(gonePod(containerId, own));
  return {
    links,
    routes,
    masquerades: [...networks].flatMap((network) =>
      listMasquerade(network).map((chain) => ({ network, subnet: masqueradedSubnet(network, chain) })),
    ),
    pods,
  };
}

function namedNamespaces(): string[] {
  try {
    return readdirSync(NETNS_DIRECTORY).sort();
  } catch {
    return [];
  }
}

function attachmentsOf(stores: readonly NodeStore[]): Attachment[] {
  const found = new Map<string, Attachment>();
  const of = (row: KnownEntry | KnownLease, stale: boolean): Attachment => {
    const key = JSON.stringify([row.network, row.containerId, row.ifname]);
    const known = found.get(key);
    if (known !== undefined) return known;
    const { network, containerId, ifname, netns } = row;
    const made = { network, containerId, ifname, netns, stale, pod: podOf(row) };
    const attachment: Attachment = { ...made, addresses: [], links: [], ports: [] };
    found.set(key, attachment);
    return attachment;
  };
  for (const { entries, leases } of stores) {
    for (const entry of entries) {
      const { ports, links } = of(entry, entry.stale);
      for (const { kind, name, detail } of entry.objects) {
        if (kind === "link") links.push(name);
        if (kind === "port map") ports.push(`${name} to ${detail.split(" ")[0] ?? ""}`);
      }
    }
    for (const lease of leases) {
      if (lease.state === "resting") continue;
      const prefix = formatPrefix(assignedPrefix(assignmentOf(lease)));
      of(lease, lease.state === "stale").addresses.push(prefix);
    }
  }
  return [...found.values()];
}

function nameOf(netns: string, own: readonly Attachment[]): string {
  const pod = own.find((one) => one.pod !== undefined)?.pod;
  return pod ?? netns.slice(netns.lastIndexOf("/") + 1);
}

function livingPod(
  host: Connection,
  path: string,
  own: readonly Attachment[],
  links: readonly SeenInterface[],
  note: (line: string) => void,
): MapPod | undefined {
  const pod = { name: nameOf(path, own), netns: path, containers: containersOf(own) };
  try {
    using netns = openNetns(path);
    using inside = connectInside(netns);
    const seen = inspectNamespace(inside);
    const number = namespaceNumber(host, netns);
    // what holds up what an interface receives is told with that
    const interfaces = seen.interfaces.filter(isNoDetour).map((link): PodInterface => {
      const attachment = own.find(({ ifname }) => ifname === link.name);
      const hostLink = hostLinkOf(link, links, number);
      const detour = links.find(({ kind, name }) => kind === "ifb" && attachment?.links.includes(name));
      return {
        name: link.name,
        network: attachment?.network ?? "",
        addresses: link.addresses,
        up: link.up,
        hostLink: hostLink?.name,
        routes: seen.routes.filter(({ index }) => index === link.index),
        // what the host sends by its end the pod receives
        receives: link.kind === "veth" ? hostLink?.sendingLimit : undefined,
        sends: detour?.sendingLimit,
        impairments: installedImpairments(inside, link).map(({ way, peer, settings }) => ({
          ...{ way, peer, rules: wordsOf(settings).join(" ") },
        })),
        ports: attachment?.ports ?? [],
      };
    });
    return { ...pod, state: "alive", interfaces };
  } catch (error) {
    if (error instanceof NetnsError) {
      // it went away while it was looked at
      if (error.problem === "missing") return { ...pod, ...gonePod(pod.name, own) };
      note(`${path} is left out: ${error.problem}`);
      return undefined;
    }
    // whoever is not root may not go in
    if (!isSystemError(error, "EPERM")) throw error;
    note(`${path} is left out: ${describeError(error)}`);
    return undefined;
  }
}

function isNoDetour({ kind }: SeenInterface): boolean {
  return kind !== "ifb";
}

function hostLinkOf(
  link: SeenInterface,
  links: readonly SeenInterface[],
  number: number | undefined,
): SeenInterface | undefined {
  const candidate = links.find(({ index }) => index === link.peerIndex);
  if (candidate === undefined || link.peerNamespaceId === undefined) return undefined;
  if (link.kind !== "veth") return candidate;
  // another namespace may have an interface of that number, too
  return candidate.peerIndex === link.index && candidate.peerNamespaceId === number ? candidate : undefined;
}

function containersOf(own: readonly Attachment[]): string[] {
  return [...new Set(own.map(({ containerId }) => containerId))];
}

function gonePod(containerId: string, own: readonly Attachment[]): MapPod {
  return {
    name: own.find(({ pod }) => pod !== undefined)?.pod ?? containerId,
    netns: own[0]?.netns ?? "",
    containers: containersOf(own),
    state: "gone",
    interfaces: own.map(({ ifname, network, addresses, ports }) => ({
      ...{ name: ifname, network, addresses, ports },
      up: false,
      hostLink: undefined,
      routes: [],
      receives: undefined,
      sends: undefined,
      impairments: [],
    })),
  };
}
