// `warren lab ping ADDRESS`: does an address answer, seen from the host or from a pod?
import * as v from "valibot";
import { parseAddress } from "../../ip/address.ts";
import { ping } from "../../net/echo.ts";
import { openNetns } from "../../net/netns.ts";
import { writeStdout } from "../../sys/stdio.ts";
import { operatorCommand, parseFlags, UsageError } from "../command.ts";
import { findNetns } from "../netns-argument.ts";

const wholeNumber = v.pipe(
  v.string(),
  v.check((text) => /^[1-9]\d{0,5}$/.test(text), "a whole number from 1 to 999999"),
  v.transform(Number),
);
const evenNumber = v.pipe(
  v.string(),
  v.check((text) => /^\d{1,5}$/.test(text) && Number(text) % 2 === 0, "an even number up to 65000"),
  v.transform(Number),
  v.maxValue(65_000),
);
const numbersSchema = v.object({ count: wholeNumber, "timeout-ms": wholeNumber, bytes: evenNumber });

export const command = operatorCommand({
  name: "ping",
  description: "Ask an IPv4 or IPv6 address for an echo",
  args: {
    address: { type: "positional", required: true, description: "The address" },
    from: { type: "string", valueHint: "NETNS", description: "Ask from this namespace: a name or a path" },
    source: {
      type: "string",
      valueHint: "ADDRESS",
      description: "The address that asks, one of the namespace",
    },
    bytes: {
      type: "string",
      valueHint: "N",
      default: "56",
      description: "How many bytes a packet carries beside its headers",
    },
    whole: { type: "boolean", description: "Send in one piece or not at all (DF)" },
    count: { type: "string", valueHint: "N", default: "3", description: "How often to ask" },
    "timeout-ms": {
      type: "string",
      valueHint: "MS",
      default: "1000",
      description: "How long to wait each time",
    },
  },
  run({ args }) {
    const destination = parseAddress(args.address);
    if (destination === undefined) throw new UsageError(`${JSON.stringify(args.address)} is no IP address`);
    const source = args.source === undefined ? undefined : parseAddress(args.source);
    if (args.source !== undefined && source?.family !== destination.family)
      throw new UsageError(`${JSON.stringify(args.source)} is no address of that family`);
    const {
      count,
      "timeout-ms": timeoutMs,
      bytes,
    } = parseFlags(numbersSchema, {
      count: args.count,
      "timeout-ms": args["timeout-ms"],
      bytes: args.bytes,
    });
    using from = args.from === undefined ? undefined : openNetns(findNetns(args.from).path);
    const timesMs = ping(from, destination, {
      ...{ count, timeoutMs, source, payloadBytes: bytes },
      unfragmented: args.whole === true,
    });
    const times = timesMs.map((timeMs) => timeMs.toFixed(2)).join(", ");
    writeStdout(`${args.address} answered ${args.from ?? "the host"} after ${times} ms\n`);
    return 0;
  },
});
