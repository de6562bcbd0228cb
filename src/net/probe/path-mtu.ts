// How long a packet may be that gets there whole: echoes that nobody may take apart, of more and of fewer bytes.
import type { Address } from "../../ip/address.ts";
import { isSystemError } from "../../sys/libc.ts";
import { EchoSocket, UnreachableError } from "../echo.ts";
import type { Netns } from "../netns.ts";
import { explained } from "./path.ts";

/** What stands before the payload of an echo: the IP header and that of ICMP. */
const HEADER_BYTES = { 4: 20 + 8, 6: 40 + 8 } as const;
/** What every network has to carry (RFC 791, RFC 8200). */
const LEAST_MTU = { 4: 68, 6: 1280 } as const;
/** What the length field of a packet can say. */
const LARGEST_MTU = 65_535;
/** One that got lost is no sign of a limit. */
const TRIES = 3;

/**
 * Returns the length of the longest IP packet that gets from the namespace to the address, headers included. Throws
 * UnreachableError where none does.
 */
export function measurePathMtu(from: Netns, address: Address, timeoutMs: number): number {
  try {
    using socket = EchoSocket.open(from, address);
    socket.refuseFragments();
    const search = new Search(socket, address, timeoutMs);
    let passing: number = LEAST_MTU[address.family];
    const firstMs = search.roundTripMs(passing);
    if (firstMs === undefined) {
      throw new UnreachableError(address, `not even a packet of ${passing} bytes gets through`);
    }
    // what is too long vanishes without a word where routers are silent, and each of those costs a wait
    search.waitMs = Math.min(timeoutMs, 100 + 4 * firstMs);
    let failing = LARGEST_MTU + 1;
    while (failing - passing > 1) {
      const middle = Math.floor((passing + failing) / 2);
      if (search.roundTripMs(middle) === undefined) failing = middle;
      else passing = middle;
    }
    return passing;
  } catch (error) {
    throw explained(error, address);
  }
}

class Search {
  #sequence = 0;

  constructor(
    readonly socket: EchoSocket,
    readonly address: Address,
    public waitMs: number,
  ) {}

  /** Returns how long a packet of that length takes to come back; undefined if it doesn't get through. */
  roundTripMs(bytes: number): number | undefined {
    for (let tries = 0; tries < TRIES; tries++) {
      const sequence = this.#sequence++ & 0xffff;
      const sentAtMs = performance.now();
      try {
        this.socket.send(sequence, bytes - HEADER_BYTES[this.address.family]);
        while (performance.now() - sentAtMs < this.waitMs) {
          const answered = this.socket.receive(this.waitMs - (performance.now() - sentAtMs));
          if (answered === sequence) return performance.now() - sentAtMs;
        }
      } catch (error) {
        // it may have been said about the one before; a limit that drops is one, too
        if (!isSystemError(error, "EMSGSIZE", "ENOBUFS")) throw error;
      }
    }
    return undefined;
  }
}
