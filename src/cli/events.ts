// `warren events`: what plugins of Warren were called for, the last calls of every network in a store. With --follow it
// stays and tells each call as it ends.
import * as v from "valibot";
import { type Event, listEvents } from "../ledger/events.ts";
import { podOf } from "../ledger/owner.ts";
import { writeStdout } from "../sys/stdio.ts";
import { operatorCommand, parseFlags } from "./command.ts";
import { endOnSignals } from "./interruption.ts";
import { existingStore, storeFlags } from "./leases.ts";
import { formatTable } from "./terminal/table.ts";

/** How often --follow looks for new calls. */
const LOOK_PAUSE_MS = 200;

/** A call as it is shown. */
export interface ShownEvent {
  readonly time: string;
  readonly verb: string;
  readonly plugin: string;
  readonly network: string;
  readonly container: string;
  readonly ifname: string;
  readonly pod: string;
  readonly addresses: string;
  readonly ms: number;
  /** `ok`, or the error's code and words. */
  readonly outcome: string;
}

/** Returns the call as it is shown. */
export function shownEvent(event: Event): ShownEvent {
  return {
    time: new Date(event.atMs).toISOString(),
    verb: event.verb,
    plugin: event.plugin,
    network: event.network,
    container: event.containerId,
    ifname: event.ifname,
    pod: podOf(event) ?? "",
    addresses: event.addresses,
    ms: event.durationUs / 1000,
    outcome: event.code === 0 ? "ok" : `error ${event.code}: ${event.message}`,
  };
}

/** Returns the call with all that is known of it, for programs. */
export function eventDocument(event: Event): object {
  const { traceId, spanId, parentSpanId, traceState, baggage } = event;
  const trace = { traceId, spanId, parentSpanId, traceState, baggage };
  return {
    sequence: event.sequence,
    ...shownEvent(event),
    netns: event.netns,
    code: event.code,
    ...Object.fromEntries(Object.entries(trace).filter(([, value]) => value !== null)),
  };
}

const limitSchema = v.pipe(
  v.string(),
  v.check((text) => /^[1-9]\d{0,5}$/.test(text), "a whole number from 1 to 999999"),
  v.transform(Number),
);

export const command = operatorCommand({
  name: "events",
  description: "Show what plugins were called for, and how it went",
  args: {
    network: { type: "positional", required: false, description: "Only calls about this network" },
    container: {
      type: "string",
      valueHint: "ID",
      description: "Only calls about this container, or the beginning of its id",
    },
    verb: { type: "string", valueHint: "VERB", description: "Only calls of this verb" },
    failed: { type: "boolean", description: "Only calls that failed" },
    limit: { type: "string", valueHint: "N", default: "100", description: "No more than the last N" },
    follow: { type: "boolean", alias: "f", description: "Stay, and tell each call as it ends" },
    ...storeFlags,
    json: { type: "boolean", description: "Answer with JSON; with --follow one object a line" },
  },
  async run({ args }) {
    const { limit } = parseFlags(v.object({ limit: limitSchema }), { limit: args.limit });
    const isWanted = (event: Event) =>
      (args.network === undefined || event.network === args.network) &&
      (args.container === undefined || event.containerId.startsWith(args.container)) &&
      (args.verb === undefined || event.verb === args.verb.toUpperCase()) &&
      (args.failed !== true || event.code !== 0);
    const store = existingStore(args["data-dir"]);
    const known = await store.read(listEvents);
    const last = known.filter(isWanted).slice(-limit);
    if (args.follow !== true) {
      writeStdout(args.json === true ? `${JSON.stringify(last.map(eventDocument), null, 4)}\n` : table(last));
      return 0;
    }
    endOnSignals();
    const tell = (events: readonly Event[]) => {
      for (const event of events) {
        writeStdout(args.json === true ? `${JSON.stringify(eventDocument(event))}\n` : line(event));
      }
    };
    tell(last);
    let sequence = known.at(-1)?.sequence ?? 0;
    for (;;) {
      await Bun.sleep(LOOK_PAUSE_MS);
      const fresh = await store.read((transaction) => listEvents(transaction, sequence));
      sequence = fresh.at(-1)?.sequence ?? sequence;
      tell(fresh.filter(isWanted));
    }
  },
});

function table(events: readonly Event[]): string {
  return events.length === 0 ? "no calls\n" : formatTable(events.map(shownEvent));
}

/** One call on one line: nobody knows how wide the columns of calls to come will be. */
function line(event: Event): string {
  const { time, verb, plugin, network, container, ifname, addresses, ms, outcome } = shownEvent(event);
  const who = container === "" ? "" : ` ${container} ${ifname}`;
  const what = addresses === "" ? "" : ` ${addresses}`;
  return `${time} ${verb.padEnd(6)} ${plugin} ${network}${who}${what} ${ms.toFixed(1)} ms ${outcome}\n`;
}
