// A port of the host as a runtime asks for it by the capability `portMappings`, checked: clients know what is said
// about one that is wrong.
import * as v from "valibot";
import { CniError, ErrorCode } from "../cni/error.ts";
import { shown } from "../cni/input.ts";
import { type Address, type Family, parseAddress } from "../ip/address.ts";
import { contains, type Prefix } from "../ip/prefix.ts";
import { isPort, type PortMap, TRANSPORTS } from "../net/port-map/port-map.ts";

/** The schema of a port mapping (CONVENTIONS.md). */
export const portMapping = v.object({
  hostPort: v.nullish(v.number()),
  containerPort: v.nullish(v.number()),
  protocol: v.nullish(v.string()),
  hostIP: v.nullish(v.string()),
});

type PortMapping = v.InferOutput<typeof portMapping>;

/** A port as the runtime asks for it, checked. */
export interface RequestedPort extends Pick<PortMap, "transport" | "hostPort" | "targetPort"> {
  /** The pod's families that it is for; both, unless an address of the host says which. */
  readonly families: readonly Family[];
  /** Undefined is every address of the host. */
  readonly hostAddress: Address | undefined;
}

/**
 * Returns the port that the mapping with this index asks for; `snat` says whether connections may get an address of the
 * host. Throws CniError 7 naming the value.
 */
export function requestedPort(mapping: PortMapping, index: number, snat: boolean): RequestedPort {
  const place = `runtimeConfig.portMappings[${index}]`;
  const targetPort = mapping.containerPort ?? 0;
  const hostPort = mapping.hostPort ?? 0;
  // clients know these two messages
  const refusePort = (what: string, value: number): never => {
    throw new CniError(
      ErrorCode.invalidConfig,
      `Invalid ${what} port number: ${value}`,
      `${place} is ${shown(mapping)}; expected 1 to 65535`,
    );
  };
  if (!isPort(targetPort)) refusePort("container", targetPort);
  if (!isPort(hostPort)) refusePort("host", hostPort);
  const protocol = mapping.protocol ?? "";
  const transport = protocol === "" ? "tcp" : TRANSPORTS.find((one) => one === protocol.toLowerCase());
  if (transport === undefined) {
    throw new CniError(
      ErrorCode.invalidConfig,
      `"${place}.protocol" is ${shown(protocol)}`,
      `expected ${TRANSPORTS.join(", ")}`,
    );
  }
  return { transport, hostPort, targetPort, ...hostAddressOf(mapping.hostIP ?? "", place, snat) };
}

const LOOPBACK: Readonly<Record<Family, Prefix>> = {
  4: { address: { family: 4, value: 0x7f00_0000n }, length: 8 },
  6: { address: { family: 6, value: 1n }, length: 128 },
};

/** 0.0.0.0 and :: stand for every address of their family, and no text for every address of both. */
function hostAddressOf(
  text: string,
  place: string,
  snat: boolean,
): Pick<RequestedPort, "families" | "hostAddress"> {
  if (text === "") return { families: [4, 6], hostAddress: undefined };
  const address = parseAddress(text);
  const refuse = (details: string): never => {
    throw new CniError(ErrorCode.invalidConfig, `"${place}.hostIP" is ${shown(text)}`, details);
  };
  if (address === undefined) return refuse("expected an address of the host, such as 192.0.2.1");
  const isLoopback = contains(LOOPBACK[address.family], address);
  if (isLoopback && address.family === 6) {
    return refuse("the kernel lets no packet leave from ::1: use 127.0.0.1, or another address of the host");
  }
  if (isLoopback && !snat)
    return refuse("an answer finds its way to the loopback only with snat: set it to true");
  return { families: [address.family], hostAddress: address.value === 0n ? undefined : address };
}
