// How many bytes get through in a while: as many as TCP can, or as many as a given rate of UDP packets has, counted
// where they arrive. One thread fills one end and empties the other, so nothing but the kernel stands between them.
import { awaitReady, type InetSocket } from "../../sys/inet-socket.ts";
import { isSystemError, memory } from "../../sys/libc.ts";
import { UnreachableError } from "../echo.ts";
import type { Netns } from "../netns.ts";
import { bound, connectTcp, type Direction, explained, openIn, type ProbePath } from "./path.ts";

const MILLISECONDS_A_SECOND = 1000;
const BITS_A_BYTE = 8;
/** What is handed to the kernel at once, and taken from it. */
const CHUNK_BYTES = 128 * 1024;
/** How finely the course of a measurement is told. */
const INTERVALS = 40;
const SHORTEST_INTERVAL_MS = 20;
const BUFFER_BYTES = 8 * 1024 * 1024;

/** How long to measure. */
export interface ThroughputOptions {
  readonly durationMs: number;
  /** What goes before the measurement: a burst is used up then, and TCP has found the rate. */
  readonly runInMs: number;
  /** How long a connection may take. */
  readonly timeoutMs: number;
}

/** What got through. */
export interface Throughput {
  /** Over the time behind the run-in. */
  readonly bitsPerSecond: number;
  /** The whole course, the run-in too, in steps of `intervalMs`. */
  readonly intervalMs: number;
  readonly course: readonly number[];
}

/** Counts what arrives, in steps. */
class Course {
  readonly startMs = performance.now();
  readonly endMs: number;
  readonly intervalMs: number;
  readonly #bytes: number[];
  readonly #runInMs: number;
  #measured = 0;
  /** Since when bytes count, from the start; undefined until then. */
  #sinceMs: number | undefined;

  constructor({ durationMs, runInMs }: ThroughputOptions) {
    const wholeMs = runInMs + durationMs;
    this.#runInMs = runInMs;
    this.endMs = this.startMs + wholeMs;
    this.intervalMs = Math.max(SHORTEST_INTERVAL_MS, wholeMs / INTERVALS);
    this.#bytes = new Array<number>(Math.max(1, Math.floor(wholeMs / this.intervalMs))).fill(0);
  }

