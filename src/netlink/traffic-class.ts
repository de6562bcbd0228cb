// Classes of packets, each with a queueing discipline of its own: the sorter `htb`, its classes and the filters that sort
// by addresses. Of what htb can do only the sorting is used. Numbers are those of linux/pkt_sched.h and linux/pkt_cls.h.
import { attributes, choice, headed, struct, text, u32, u64 } from "./codec.ts";
import { MessageFlag, type Request } from "./message.ts";
import {
  type Discipline,
  ETHERNET,
  LARGEST_32_BITS,
  NO_RATE,
  rateSpecification,
  target,
  trafficHeader,
} from "./traffic-control.ts";
import { filterMessage, MATCH_ALL, type PacketWord, RTM_NEWTFILTER } from "./traffic-filter.ts";

const RTM_NEWTCLASS = 40;

/** The body of a message about a class. */
const classMessage = headed(
  trafficHeader,
  choice([1, text], 2, {
    htb: attributes({
      rate64: [6, u64], // TCA_HTB_RATE64
      ceiling64: [7, u64], // TCA_HTB_CEIL64
      // TCA_HTB_PARMS, struct tc_htb_opt
      parameters: [
        1,
        struct({
          rate: rateSpecification,
          ceiling: rateSpecification,
          buffer: u32,
          ceilingBuffer: u32,
          quantum: u32,
          level: u32,
          priority: u32,
        }),
      ],
    }),
  }),
);

/** Returns a sorter whose classes are made afterwards; packets of no class pass it at once, with class 0 as default. */
export function classSorter(defaultClass: number): Discipline {
  return {
    kind: "htb",
    // the version and the ratio that tc sends; quanta are told of each class
    data: { globals: { version: 3, quantumRatio: 10, defaultClass, debug: 0, direct: 0 } },
  };
}

/** Bytes a second that no device reaches, so that a class holds nothing up by itself. */
const BOUNDLESS_RATE = 1n << 40n;
const BOUNDLESS_BUFFER_TICKS = 0x7fff_ffff;
const QUANTUM_BYTES = 0x1_0000;

/** Makes a class of a sorter that holds nothing up. `handle` is the sorter's, `number` the class's own, from 1. */
export function createClass(index: number, handle: number, number: number): Request<never> {
  const rate = { ...NO_RATE, linkLayer: ETHERNET, rate: LARGEST_32_BITS };
  return {
    operation: `create class ${number} on link ${index}`,
    type: RTM_NEWTCLASS,
    flags: MessageFlag.create | MessageFlag.exclusive,
    encode(writer) {
      classMessage.encode(writer, {
        header: target(index, handle, handle + number),
        attributes: {
          kind: "htb",
          data: {
            rate64: BOUNDLESS_RATE,
            ceiling64: BOUNDLESS_RATE,
            parameters: {
              rate,
              ceiling: rate,
              buffer: BOUNDLESS_BUFFER_TICKS,
              ceilingBuffer: BOUNDLESS_BUFFER_TICKS,
              quantum: QUANTUM_BYTES,
              level: 0,
              priority: 0,
            },
          },
        },
      });
    },
  };
}

/** Sorts packets of a protocol (its Ethernet type) whose header has these words into a class. */
export function createClassifier(
  index: number,
  handle: number,
  classNumber: number,
  match: {
    readonly protocol: number;
    readonly priority: number;
    readonly words: readonly PacketWord[];
  },
): Request<never> {
  const protocol = ((match.protocol & 0xff) << 8) | (match.protocol >>> 8);
  return {
    operation: `sort what leaves link ${index} into class ${classNumber}`,
    type: RTM_NEWTFILTER,
    flags: MessageFlag.create | MessageFlag.exclusive,
    encode(writer) {
      filterMessage.encode(writer, {
        header: target(index, handle, 0, ((match.priority << 16) | protocol) >>> 0),
        attributes: {
          kind: "u32",
          data: {
            classId: handle + classNumber,
            selector: {
              header: { ...MATCH_ALL.header, keyCount: match.words.length },
              attributes: match.words.map((word) => ({ ...word, offsetMask: 0 })),
            },
          },
        },
      });
    },
  };
}
