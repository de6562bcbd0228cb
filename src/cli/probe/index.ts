// `warren probe FROM TO`: how good is the way between two namespaces, or to an address? Round trips, loss, MTU,
// throughput and stalls, all measured by this one process with sockets at both ends, so that nothing has to be
// installed in a container.
import * as v from "valibot";
import { parseQuantity } from "../../cni/quantity.ts";
import { formatAddress } from "../../ip/address.ts";
import { writeStdout } from "../../sys/stdio.ts";
import { operatorCommand, parseFlags, UsageError } from "../command.ts";
import { NETNS_FORMS } from "../netns-argument.ts";
import { openPath } from "./ends.ts";
import { MEASUREMENTS, type Measurement, NEEDS_NETNS, type ProbeOptions, probe } from "./findings.ts";
import { headingText, reportText } from "./report.ts";

const LEAST_RATE = 1000n;
const LARGEST_RATE = 100_000_000_000n;
const LONGEST_SECONDS = 60;
const LEAST_PAYLOAD_BYTES = 4;
const LARGEST_PAYLOAD_BYTES = 65_000;

/** A whole number from 1 (or `least`) to `most`. */
function wholeNumber(most: number, least = 1) {
  return v.pipe(
    v.string(),
    v.check(
      (text) => /^\d{1,9}$/.test(text) && Number(text) >= least && Number(text) <= most,
      `a whole number from ${least} to ${most}`,
    ),
    v.transform(Number),
  );
}

const seconds = (least: number) =>
  v.pipe(
    v.string(),
    v.check(
      (text) =>
        /^\d{1,3}(\.\d{1,3})?$/.test(text) && Number(text) >= least && Number(text) <= LONGEST_SECONDS,
      `seconds from ${least} to ${LONGEST_SECONDS}`,
    ),
    v.transform((text) => Number(text) * 1000),
  );

const rate = v.pipe(
  v.string(),
  v.check((text) => {
    const bits = parseQuantity(text);
    return bits !== undefined && bits >= LEAST_RATE && bits <= LARGEST_RATE;
  }, "bits a second from 1k to 100G, such as 20M"),
  v.transform((text) => Number(parseQuantity(text))),
);

const optionsSchema = v.object({
  count: wholeNumber(10_000),
  "interval-ms": wholeNumber(10_000),
  "timeout-ms": wholeNumber(60_000),
  seconds: seconds(0.1),
  "run-in": seconds(0),
  size: v.optional(wholeNumber(LARGEST_PAYLOAD_BYTES, LEAST_PAYLOAD_BYTES)),
  rate,
});

function optionsOf(args: Readonly<Record<string, unknown>>): ProbeOptions {
  const given = parseFlags(optionsSchema, args);
  return {
    count: given.count,
    intervalMs: given["interval-ms"],
    timeoutMs: given["timeout-ms"],
    durationMs: given.seconds,
    runInMs: given["run-in"],
    payloadBytes: given.size,
    bitsPerSecond: given.rate,
  };
}

/** Returns what is to be measured; throws UsageError for a word that means nothing, or nothing here. */
function measurementsOf(only: string | undefined, isAddress: boolean): ReadonlySet<Measurement> {
  if (only === undefined) return new Set(MEASUREMENTS.filter((one) => !isAddress || !NEEDS_NETNS.has(one)));
  const chosen = new Set<Measurement>();
  for (const word of only.split(",")) {
    const found = MEASUREMENTS.find((one) => one === word);
    if (found === undefined) {
      throw new UsageError(`--only knows ${MEASUREMENTS.join(", ")}, and not ${JSON.stringify(word)}`);
    }
    if (isAddress && NEEDS_NETNS.has(found)) {
      throw new UsageError(`${found} needs somebody who answers: name the namespace at the other end`);
    }
    chosen.add(found);
  }
  return chosen;
}

export const command = operatorCommand({
  name: "probe",
  description: "Measure the way between two namespaces, or from one to an address",
  args: {
    from: {
      type: "positional",
      required: true,
      description: `A namespace: ${NETNS_FORMS}; or host for this one`,
    },
    to: { type: "positional", required: true, description: "Another namespace, or an IP address" },
    only: {
      type: "string",
      valueHint: "WHAT[,WHAT...]",
      description: `Measure only this: ${MEASUREMENTS.join(", ")}`,
    },
    address: {
      type: "string",
      valueHint: "ADDRESS",
      description: "Which address of the other namespace; else the first that there is a route to",
    },
    count: {
      type: "string",
      valueHint: "N",
      default: "20",
      description: "How many echoes, and how many rounds of write, write, read",
    },
    "interval-ms": { type: "string", valueHint: "MS", default: "50", description: "Time between echoes" },
    size: {
      type: "string",
      valueHint: "BYTES",
      description: "Payload of echoes and UDP packets: 56 and 1400",
    },
    seconds: {
      type: "string",
      valueHint: "S",
      default: "1",
      description: "How long each throughput is measured",
    },
    "run-in": {
      type: "string",
      valueHint: "S",
      default: "0.2",
      description: "Time before each of them that does not count, for a burst to be used up",
    },
    rate: {
      type: "string",
      valueHint: "BITS",
      default: "50M",
      description: "How much UDP is sent a second",
    },
    "timeout-ms": {
      type: "string",
      valueHint: "MS",
      default: "1000",
      description: "How long to wait for an answer or a connection",
    },
    json: { type: "boolean", description: "Answer with JSON" },
  },
  run({ args }) {
    const options = optionsOf(args);
    using path = openPath(args.from, args.to, args.address);
    const measurements = measurementsOf(args.only, path.to === undefined);
    if (args.json !== true) {
      const source = path.source === undefined ? undefined : formatAddress(path.source);
      const to = { name: path.toName, address: formatAddress(path.address) };
      writeStdout(headingText({ from: { name: path.fromName, address: source }, to }));
    }
    const findings = probe(path, measurements, options);
    writeStdout(args.json === true ? `${JSON.stringify(findings, null, 4)}\n` : reportText(findings));
    return findings.problems.length === 0 ? 0 : 1;
  },
});
