// VLANs on the ports of a bridge: which ones a port takes part in, and the interface by which the host itself takes
// part in one, where its gateway address stands. The bridge has to filter VLANs, or all of this means nothing.
import {
  addBridgeVlans,
  type BridgeVlan,
  deleteBridgeVlans,
  dumpBridgeVlans,
} from "../netlink/bridge-port.ts";
import type { Link } from "../netlink/link.ts";
import { createLink, getLink, setLink, veth } from "../netlink/link.ts";
import { ignoring } from "../netlink/message.ts";
import { NetlinkSocket } from "../netlink/socket.ts";
import { inFreshNetworkNamespace } from "../sys/namespace.ts";
import type { Connection } from "./connection.ts";
import { MissingFeatureError, needing } from "./feature.ts";
import { probeLinkDriver } from "./link-driver.ts";

/** The VLANs that a port is to take part in. */
export interface PortVlans {
  /** Frames without a tag belong to it, and its own go out without one. */
  readonly native: number;
  /** Frames of these carry their tag. */
  readonly tagged: readonly number[];
  /** Stay in the VLAN that the bridge gives every new port. */
  readonly keepDefault: boolean;
}

/** The bridge is there and does not filter VLANs. */
export class UnfilteredBridgeError extends Error {
  override readonly name = "UnfilteredBridgeError";

  constructor(readonly bridge: string) {
    super(`bridge ${JSON.stringify(bridge)} does not filter VLANs`);
  }
}

/** True if the bridge filters VLANs. */
export function filtersVlans(bridge: Link): boolean {
  return bridge.device?.kind === "bridge" && bridge.device.data?.vlanFiltering === 1;
}

function noFilter(): MissingFeatureError {
  return new MissingFeatureError(
    "VLAN filtering of bridges",
    "use a kernel with CONFIG_BRIDGE_VLAN_FILTERING, or remove vlan and vlanTrunk",
  );
}

/**
 * Throws MissingFeatureError if the kernel has no bridges, or no VLAN filter. A kernel without it takes the setting and
 * forgets it, so a bridge is made in a namespace of its own, which is gone afterwards, and looked at.
 */
export function probeVlanFilter(): void {
  using socket = inFreshNetworkNamespace(() => NetlinkSocket.open("route"));
  probeLinkDriver(socket, "bridge");
  const name = "probe";
  const [outcome] = socket.attempt([createLink(name, { kind: "bridge", data: { vlanFiltering: 1 } })]);
  const made = outcome?.error === undefined ? socket.get(getLink(name)) : undefined;
  if (made === undefined || !filtersVlans(made)) throw noFilter();
}

/** Lets a port take part in these VLANs; throws MissingFeatureError or NetlinkError. */
export function setPortVlans(host: Connection, index: number, vlans: PortVlans): void {
  const present = portVlans(host, index);
  const superfluous = vlans.keepDefault ? [] : present.filter(({ id }) => id !== vlans.native);
  if (superfluous.length > 0) host.execute([deleteBridgeVlans(index, superfluous)]);
  const [outcome] = host.attempt([addBridgeVlans(index, wantedVlans(vlans))]);
  if (outcome?.error === undefined) return;
  throw outcome.error.errnoName === "EOPNOTSUPP" ? noFilter() : outcome.error;
}

function wantedVlans({ native, tagged }: PortVlans): BridgeVlan[] {
  return [
    { id: native, primary: true, untagged: true },
    ...tagged.filter((id) => id !== native).map((id) => ({ id })),
  ];
}

/** Returns the VLANs that a port takes part in. */
function portVlans(host: Connection, index: number): readonly BridgeVlan[] {
  return host.dump(dumpBridgeVlans()).find((port) => port.index === index)?.vlans ?? [];
}

/** Returns in words what is wrong with a port's VLANs; undefined if they are as wanted. */
export function vlanDifference(host: Connection, index: number, vlans: PortVlans): string | undefined {
  const present = portVlans(host, index);
  const wanted = wantedVlans(vlans);
  for (const { id, primary = false, untagged = false } of wanted) {
    const found = present.find((one) => one.id === id);
    if (found === undefined) return `it takes no part in VLAN ${id}`;
    if (found.primary !== primary || found.untagged !== untagged) return `its part in VLAN ${id} is another`;
  }
  if (vlans.keepDefault) return undefined;
  const surplus = present.find(({ id }) => !wanted.some((one) => one.id === id));
  return surplus === undefined ? undefined : `it takes part in VLAN ${surplus.id}`;
}

/** Returns the name of the host's own interface in a VLAN of a bridge, such as `cni0.100`. */
export function vlanGatewayName(bridge: string, vlan: number): string {
  return `${bridge}.${vlan}`;
}

/**
 * Returns the host's own interface in a VLAN of the bridge, made if it was missing: one end of a pair whose other
 * end is a port of the bridge in that VLAN. Throws MissingFeatureError or NetlinkError.
 */
export function ensureVlanGateway(host: Connection, bridge: Link, vlans: PortVlans): Link {
  const name = vlanGatewayName(bridge.name, vlans.native);
  const portName = `vlan${BigInt(Bun.hash(name)).toString(16).padStart(16, "0").slice(0, 11)}`;
  const found = host.get(getLink(name));
  // a port that is none is of a bridge that was removed since, or of an ADD that was killed
  if (found?.up === true && host.get(getLink(portName))?.master === bridge.index) return found;
  needing(
    () => probeLinkDriver(host, "veth"),
    // somebody else may make it at this moment; then theirs is taken
    () => host.execute([ignoring(createLink(name, veth({ name: portName })), "EEXIST")]),
  );
  host.execute([setLink(portName, { master: bridge.index, up: true })]);
  const port = host.get(getLink(portName));
  if (port === undefined) throw new Error(`interface ${portName} was made and is gone`);
  setPortVlans(host, port.index, { ...vlans, tagged: [] });
  // the last step: whoever finds it up, also after an ADD that was killed, may rely on the rest
  host.execute([setLink(name, { up: true })]);
  const gateway = host.get(getLink(name));
  if (gateway === undefined) throw new Error(`interface ${name} was made and is gone`);
  return gateway;
}
