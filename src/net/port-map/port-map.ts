// A port map: packets to a port of the host go on to a port of a pod. Here it is a value with a name, under which it
// is written down and by which two that want the same port are found out; what the kernel makes of it is in
// table.ts.
import { type Address, formatAddress, parseAddress } from "../../ip/address.ts";
import { formatPrefix, type Prefix, parsePrefix } from "../../ip/prefix.ts";

/** The protocols that have ports. */
export const TRANSPORTS = ["tcp", "udp", "sctp"] as const;

/** A protocol that has ports. */
export type PortTransport = (typeof TRANSPORTS)[number];

/**
 * Whose connections reach the pod with an address of the host: none, all, or those of the pod's own subnet and of the
 * host's loopback, which would otherwise be answered past the host or not at all.
 */
export type SourceTranslation = "none" | "all" | Prefix;

/** A port of the host that leads to a port of a pod. */
export interface PortMap {
  readonly transport: PortTransport;
  /** Undefined is every address of the host in the target's family; a particular one wins over it. */
  readonly hostAddress: Address | undefined;
  readonly hostPort: number;
  readonly target: Address;
  readonly targetPort: number;
  readonly source: SourceTranslation;
}

function endpoint(address: Address, port: number): string {
  return address.family === 4 ? `${formatAddress(address)}:${port}` : `[${formatAddress(address)}]:${port}`;
}

/** Returns what the map takes: `0.0.0.0:8080/tcp`, `[::1]:53/udp`. No two maps of a host can have the same name. */
export function portMapName({ transport, hostAddress, hostPort, target }: PortMap): string {
  const any: Address = { family: target.family, value: 0n };
  return `${endpoint(hostAddress ?? any, hostPort)}/${transport}`;
}

/** Returns what the name does not say: `10.88.0.2:80 10.88.0.0/16`. */
export function portMapDetail({ target, targetPort, source }: PortMap): string {
  return `${endpoint(target, targetPort)} ${typeof source === "string" ? source : formatPrefix(source)}`;
}

/** Returns the map as a person reads it. */
export function describePortMap(map: PortMap): string {
  return `${portMapName(map)} to ${endpoint(map.target, map.targetPort)}`;
}

/** Returns the map that was written down so, or undefined if it is no such text. */
export function parsePortMap(name: string, detail: string): PortMap | undefined {
  const slash = name.lastIndexOf("/");
  const transport = TRANSPORTS.find((one) => one === name.slice(slash + 1));
  const host = parseEndpoint(name.slice(0, slash));
  const [targetText = "", sourceText = ""] = detail.split(" ");
  const target = parseEndpoint(targetText);
  const source = sourceText === "none" || sourceText === "all" ? sourceText : parsePrefix(sourceText);
  if (transport === undefined || host === undefined || target === undefined || source === undefined) {
    return undefined;
  }
  return {
    transport,
    hostAddress: host.address.value === 0n ? undefined : host.address,
    hostPort: host.port,
    target: target.address,
    targetPort: target.port,
    source,
  };
}

function parseEndpoint(text: string): { readonly address: Address; readonly port: number } | undefined {
  const colon = text.lastIndexOf(":");
  const host = text.slice(0, colon);
  const address = parseAddress(host.startsWith("[") ? host.slice(1, -1) : host);
  const port = Number(text.slice(colon + 1));
  return address === undefined || !isPort(port) ? undefined : { address, port };
}

/** True for a number that a port can have. */
export function isPort(value: number): boolean {
  return Number.isInteger(value) && value >= 1 && value <= 65_535;
}
