// `warren status NET`: would an ADD to this network work now? One line says yes, or no and why. `warren status`: the
// whole node at a glance, for a person, for a program (--json), or for Prometheus' textfile collector (--prometheus).
import { CniError, describeError, ErrorCode } from "../cni/error.ts";
import { checkStatus, requireVerb } from "../runtime/chain.ts";
import { writeStdout } from "../sys/stdio.ts";
import { operatorCommand, UsageError } from "./command.ts";
import { eventDocument } from "./events.ts";
import { storeFlags } from "./leases.ts";
import { prometheusText } from "./node/prometheus.ts";
import { isTroubled, reportText } from "./node/report.ts";
import { type NodeSurvey, surveyNode } from "./node/survey.ts";
import { type Flags, networkFlags, openNetwork, settingsOf } from "./settings.ts";
import { Progress } from "./terminal/progress.ts";

export const command = operatorCommand({
  name: "status",
  description: "Tell whether a network is ready for ADD requests, or how the whole node is",
  args: {
    network: { type: "positional", required: false, description: "The network's name; else the whole node" },
    ...networkFlags,
    ...storeFlags,
    prometheus: { type: "boolean", description: "The whole node in Prometheus' text format" },
  },
  async run({ args }) {
    if (args.network !== undefined) {
      if (args.prometheus === true)
        throw new UsageError("--prometheus is about the whole node: leave out the network");
      await statusOfNetwork(args.network, args);
      return 0;
    }
    if (args.prometheus === true && args.json === true) {
      throw new UsageError("--json and --prometheus exclude each other");
    }
    const survey = await surveyWithProgress(args, args["data-dir"]);
    if (args.prometheus === true) {
      writeStdout(prometheusText(survey));
      return 0;
    }
    writeStdout(args.json === true ? jsonText(survey) : reportText(survey));
    return isTroubled(survey) ? 1 : 0;
  },
});

/** A network of whatever plugins may take its time to answer. */
async function surveyWithProgress(flags: Flags, dataDir: string): Promise<NodeSurvey> {
  using progress = new Progress();
  return await surveyNode(settingsOf(flags, process.env), dataDir, (network) =>
    progress.show(`asking the network ${network} for its STATUS`),
  );
}

async function statusOfNetwork(network: string, flags: Flags): Promise<void> {
  const { runtime, list, settings } = openNetwork(network, flags);
  requireVerb(list, "STATUS");
  try {
    await checkStatus(runtime, list);
  } catch (error) {
    const [code, cause, details] =
      error instanceof CniError
        ? [error.code, error.message, error.details]
        : [ErrorCode.internal, describeError(error), ""];
    throw new CniError(code, `network ${list.name} is not ready: ${cause}`, details, { cause: error });
  }
  writeStdout(
    settings.json
      ? `${JSON.stringify({ network: list.name, ready: true }, null, 4)}\n`
      : `Network ${list.name} is ready for ADD requests\n`,
  );
}

/** What the stores hold row by row is what `leases`, `show` and `events` are for. */
function jsonText(survey: NodeSurvey): string {
  const stores = survey.stores.map(({ leases, entries, events, ...store }) => ({
    ...store,
    calls: { total: events.at(-1)?.sequence ?? 0, remembered: events.length },
  }));
  const document = { ...survey, stores, lastErrors: survey.lastErrors.map(eventDocument) };
  // every digit of an IPv6 pool's size
  const digits = (_key: string, value: unknown) =>
    typeof value === "bigint" ? JSON.rawJSON(value.toString()) : value;
  return `${JSON.stringify(document, digits, 4)}\n`;
}
