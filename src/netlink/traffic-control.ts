// Traffic control as rtnetlink speaks of it: where things hang on a device, and the queueing disciplines by which Warren
// shapes traffic. Numbers are those of linux/pkt_sched.h. Filters are in traffic-filter.ts, classes in traffic-class.ts.
import type { Reader } from "./buffer.ts";
import {
  attributes,
  bytes,
  type Choice,
  choice,
  headed,
  i32,
  padding,
  struct,
  text,
  u8,
  u16,
  u32,
  u64,
} from "./codec.ts";
import { MessageFlag, type Request } from "./message.ts";
import { type NetemSettings, netemData, netemOptions, netemSettings } from "./netem.ts";

const RTM_NEWQDISC = 36;
const RTM_DELQDISC = 37;
const RTM_GETQDISC = 38;

/** Where a queueing discipline or a filter hangs on a device (TC_H_*). */
export const Parent = {
  /** What leaves the device. */
  root: 0xffff_ffff,
  /** The one place for a discipline on what comes in by the device: `ingress` or `clsact`. */
  ingress: 0xffff_fff1,
  /** The filters on what comes in, under `ingress` and `clsact` alike. */
  ingressFilters: 0xffff_fff2,
  /** The filters on what goes out, under `clsact` alone. */
  egressFilters: 0xffff_fff3,
} as const;

/** Handles that `tc` writes as `1:` and `ffff:`. */
export const Handle = { first: 0x0001_0000, ingress: 0xffff_0000 } as const;

/** The link layer of a rate. */
export const ETHERNET = 1; // TC_LINKLAYER_ETHERNET
/** The largest number that a field of 32 bits holds. */
export const LARGEST_32_BITS = 0xffff_ffff;

/** struct tcmsg, linux/rtnetlink.h */
export const trafficHeader = struct({
  family: u8,
  padding: padding(3),
  index: i32,
  handle: u32,
  parent: u32,
  info: u32,
});

/** struct tc_ratespec */
export const rateSpecification = struct({
  cellLog: u8,
  linkLayer: u8,
  overhead: u16,
  cellAlign: u16,
  smallestPacket: u16,
  rate: u32,
});

const disciplineKinds = {
  /** Token bucket filter: what exceeds the rate waits in a queue of `limit` bytes. */
  tbf: attributes({
    // TCA_TBF_PARMS, struct tc_tbf_qopt
    parameters: [
      1,
      struct({ rate: rateSpecification, peak: rateSpecification, limit: u32, buffer: u32, mtu: u32 }),
    ],
    rateTable: [2, bytes], // TCA_TBF_RTAB, which kernels since 3.8 do without
    rate64: [4, u64], // TCA_TBF_RATE64
    burst: [6, u32], // TCA_TBF_BURST
  }),
  /** Network emulator: delays, loses and spoils packets. */
  netem: netemOptions,
  /** Hierarchical token bucket: sorts packets into classes. */
  htb: attributes({
    // TCA_HTB_INIT, struct tc_htb_glob
    globals: [2, struct({ version: u32, quantumRatio: u32, defaultClass: u32, debug: u32, direct: u32 })],
  }),
};

/** A queueing discipline with what makes it this kind. */
export type Discipline = Choice<typeof disciplineKinds>;

/** The body of a message about a queueing discipline. */
export const disciplineMessage = headed(trafficHeader, choice([1, text], 2, disciplineKinds)); // TCA_KIND, TCA_OPTIONS

/** A token bucket. */
export interface TokenBucket {
  /** Bytes a second. */
  readonly rate: bigint;
  /** How many bytes may go at once after a pause. */
  readonly burst: number;
  /** The longest queue, in bytes. */
  readonly limit: number;
  /** `burst` as the time that it takes, in ticks of 64 ns and modulo 2^32: all that the kernel tells of it later. */
  readonly burstTicks: number;
}

