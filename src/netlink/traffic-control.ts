// Traffic control as rtnetlink speaks of it: queueing disciplines, filters and the actions of a filter, as far as
// Warren shapes traffic. Numbers are those of linux/pkt_sched.h, linux/pkt_cls.h and linux/tc_act/tc_mirred.h.
import type { Codec, Reader } from "./buffer.ts";
import {
  attributes,
  be32,
  bytes,
  type Choice,
  choice,
  headed,
  i32,
  list,
  nested,
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
export const RTM_NEWTFILTER = 44;
const RTM_DELTFILTER = 45;
const RTM_GETTFILTER = 46;

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

/** A list of filters of a device. */
export type FilterPlace = typeof Parent.ingressFilters | typeof Parent.egressFilters;

/** Handles that `tc` writes as `1:` and `ffff:`. */
export const Handle = { first: 0x0001_0000, ingress: 0xffff_0000 } as const;

const ETH_P_ALL_IN_NETWORK_ORDER = 0x0300;
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

/** Values one after the other, without attribute headers, up to the end. */
function sequence<T>(codec: Codec<T>): Codec<readonly T[]> {
  return {
    encode(writer, values) {
      for (const value of values) codec.encode(writer, value);
    },
    decode(reader) {
      const values: T[] = [];
      while (reader.left > 0) values.push(codec.decode(reader));
      return values;
    },
  };
}

const actionKinds = {
  /** Sends the packet to another device. */
  mirred: nested(
    attributes({
      // TCA_MIRRED_PARMS, struct tc_mirred
      parameters: [
        2,
        struct({
          index: u32,
          capabilities: u32,
          verdict: i32,
          references: i32,
          bindings: i32,
          direction: i32,
          device: u32,
        }),
      ],
    }),
  ),
};

const filterKinds = {
  /** Compares 32-bit words of the packet. */
  u32: attributes({
    classId: [1, u32], // TCA_U32_CLASSID
    actions: [7, list(choice([1, text], 2, actionKinds))], // TCA_U32_ACT with TCA_ACT_KIND, TCA_ACT_OPTIONS
    // TCA_U32_SEL, struct tc_u32_sel and its keys
    selector: [
      5,
      headed(
        struct({
          flags: u8,
          offsetShift: u8,
          keyCount: u8,
          padding: padding(1),
          offsetMask: u16,
          offset: u16,
          variableOffset: u16,
          hashOffset: u16,
          hashMask: be32,
        }),
        sequence(struct({ mask: be32, value: be32, offset: i32, offsetMask: i32 })),
      ),
    ],
  }),
};

/** The body of a message about a filter. */
export const filterMessage = headed(trafficHeader, choice([1, text], 2, filterKinds)); // TCA_KIND, TCA_OPTIONS

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

/** The selector that every packet matches. */
export const MATCH_ALL = {
  header: {
    flags: 1, // TC_U32_TERMINAL
    offsetShift: 0,
    keyCount: 1,
    offsetMask: 0,
    offset: 0,
    variableOffset: 0,
    hashOffset: 0,
    hashMask: 0,
  },
  attributes: [{ mask: 0, value: 0, offset: 0, offsetMask: 0 }],
};

// linux/pkt_cls.h, linux/tc_act/tc_mirred.h
const STOLEN = 4; // TC_ACT_STOLEN
const CONTINUE = -1; // TC_ACT_UNSPEC
const EGRESS_REDIRECT = 1; // TCA_EGRESS_REDIR
const EGRESS_MIRROR = 2; // TCA_EGRESS_MIRROR

function filterInfo(priority: number): number {
  return ((priority << 16) | ETH_P_ALL_IN_NETWORK_ORDER) >>> 0;
}

/** A filter that sends every packet, or a copy of it, out by the device `to`. */
function sendingFilter(verdict: number, direction: number, to: number): Choice<typeof filterKinds> {
  return {
    kind: "u32",
    data: {
      actions: [
        {
          kind: "mirred",
          data: {
            parameters: {
              index: 0,
              capabilities: 0,
              verdict,
              references: 0,
              bindings: 0,
              direction,
              device: to,
            },
          },
        },
      ],
      selector: MATCH_ALL,
    },
  };
}

/** Sends all that comes in by the device `index` out by the device `to`. Lower priorities are asked first. */
export function createRedirect(index: number, priority: number, to: number): Request<never> {
  return {
    operation: `redirect what comes in by link ${index} to link ${to}`,
    type: RTM_NEWTFILTER,
    flags: MessageFlag.create | MessageFlag.exclusive,
    encode(writer) {
      filterMessage.encode(writer, {
        header: target(index, Parent.ingressFilters, 0, filterInfo(priority)),
        attributes: sendingFilter(STOLEN, EGRESS_REDIRECT, to),
      });
    },
  };
}

/**
 * Sends a copy of all that comes in, or goes out, by the device `index` out by the device `to`. The filters behind it are
 * asked as if it were not there.
 */
export function createMirror(
  index: number,
  place: FilterPlace,
  priority: number,
  to: number,
): Request<never> {
  return {
    operation: `copy what passes link ${index} to link ${to}`,
    type: RTM_NEWTFILTER,
    flags: MessageFlag.create | MessageFlag.exclusive,
    encode(writer) {
      filterMessage.encode(writer, {
        header: target(index, place, 0, filterInfo(priority)),
        attributes: sendingFilter(CONTINUE, EGRESS_MIRROR, to),
      });
    },
  };
}

/** Takes the filter of a priority that one of the two above has made from a device; ENOENT where there is none. */
export function deleteFilter(index: number, place: FilterPlace, priority: number): Request<never> {
  return {
    operation: `delete filter of link ${index}`,
    type: RTM_DELTFILTER,
    flags: 0,
    encode(writer) {
      filterMessage.encode(writer, {
        header: target(index, place, 0, filterInfo(priority)),
        attributes: { kind: "u32" },
      });
    },
  };
}

/** A word of a packet's header, from the network's header on, and how it has to be. */
export interface PacketWord {
  readonly offset: number;
  readonly mask: number;
  readonly value: number;
}

/** A filter as the kernel describes it. */
export interface InstalledFilter {
  readonly priority: number;
  readonly kind: string;
  /** The device to which it sends everything; undefined if it does anything else. */
  readonly redirectsTo: number | undefined;
  /** The device to which it sends a copy of everything, 0 if that is gone; undefined if it does anything else. */
  readonly mirrorsTo: number | undefined;
  /** The class that it sorts packets into, and which words of their headers it asks for; undefined for others. */
  readonly sorts: SortingRule | undefined;
}

/** What a filter sorts into which class. */
export interface SortingRule {
  readonly classId: number;
  readonly words: readonly PacketWord[];
}

function readFilter(reader: Reader): InstalledFilter {
  reader.keepUnknown = false;
  const { header, attributes: filter } = filterMessage.decode(reader);
  const sent = sendingOf(header.info, filter);
  const redirects = sent?.direction === EGRESS_REDIRECT && sent.verdict === STOLEN;
  return {
    priority: header.info >>> 16,
    kind: filter?.kind === "other" ? filter.name : (filter?.kind ?? ""),
    redirectsTo: redirects ? sent.device : undefined,
    mirrorsTo: sent?.direction === EGRESS_MIRROR ? sent.device : undefined,
    sorts: sortingOf(filter),
  };
}

function sortingOf(filter: Choice<typeof filterKinds> | undefined): SortingRule | undefined {
  const { classId, selector } = (filter?.kind === "u32" ? filter.data : undefined) ?? {};
  if (classId === undefined || selector === undefined) return undefined;
  return { classId, words: selector.attributes.map(({ offset, mask, value }) => ({ offset, mask, value })) };
}

/** Returns what a filter does with every packet; undefined if it asks which, or does anything but send. */
function sendingOf(info: number, filter: Choice<typeof filterKinds> | undefined) {
  if (filter?.kind !== "u32" || (info & 0xffff) !== ETH_P_ALL_IN_NETWORK_ORDER) return undefined;
  const { selector, actions } = filter.data ?? {};
  if (selector === undefined || selector.attributes.some(({ mask }) => mask !== 0)) return undefined;
  const [action] = actions ?? [];
  return action?.kind === "mirred" ? action.data?.parameters : undefined;
}

/**
 * Asks for the filters on what comes in, or goes out, by a device, or by which a discipline sorts, whose handle `place` is
 * then. EINVAL where there is no place for any.
 */
export function dumpFilters(index: number, place: number): Request<InstalledFilter> {
  return {
    operation: `list filters of link ${index}`,
    type: RTM_GETTFILTER,
    flags: 0,
    encode(writer) {
      filterMessage.encode(writer, { header: target(index, place), attributes: undefined });
    },
    decode: readFilter,
  };
}
