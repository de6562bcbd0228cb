// The node's state in Prometheus' text exposition format (version 0.0.4), for a textfile collector. Nearly all are gauges:
// of calls only those are known that the journal still holds.
import type { Event } from "../../ledger/events.ts";
import type { NodeSurvey } from "./survey.ts";

type Labels = Readonly<Record<string, string>>;

interface Sample {
  /** What comes behind the metric's name, as `_bucket`. */
  readonly suffix?: string;
  readonly labels?: Labels;
  readonly value: number | bigint;
}

interface Metric {
  readonly name: string;
  readonly help: string;
  /** A gauge, if it is not said. */
  readonly type?: "counter" | "histogram";
  readonly samples: readonly Sample[];
}

/** Returns the metrics of the survey. A metric without samples is left out. */
export function prometheusText(survey: NodeSurvey): string {
  return metricsOf(survey)
    .filter(({ samples }) => samples.length > 0)
    .map(
      ({ name, help, type = "gauge", samples }) =>
        `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${samples.map((sample) => `${name}${line(sample)}\n`).join("")}`,
    )
    .join("");
}

function line({ suffix = "", labels = {}, value }: Sample): string {
  const pairs = Object.entries(labels).map(([name, text]) => `${name}="${escaped(text)}"`);
  return `${suffix}${pairs.length === 0 ? "" : `{${pairs.join(",")}}`} ${value}`;
}

function escaped(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll('"', '\\"');
}

function flag(value: boolean): number {
  return value ? 1 : 0;
}

function metricsOf(survey: NodeSurvey): Metric[] {
  const { networks, pools, stores, features } = survey;
  const events = stores.flatMap((store) => store.events);
  const ofPools = (
    name: string,
    help: string,
    addressesOf: (pool: NodeSurvey["pools"][number]) => bigint,
  ): Metric => ({
    name: `warren_pool_addresses_${name}`,
    help,
    samples: pools.map((pool) => ({
      labels: { network: pool.network, pool: pool.pool },
      value: addressesOf(pool),
    })),
  });
  return [
    {
      name: "warren_info",
      help: "What runs here; the value is always 1.",
      samples: [{ labels: { version: survey.version, kernel: survey.kernel }, value: 1 }],
    },
    {
      name: "warren_config_files_broken",
      help: "Config files that no runtime can use.",
      samples: [{ value: survey.brokenFiles.length }],
    },
    {
      name: "warren_network_ready",
      help: "Whether STATUS says that an ADD would work; absent where it can't be asked.",
      samples: networks.flatMap(({ name, ready }) =>
        ready === undefined ? [] : [{ labels: { network: name }, value: flag(ready) }],
      ),
    },
    {
      name: "warren_network_attachments",
      help: "Interfaces of containers that are written down.",
      samples: networks.flatMap(({ name, attachments: value }) =>
        value === undefined ? [] : [{ labels: { network: name }, value }],
      ),
    },
    {
      name: "warren_network_attachments_leaked",
      help: "Those of them whose network namespace is gone.",
      samples: networks.flatMap(({ name, stale: value }) =>
        value === undefined ? [] : [{ labels: { network: name }, value }],
      ),
    },
    ofPools("capacity", "Addresses that the pool can give out.", ({ size, reserved }) => size - reserved),
    ofPools("used", "Addresses held by containers that can be alive.", ({ used }) => used),
    ofPools("leaked", "Addresses held by containers whose network namespace is gone.", ({ stale }) => stale),
    ofPools("resting", "Addresses released, and kept back for their cooldown.", ({ resting }) => resting),
    ofPools("reserved", "Addresses in the ranges that are never given out.", ({ reserved }) => reserved),
    ofPools("available", "Addresses that are free.", ({ free }) => free),
    {
      name: "warren_calls_total",
      help: "Calls of Warren's plugins since the store was made.",
      type: "counter",
      samples: stores
        .filter(({ problem }) => problem === "")
        .map(({ path, events }) => ({ labels: { path }, value: events.at(-1)?.sequence ?? 0 })),
    },
    {
      name: "warren_journal_calls",
      help: "Calls that the journal holds, by what became of them.",
      samples: journalSamples(events),
    },
    {
      name: "warren_journal_call_duration_seconds",
      help: "How long the calls took that the journal holds; counts fall when old calls leave it.",
      type: "histogram",
      samples: durationSamples(events),
    },
    {
      name: "warren_store_readable",
      help: "Whether the store can be read.",
      samples: stores.map(({ path, problem }) => ({ labels: { path }, value: flag(problem === "") })),
    },
    {
      name: "warren_store_size_bytes",
      help: "Length of the store's file.",
      samples: stores.map(({ path, bytes }) => ({ labels: { path }, value: bytes })),
    },
    {
      name: "warren_store_log_size_bytes",
      help: "Length of the store's write-ahead log.",
      samples: stores.map(({ path, logBytes }) => ({ labels: { path }, value: logBytes })),
    },
    {
      name: "warren_kernel_feature",
      help: "Whether the kernel has what plugins need; absent where it can't be found out.",
      samples: features.flatMap(({ feature, present }) =>
        present === undefined ? [] : [{ labels: { feature }, value: flag(present) }],
      ),
    },
  ];
}

function journalSamples(events: readonly Event[]): Sample[] {
  const groups = Map.groupBy(events, ({ network, plugin, verb, code }) =>
    JSON.stringify([network, plugin, verb, code === 0 ? "ok" : "error"]),
  );
  return [...groups.values()].flatMap((group): Sample[] => {
    const [first] = group;
    if (first === undefined) return [];
    const { network, plugin, verb, code } = first;
    return [{ labels: { network, plugin, verb, outcome: code === 0 ? "ok" : "error" }, value: group.length }];
  });
}

/** The upper bounds of the buckets. */
const BOUNDS_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

function durationSamples(events: readonly Event[]): Sample[] {
  return [...Map.groupBy(events, ({ verb }) => verb)].flatMap(([verb, group]): Sample[] => {
    const seconds = group.map(({ durationUs }) => durationUs / 1e6);
    const buckets = BOUNDS_SECONDS.map((bound) => ({
      suffix: "_bucket",
      labels: { verb, le: String(bound) },
      value: seconds.filter((one) => one <= bound).length,
    }));
    return [
      ...buckets,
      { suffix: "_bucket", labels: { verb, le: "+Inf" }, value: seconds.length },
      { suffix: "_sum", labels: { verb }, value: seconds.reduce((sum, one) => sum + one, 0) },
      { suffix: "_count", labels: { verb }, value: seconds.length },
    ];
  });
}
