// `warren run [NET...] -- CMD`: a namespace for the length of one command. All networks are added in order as eth0,
// eth1, ...; without names they are those that containerd gives a pod. The command runs inside, and everything is taken
// away again, also after Ctrl-C; the exit code is the command's own.

import { loadNetwork } from "../conflist/network-list.ts";
import { netnsPath } from "../net/netns.ts";
import { checkAttachment } from "../runtime/attachment.ts";
import { PodRecords } from "../runtime/pod-record.ts";
import { currentBootId } from "../sys/process.ts";
import { collectAbandonedRuns } from "./abandoned-runs.ts";
import { operatorCommand, splitAtDashes, UsageError } from "./command.ts";
import { openFolder, takenNetworks } from "./conf/folder.ts";
import { findProgram } from "./enter.ts";
import { exitCodeOf, Interruption } from "./interruption.ts";
import { makePod } from "./pod/life.ts";
import {
  attachmentFlags,
  containerIdOf,
  networkFlags,
  parametersOf,
  runtimeOf,
  settingsOf,
} from "./settings.ts";

export const command = operatorCommand({
  name: "run",
  description: "Run a command in a new namespace with networks attached: run [NET ...] -- CMD ...",
  variadic: true,
  args: {
    networks: {
      type: "positional",
      required: false,
      description:
        "The networks, added as eth0, eth1, ...; without any the one that containerd takes. Behind a -- the command and its arguments",
    },
    all: {
      type: "boolean",
      description: "The networks of all config files, as a containerd takes them whose max_conf_num is 0",
    },
    "container-id": attachmentFlags["container-id"],
    ...networkFlags,
  },
  async run({ args, rawArgs }) {
    const words = splitAtDashes(rawArgs).behind;
    const networks = args._.slice(0, args._.length - (words?.length ?? 0));
    const [name] = words ?? [];
    if (words === undefined || name === undefined) {
      throw new UsageError("expected: run [NET ...] -- CMD ...");
    }
    if (args.all === true && networks.length > 0) {
      throw new UsageError("--all and names of networks exclude each other");
    }
    const program = findProgram(name);
    const settings = settingsOf(args, process.env);
    const lists =
      networks.length > 0
        ? networks.map((network) => loadNetwork(settings.confFolder, network))
        : takenNetworks(openFolder({ ...args, "max-conf-num": args.all === true ? "0" : "1" }));
    const pod = `warren-run-${process.pid}-${Bun.randomUUIDv7().slice(-8)}`;
    const netns = netnsPath(pod);
    const containerId = args["container-id"] ?? containerIdOf(pod);
    const attachments = lists.map((list, index) => ({
      list,
      attachment: { containerId, netns, ifname: `eth${index}`, ...parametersOf(process.env) },
    }));
    for (const { attachment } of attachments) checkAttachment(attachment);

    await using stack = new AsyncDisposableStack();
    const interruption = stack.use(new Interruption());
    // a plugin that died of the signal by which this command is ended would pass for one that failed
    const runtime = runtimeOf(settings, { apart: true });
    const records = new PodRecords(settings.cacheFolder);
    await collectAbandonedRuns(runtime, records);
    const record = stack.use(
      records.begin(pod, {
        ...{ kind: "run", containerId, netns, hostname: pod, labels: {}, annotations: {} },
        ...{ createdAtMs: Date.now(), bootId: currentBootId(), attachments },
      }),
    );
    const { undo } = await makePod(runtime, record, interruption);
    stack.use(undo);
    if (interruption.signal !== undefined) return exitCodeOf(interruption.signal);
    const child = Bun.spawn(["/proc/self/exe", "enter", netns, "--", program, ...words.slice(1)], {
      argv0: "warren",
      env: process.env,
      stdio: ["inherit", "inherit", "inherit"],
    });
    interruption.passTo(child);
    await child.exited;
    return child.signalCode === null ? (child.exitCode ?? 1) : exitCodeOf(child.signalCode);
  },
});