  /** Takes note of bytes that have just arrived. */
  count(bytes: number): void {
    const sinceMs = performance.now() - this.startMs;
    const step = Math.min(this.#bytes.length - 1, Math.floor(sinceMs / this.intervalMs));
    this.#bytes[step] = (this.#bytes[step] ?? 0) + bytes;
    this.#measured += bytes;
  }

  /**
   * Takes note that everything that has arrived is counted. Only such a moment can be the begin of what is measured, or
   * its end: a process that had to wait for a processor finds more, and that came while it waited.
   */
  settle(): void {
    const sinceMs = performance.now() - this.startMs;
    if (this.#sinceMs !== undefined || sinceMs < this.#runInMs || !this.isOpen) return;
    this.#sinceMs = sinceMs;
    this.#measured = 0;
  }

  /** True while the measurement goes on. */
  get isOpen(): boolean {
    return performance.now() < this.endMs;
  }

  /** What was counted until now, when everything that has arrived is. */
  result(): Throughput {
    const measuredMs = performance.now() - this.startMs - (this.#sinceMs ?? 0);
    return {
      bitsPerSecond: rate(this.#measured, measuredMs),
      intervalMs: this.intervalMs,
      course: this.#bytes.map((bytes) => rate(bytes, this.intervalMs)),
    };
  }
}

function rate(bytes: number, durationMs: number): number {
  return Math.round((bytes * BITS_A_BYTE * MILLISECONDS_A_SECOND) / durationMs);
}

/** Measures as much as TCP gets through. Throws UnreachableError or SystemError. */
export function measureTcp(
  path: ProbePath<Netns>,
  direction: Direction,
  options: ThroughputOptions,
): Throughput {
  using connected = connectTcp(path, options.timeoutMs);
  const { near, far } = connected;
  const [sender, receiver] = direction === "there" ? [near, far] : [far, near];
  const content = memory(CHUNK_BYTES);
  const received = memory(CHUNK_BYTES);
  const course = new Course(options);
  const takeBytes = () => {
    let count: number | undefined;
    do {
      count = receiver.receive(received);
      if (count !== undefined) course.count(count);
      // less than there was room for was everything
    } while (count === CHUNK_BYTES);
    course.settle();
  };
  while (course.isOpen) {
    takeBytes();
    awaitReady(
      [
        { socket: sender, until: "writable" },
        { socket: receiver, until: "readable" },
      ],
      course.endMs - performance.now(),
    );
    sender.send(content);
  }
  takeBytes();
  return course.result();
}

/** How to measure with UDP. */
export interface UdpOptions extends ThroughputOptions {
  /** How much is sent. */
  readonly bitsPerSecond: number;
  /** How long each packet is, without its headers; 4 at least. */
  readonly payloadBytes: number;
}

/** What became of UDP packets that were sent at a steady rate. */
export interface UdpThroughput extends Throughput {
  readonly sent: number;
  readonly received: number;
  /** Packets that came behind one that was sent later. */
  readonly overtaken: number;
}

/** How often a sender looks how many packets are due. */
const TICK_MS = 1;
/** What is under way when the last packet is sent may still arrive so much later. */
const TAIL_MS = 250;

/** Sends packets at a steady rate and counts those that arrive. Throws UnreachableError or SystemError. */
export function measureUdp(path: ProbePath<Netns>, direction: Direction, options: UdpOptions): UdpThroughput {
  using near = openIn(path.from, "udp", path.address);
  using far = openIn(path.to, "udp", path.address);
  introduce(near, far, path, options.timeoutMs);
  const [sender, receiver] = direction === "there" ? [near, far] : [far, near];
  receiver.keepUpTo(BUFFER_BYTES);
  // what is held up must be lost in the queue, where everybody's packets are, and not wait for its turn in front of it
  sender.sendAheadUpTo(BUFFER_BYTES);
  const { payloadBytes, bitsPerSecond } = options;
  const packet = memory(payloadBytes);
  const numbered = new DataView(packet.buffer);
  const received = memory(payloadBytes);
  const arrived = new DataView(received.buffer);
  const packetsPerMs = bitsPerSecond / (payloadBytes * BITS_A_BYTE) / MILLISECONDS_A_SECOND;
  const counts = { sent: 0, received: 0, overtaken: 0 };
  let latest = -1;
  const course = new Course(options);
  const takePackets = (note: (bytes: number) => void) => {
    for (let bytes = receiver.receive(received); bytes !== undefined; bytes = receiver.receive(received)) {
      if (bytes !== payloadBytes) continue;
      const number = arrived.getUint32(0);
      if (number < latest) counts.overtaken++;
      latest = Math.max(latest, number);
      counts.received++;
      note(bytes);
    }
  };
  while (course.isOpen) {
    const due = Math.floor((performance.now() - course.startMs) * packetsPerMs);
    for (let number = counts.sent; number < due && course.isOpen; number++) {
      numbered.setUint32(0, number);
      if (!isSent(sender, packet)) break;
      counts.sent++;
      // what is taken late would be counted late
      if (number % 16 === 0) takePackets((bytes) => course.count(bytes));
    }
    takePackets((bytes) => course.count(bytes));
    course.settle();
    awaitReady([{ socket: receiver, until: "readable" }], TICK_MS);
  }
  takePackets((bytes) => course.count(bytes));
  course.settle();
  const result = course.result();
  const endMs = performance.now() + TAIL_MS;
  while (counts.received < counts.sent && performance.now() < endMs) {
    awaitReady([{ socket: receiver, until: "readable" }], endMs - performance.now());
    takePackets(() => undefined);
  }
  return { ...result, ...counts };
}

/** False where the kernel has no room, or heard that nobody takes the packets: who counts arrivals sees that. */
function isSent(sender: InetSocket, packet: Uint8Array<ArrayBuffer>): boolean {
  try {
    return sender.send(packet) !== undefined;
  } catch (error) {
    if (isSystemError(error, "ENOBUFS", "ECONNREFUSED", "EHOSTUNREACH", "EPERM")) return false;
    throw error;
  }
}

/** Ties two UDP sockets to each other, each to the address that the other one's packets really have. */
function introduce(near: InetSocket, far: InetSocket, path: ProbePath<Netns>, timeoutMs: number): void {
  const { address } = path;
  try {
    const place = bound(far, address);
    near.connect(place);
    const deadlineMs = performance.now() + timeoutMs;
    const buffer = memory(1);
    while (performance.now() < deadlineMs) {
      isSent(near, memory(1));
      awaitReady([{ socket: far, until: "readable" }], Math.min(200, deadlineMs - performance.now()));
      const source = far.receiveFrom(buffer);
      if (source === undefined) continue;
      far.connect(source);
      // the greetings that were sent once too often
      while (far.receive(buffer) !== undefined);
      return;
    }
  } catch (error) {
    throw explained(error, address);
  }
  throw new UnreachableError(address, `no UDP packet came within ${timeoutMs} ms`);
}
