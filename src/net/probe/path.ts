// The way that a probe measures: from one network namespace to another, or to an address of whoever has it. Both ends
// are played by this one process, with sockets that were opened on either side.
import { type Address, addressBytes, addressFromBytes } from "../../ip/address.ts";
import { dumpAddresses, Scope } from "../../netlink/address.ts";
import { awaitReady, InetSocket, type SocketPlace } from "../../sys/inet-socket.ts";
import { isSystemError } from "../../sys/libc.ts";
import { connectInside } from "../connection.ts";
import { reasonOf, UnreachableError } from "../echo.ts";
import { inNetns, type Netns } from "../netns.ts";

/** A way to an address; with a namespace at its end, packets can be received and answered there. */
export interface ProbePath<To extends Netns | undefined = Netns | undefined> {
  readonly from: Netns;
  readonly to: To;
  readonly address: Address;
}

/** The way that packets go: from the beginning of a path to its end, or back. */
export type Direction = "there" | "back";

/** Returns the addresses that others can reach the namespace by, IPv4 first. Throws NetlinkError or SystemError. */
export function reachableAddresses(netns: Netns): Address[] {
  using inside = connectInside(netns);
  return inside
    .dump(dumpAddresses())
    .filter(
      ({ scope, tentative, duplicateFound }) => scope === Scope.universe && !tentative && !duplicateFound,
    )
    .map(({ address }) => addressFromBytes(address))
    .sort((left, right) => left.family - right.family);
}

/** Returns the address that packets from the namespace to `destination` have; undefined if there is no way. */
export function sourceAddress(from: Netns, destination: Address): Address | undefined {
  using socket = openIn(from, "udp", destination);
  try {
    // nothing is sent: the kernel looks up the route, and keeps what it found
    socket.connect({ address: addressBytes(destination), port: 9 });
    return addressFromBytes(socket.place().address);
  } catch (error) {
    if (isSystemError(error)) return undefined;
    throw error;
  }
}

/** Opens a socket in the namespace for addresses like that one. Throws SystemError. */
export function openIn(netns: Netns, kind: "tcp" | "udp", { family }: Address): InetSocket {
  return inNetns(netns, () => InetSocket.open(kind, family));
}

/** The two ends of a connection. */
export interface Connected extends Disposable {
  readonly near: InetSocket;
  readonly far: InetSocket;
}

/**
 * Opens a TCP connection from the beginning of the path to its end, where any free port is taken for it. Closing it drops
 * what is under way. Throws UnreachableError with what stands in its way, or SystemError.
 */
export function connectTcp({ from, to, address }: ProbePath<Netns>, timeoutMs: number): Connected {
  using listener = openIn(to, "tcp", address);
  const place = bound(listener, address);
  listener.listen();
  const near = openIn(from, "tcp", address);
  try {
    near.connect(place);
    const deadlineMs = performance.now() + timeoutMs;
    for (;;) {
      const leftMs = deadlineMs - performance.now();
      if (leftMs <= 0) throw new UnreachableError(address, `no TCP connection within ${timeoutMs} ms`);
      awaitReady([{ socket: listener, until: "readable" }], Math.min(leftMs, 20));
      near.demandConnected();
      const far = listener.accept();
      if (far === undefined) continue;
      near.dropOnClose();
      far.dropOnClose();
      return {
        near,
        far,
        [Symbol.dispose]() {
          near[Symbol.dispose]();
          far[Symbol.dispose]();
        },
      };
    }
  } catch (error) {
    near[Symbol.dispose]();
    throw explained(error, address);
  }
}

/** Takes any free port of the address, and returns where that is. */
export function bound(socket: InetSocket, address: Address): SocketPlace {
  socket.bind({ address: addressBytes(address), port: 0 });
  return socket.place();
}

/** Returns what an error says of the way to the address, or the error itself if it says nothing. */
export function explained(error: unknown, address: Address): unknown {
  const reason = reasonOf(error);
  return reason === undefined ? error : new UnreachableError(address, reason, { cause: error });
}
