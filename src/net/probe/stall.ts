// Does a connection stall? A client that writes twice and then reads meets two habits of TCP: its own kernel holds the
// second small packet back until the first is acknowledged (Nagle, RFC 896), and the server's kernel waits for something to
// acknowledge it with (delayed acknowledgement, RFC 1122, 40 ms and more on Linux). Each waits for the other.
import { awaitReady, type InetSocket } from "../../sys/inet-socket.ts";
import { memory, SystemError } from "../../sys/libc.ts";
import { UnreachableError } from "../echo.ts";
import type { Netns } from "../netns.ts";
import { connectTcp, explained, type ProbePath } from "./path.ts";

const MESSAGE_BYTES = 100;
/** Half of what the kernel waits before it acknowledges (TCP_DELACK_MIN, include/net/tcp.h). */
const STALL_MS = 20;

/** How long each round took: two writes, an answer to both. */
export interface Stalls {
  readonly roundsMs: readonly number[];
  /** Rounds that took so much longer than two ways there and back that somebody must have waited. */
  readonly stalled: number;
}

/**
 * Plays rounds of write, write, read over one connection from the path's beginning to its end. `roundTripMs` is what a
 * packet needs there and back. Throws UnreachableError or SystemError.
 */
export function measureStalls(
  path: ProbePath<Netns>,
  options: { readonly rounds: number; readonly roundTripMs: number; readonly timeoutMs: number },
): Stalls {
  const { rounds, roundTripMs, timeoutMs } = options;
  try {
    using connected = connectTcp(path, timeoutMs);
    const { near, far } = connected;
    const message = memory(MESSAGE_BYTES);
    const roundsMs = Array.from({ length: rounds }, () => {
      const startMs = performance.now();
      near.send(message);
      near.send(message);
      receiveAll(far, 2 * MESSAGE_BYTES, path, timeoutMs);
      far.send(message);
      receiveAll(near, MESSAGE_BYTES, path, timeoutMs);
      return performance.now() - startMs;
    });
    const limitMs = 2 * roundTripMs + STALL_MS;
    return { roundsMs, stalled: roundsMs.filter((roundMs) => roundMs > limitMs).length };
  } catch (error) {
    throw explained(error, path.address);
  }
}

function receiveAll(socket: InetSocket, bytes: number, { address }: ProbePath, timeoutMs: number): void {
  const buffer = memory(bytes);
  const deadlineMs = performance.now() + timeoutMs;
  for (let missing = bytes; missing > 0; ) {
    const leftMs = deadlineMs - performance.now();
    if (leftMs <= 0) {
      throw new UnreachableError(address, `a TCP connection gave no answer within ${timeoutMs} ms`);
    }
    awaitReady([{ socket, until: "readable" }], leftMs);
    const count = socket.receive(buffer);
    if (count === 0) throw new SystemError("receive", 104);
    missing -= count ?? 0;
  }
}
