// How long packets take to an address and back, and how many of them are lost: echoes at a steady beat, each answered by
// the kernel that has the address. Other than a ping that waits for each answer, this sees packets that overtake others.
import { EchoSocket, reasonOf } from "../echo.ts";
import type { ProbePath } from "./path.ts";

/** How many echoes to ask for, and how. */
export interface LatencyOptions {
  readonly count: number;
  readonly intervalMs: number;
  /** How long to wait for an answer. */
  readonly timeoutMs: number;
  readonly payloadBytes: number;
}

/** What became of the echoes. */
export interface Latency {
  /** In the order of the questions; undefined for one that was not answered in time. */
  readonly roundTripsMs: readonly (number | undefined)[];
  /** Answers that came more than once. */
  readonly duplicates: number;
  /** Answers that came behind that to a later question. */
  readonly overtaken: number;
  /** What the kernel, or a router, said about one that was not answered. */
  readonly reason: string | undefined;
}

/** Asks for echoes as the options say. Throws SystemError: EPERM without CAP_NET_RAW. */
export function measureLatency({ from, address }: ProbePath, options: LatencyOptions): Latency {
  const { count, intervalMs, timeoutMs, payloadBytes } = options;
  const sentAtMs: number[] = [];
  const roundTripsMs = new Array<number | undefined>(count).fill(undefined);
  let duplicates = 0;
  let overtaken = 0;
  let latest = -1;
  let reason: string | undefined;
  /** Runs a step of which only what it says about the way matters. */
  function listening<T>(step: () => T): T | undefined {
    try {
      return step();
    } catch (error) {
      reason = reasonOf(error);
      if (reason === undefined) throw error;
      return undefined;
    }
  }
  using socket = listening(() => EchoSocket.open(from, address));
  if (socket === undefined) return { roundTripsMs, duplicates, overtaken, reason };

  const takeAnswers = (untilMs: number, isEnough: () => boolean) => {
    for (let leftMs = 1; leftMs > 0 && !isEnough(); leftMs = untilMs - performance.now()) {
      const sequence = listening((): number | undefined => socket.receive(untilMs - performance.now()));
      const now = performance.now();
      const sent = sequence === undefined ? undefined : sentAtMs[sequence];
      if (sequence === undefined || sent === undefined || now - sent > timeoutMs) continue;
      if (roundTripsMs[sequence] !== undefined) duplicates++;
      else roundTripsMs[sequence] = now - sent;
      if (sequence < latest) overtaken++;
      latest = Math.max(latest, sequence);
    }
  };
  const startMs = performance.now();
  for (let sequence = 0; sequence < count; sequence++) {
    takeAnswers(startMs + sequence * intervalMs, () => false);
    sentAtMs.push(performance.now());
    listening(() => socket.send(sequence, payloadBytes));
  }
  const isComplete = () => roundTripsMs.every((timeMs) => timeMs !== undefined);
  takeAnswers(performance.now() + timeoutMs, isComplete);
  return { roundTripsMs, duplicates, overtaken, reason };
}
