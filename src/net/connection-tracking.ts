// Forgets UDP flows that the kernel tracks. A flow keeps the translation of its first packet for as long as it
// lives, so one that began before a port map was made, or goes to a pod that is no more, would never reach the new one.
import { type Address, addressBytes } from "../ip/address.ts";
import { dumpAddresses } from "../netlink/address.ts";
import { sameBytes } from "../netlink/buffer.ts";
import { type Direction, deleteConnection, dumpConnections } from "../netlink/conntrack.ts";
import { ignoring } from "../netlink/message.ts";
import { NetlinkSocket } from "../netlink/socket.ts";
import { connectNetfilter } from "./connection.ts";

const UDP = 17;

/** A UDP port of the host, and where datagrams to it go or went. */
export interface UdpPort {
  /** Undefined is every address of the host in the target's family. */
  readonly hostAddress: Address | undefined;
  readonly hostPort: number;
  readonly target: Address;
  readonly targetPort: number;
}

/**
 * Forgets the flows to ports of the host: those that lead to the target (`"to target"`, when it is going), or all
 * others (`"to others"`, when it has just come). Flows through the host to the same port of another machine stay.
 * Returns how many. Throws NetlinkError or SystemError where the kernel does not show its connections.
 */
export function forgetFlows(ports: readonly UdpPort[], which: "to target" | "to others"): number {
  if (ports.length === 0) return 0;
  const netfilter = connectNetfilter();
  const local = localAddresses();
  let forgotten = 0;
  for (const family of [4, 6] as const) {
    const byPort = Map.groupBy(
      ports.filter(({ target }) => target.family === family),
      ({ hostPort }) => hostPort,
    );
    if (byPort.size === 0) continue;
    // the kernel looks through all its connections for each question, so many ports are one
    const [only] = byPort.size === 1 ? byPort.keys() : [];
    const flows = netfilter.dump(
      dumpConnections({ family: family === 4 ? "ipv4" : "ipv6", protocol: UDP, destinationPort: only }),
    );
    const stale = flows.filter(({ original, reply }) =>
      (byPort.get(original.destinationPort) ?? []).some((port) => {
        const leadsThere =
          sameBytes(reply.source, addressBytes(port.target)) && reply.sourcePort === port.targetPort;
        if (leadsThere !== (which === "to target")) return false;
        return port.hostAddress === undefined
          ? isLocal(original, local)
          : sameBytes(original.destination, addressBytes(port.hostAddress));
      }),
    );
    // a flow may end by itself meanwhile
    netfilter.execute(stale.map((flow) => ignoring(deleteConnection(flow), "ENOENT")));
    forgotten += stale.length;
  }
  return forgotten;
}

function localAddresses(): Uint8Array[] {
  using host = NetlinkSocket.open("route");
  return host.dump(dumpAddresses()).map(({ address }) => address);
}

function isLocal({ destination }: Direction, local: readonly Uint8Array[]): boolean {
  const loopback = destination.length === 4 && destination[0] === 127;
  return loopback || local.some((address) => sameBytes(address, destination));
}
