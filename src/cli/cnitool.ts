// The executable called as `cnitool`: the arguments, variables, answers and exit codes of the Go tool of that name
// (github.com/containernetworking/cni, cnitool/cmd), so that scripts written for it run unchanged.
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { describeError } from "../cni/error.ts";
import { loadNetwork, type NetworkList } from "../conflist/network-list.ts";
import { type Attachment, parseArgumentPairs, parseCapabilityArgs } from "../runtime/attachment.ts";
import {
  addToNetwork,
  checkNetwork,
  checkStatus,
  collectGarbage,
  deleteFromNetwork,
  type Runtime,
} from "../runtime/chain.ts";
import { writeStdout } from "../sys/stdio.ts";
import { UsageError } from "./command.ts";
import { containerIdOf, ifnameOf, runtimeOf, settingsOf } from "./settings.ts";

type Verb = (runtime: Runtime, list: NetworkList, attachment: Attachment) => Promise<unknown>;

const VERBS: Readonly<Record<string, Verb>> = {
  add: async (runtime, list, attachment) => {
    writeStdout(JSON.stringify(await addToNetwork(runtime, list, attachment), null, 4));
  },
  check: checkNetwork,
  del: deleteFromNetwork,
  // it hands plugins no list of what to keep, so everything that is remembered of the network goes
  gc: (runtime, list) => collectGarbage(runtime, list, undefined),
  status: checkStatus,
};

const USAGE = `Usage:
  cnitool add|check|del|gc|status <network-name> <netns> [flags]

Flags:
  -h, --help            help for cnitool
  -i, --ifname string   Interface name (defaults to env var CNI_IFNAME or 'eth0')

Environment:
  NETCONFPATH, CNI_PATH, CNI_ARGS, CAP_ARGS, CNI_IFNAME
`;

/** Runs one command of cnitool and returns 0; throws for every failure, which cnitool ends with exit code 1. */
export async function runAsCnitool(args: readonly string[]): Promise<number> {
  const { values, positionals } = parse(args);
  const [name, network, netns] = positionals;
  if (values.help === true || name === undefined || name === "help") {
    writeStdout(USAGE);
    return 0;
  }
  const verb = Object.hasOwn(VERBS, name) ? VERBS[name] : undefined;
  if (verb === undefined) throw new UsageError(`unknown command ${JSON.stringify(name)} for "cnitool"`);
  if (network === undefined || netns === undefined) {
    throw new UsageError(`requires at least 2 arg(s), only received ${positionals.length - 1}`);
  }
  // cnitool has no default for CNI_PATH; its other settings are ours
  const settings = settingsOf({}, { ...process.env, CNI_PATH: process.env.CNI_PATH || ":" });
  const list = loadNetwork(settings.confFolder, network);
  const path = resolve(netns);
  const attachment: Attachment = {
    containerId: containerIdOf(path),
    netns: path,
    ifname: ifnameOf(values.ifname === "" ? {} : values, process.env),
    capabilityArgs: parseCapabilityArgs(process.env.CAP_ARGS ?? ""),
    args: parseArgumentPairs(process.env.CNI_ARGS ?? ""),
  };
  await verb(runtimeOf(settings), list, attachment);
  return 0;
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: { ifname: { type: "string", short: "i" }, help: { type: "boolean", short: "h" } },
    });
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : "";
    const flag = /--[\w-]+/.exec(describeError(error))?.[0] ?? args.find((arg) => arg.startsWith("-")) ?? "";
    const problem = code === "ERR_PARSE_ARGS_UNKNOWN_OPTION" ? "unknown flag" : "flag needs an argument";
    throw new UsageError(`${problem}: ${flag}`, { cause: error });
  }
}
