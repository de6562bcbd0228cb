// Filters of traffic control, which look at packets and do something with those that they match: send them out by another
// device, or a copy of them, or sort them into classes. Numbers are those of linux/pkt_cls.h and linux/tc_act/tc_mirred.h.
import type { Codec, Reader } from "./buffer.ts";
import {
  attributes,
  be32,
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
} from "./codec.ts";
import { MessageFlag, type Request } from "./message.ts";
import { Parent, target, trafficHeader } from "./traffic-control.ts";

// linux/rtnetlink.h
export const RTM_NEWTFILTER = 44;
const RTM_DELTFILTER = 45;
const RTM_GETTFILTER = 46;
const ETH_P_ALL_IN_NETWORK_ORDER = 0x0300;

/** A list of filters of a device. */
export type FilterPlace = typeof Parent.ingressFilters | typeof Parent.egressFilters;

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