/** A queueing discipline as the kernel describes it. */
export interface InstalledDiscipline {
  readonly index: number;
  readonly parent: number;
  /** 0 for the one that a device has by itself. */
  readonly handle: number;
  readonly kind: string;
  /** The settings of a `tbf`, without its burst, of which the kernel tells only the ticks. */
  readonly bucket: Omit<TokenBucket, "burst"> | undefined;
  /** The settings of a `netem`. */
  readonly netem: NetemSettings | undefined;
}

/** Returns the header of a message about a place on a device. */
export function target(index: number, parent: number, handle = 0, info = 0) {
  return { family: 0, index, handle, parent, info };
}

/** No rate at all. */
export const NO_RATE = { cellLog: 0, linkLayer: 0, overhead: 0, cellAlign: 0, smallestPacket: 0, rate: 0 };

/** Returns the token bucket as the kernel wants it. The burst is told in bytes, which is exact at any length. */
export function tokenBucket({ rate, burst, limit, burstTicks }: TokenBucket): Discipline {
  const is64 = rate > BigInt(LARGEST_32_BITS);
  return {
    kind: "tbf",
    data: {
      parameters: {
        // with a link layer the kernel needs no table of rates
        rate: { ...NO_RATE, linkLayer: ETHERNET, rate: is64 ? LARGEST_32_BITS : Number(rate) },
        peak: NO_RATE,
        limit,
        buffer: burstTicks,
        mtu: 0,
      },
      rate64: is64 ? rate : undefined,
      burst,
    },
  };
}

/** Returns the network emulator as the kernel wants it. */
export function networkEmulator(settings: NetemSettings): Discipline {
  return { kind: "netem", data: netemData(settings) };
}

/** Hangs a discipline on a device; EEXIST where another one than the device's own is already. */
export function createDiscipline(
  index: number,
  parent: number,
  handle: number,
  discipline: Discipline,
): Request<never> {
  return {
    operation: `create ${discipline.kind === "other" ? discipline.name : discipline.kind} on link ${index}`,
    type: RTM_NEWQDISC,
    flags: MessageFlag.create | MessageFlag.exclusive,
    encode(writer) {
      disciplineMessage.encode(writer, { header: target(index, parent, handle), attributes: discipline });
    },
  };
}

/** Takes a discipline from a device with all that hangs on it; ENOENT or EINVAL where none was put. */
export function deleteDiscipline(index: number, parent: number): Request<never> {
  return {
    operation: `delete discipline of link ${index}`,
    type: RTM_DELQDISC,
    flags: 0,
    encode(writer) {
      disciplineMessage.encode(writer, { header: target(index, parent), attributes: undefined });
    },
  };
}

function readDiscipline(reader: Reader): InstalledDiscipline {
  const { header, attributes: installed } = disciplineMessage.decode(reader);
  const data = installed?.kind === "tbf" ? installed.data : undefined;
  const emulator = installed?.kind === "netem" ? installed.data : undefined;
  const parameters = data?.parameters;
  return {
    index: header.index,
    parent: header.parent,
    handle: header.handle,
    kind: installed?.kind === "other" ? installed.name : (installed?.kind ?? ""),
    bucket: parameters && {
      rate: data?.rate64 ?? BigInt(parameters.rate.rate),
      limit: parameters.limit,
      burstTicks: parameters.buffer,
    },
    netem: emulator && netemSettings(emulator),
  };
}

/** Asks for the discipline at a place of a device; EINVAL where the device has only its own. */
export function getDiscipline(index: number, parent: number): Request<InstalledDiscipline> {
  return {
    operation: `get discipline of link ${index}`,
    type: RTM_GETQDISC,
    // the kernel tells those who listen for changes, and whoever asks only as one of them
    flags: MessageFlag.echo,
    encode(writer) {
      disciplineMessage.encode(writer, { header: target(index, parent), attributes: undefined });
    },
    decode: readDiscipline,
  };
}
