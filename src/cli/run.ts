// `warren run [NET...] -- CMD`: a namespace for the length of one command. All networks are added in order as eth0,
// eth1, ...; without names they are those that containerd gives a pod. The command runs inside, and everything is taken away again, also after Ctrl-C; the exit code is the
// command's own.
import { readFileSync } from "node:fs";
import { constants } from "node:os";
import { describeError } from "../cni/error.ts";
import { loadNetwork, type NetworkList } from "../conflist/network-list.ts";
import { log } from "../log.ts";
import { setLoopback } from "../net/loopback.ts";
import { createNetns, deleteNetns, openNetns } from "../net/netns.ts";
import { type Attachment, checkAttachment } from "../runtime/attachment.ts";
import { addToNetwork, deleteFromNetwork } from "../runtime/chain.ts";
import { RunRecord } from "../runtime/run-record.ts";
import { collectAbandonedRuns } from "./abandoned-runs.ts";
import { operatorCommand, splitAtDashes, UsageError } from "./command.ts";
import { openFolder, takenNetworks } from "./conf/folder.ts";
import { findProgram } from "./enter.ts";
import {
  attachmentFlags,
  containerIdOf,
  netnsOf,
  networkFlags,
  parametersOf,
  runtimeOf,
  settingsOf,
} from "./settings.ts";

/** The signals that ask a command to end. */
const ENDING_SIGNALS = ["SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM"] as const;

/** The exit code that shells give to an end by this signal. */
function exitCodeOf(signal: NodeJS.Signals | number): number {
  return 128 + (typeof signal === "number" ? signal : constants.signals[signal]);
}

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
    const netns = netnsOf(pod);
    const attachments = lists.map((list, index) => ({
      list,
      attachment: {
        containerId: args["container-id"] ?? containerIdOf(pod),
        netns,
        ifname: `eth${index}`,
        ...parametersOf(process.env),
      },
    }));
    for (const { attachment } of attachments) checkAttachment(attachment);

    await using stack = new AsyncDisposableStack();
    const interruption = stack.use(new Interruption());
    const runtime = runtimeOf(settings);
    await collectAbandonedRuns(runtime, settings.cacheFolder);
    const record = stack.use(RunRecord.begin(settings.cacheFolder, pod, { netns, attachments }));
    let isStuck = false;
    stack.defer(() => {
      // what a failing DEL leaves is for the next run to try again
      if (!isStuck) record.end();
    });
    createNetns(netns);
    stack.defer(() => deleteNetns(netns));
    // programs expect it, and no network list speaks of it: container runtimes set it up by themselves too
    setLoopbackUp(netns);
    const detach = async (list: NetworkList, attachment: Attachment) => {
      try {
        await deleteFromNetwork(runtime, list, attachment);
      } catch (error) {
        // a second Ctrl-C reaches the plugin too, which is in our process group; DEL may be repeated at will
        log.warn(`${describeError(error)}; trying once more`);
        isStuck = true;
        await deleteFromNetwork(runtime, list, attachment);
        isStuck = false;
      }
    };
    for (const { list, attachment } of attachments) {
      if (interruption.signal !== undefined) break;
      await addToNetwork(runtime, list, attachment);
      stack.defer(() => detach(list, attachment));
    }
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

function setLoopbackUp(path: string): void {
  using netns = openNetns(path);
  setLoopback(netns, true);
}

/** Catches the ending signals for as long as it lives, so that what was added is always taken away again. */
class Interruption implements Disposable {
  /** The first signal that came. */
  signal: NodeJS.Signals | undefined;
  #child: Bun.Subprocess | undefined;
  readonly #handlers = ENDING_SIGNALS.map((name) => ({ name, handle: () => this.#take(name) }));

  constructor() {
    for (const { name, handle } of this.#handlers) process.on(name, handle);
  }

  /** From now on signals are the child's business too. */
  passTo(child: Bun.Subprocess): void {
    this.#child = child;
    if (this.signal !== undefined) child.kill(this.signal);
  }

  #take(name: NodeJS.Signals): void {
    this.signal ??= name;
    // a terminal sends its signals to the whole foreground group, so the child has this one already and would take
    // it twice; nothing tells a signal of the terminal from one of kill(1), but no terminal sends SIGTERM
    const isTerminals = name !== "SIGTERM" && isForeground();
    if (!isTerminals) this.#child?.kill(name);
  }

  [Symbol.dispose](): void {
    for (const { name, handle } of this.#handlers) process.off(name, handle);
  }
}

/** True if this process is in the foreground group of its terminal: fields pgrp and tpgid of proc(5) stat. */
function isForeground(): boolean {
  const fields = readFileSync("/proc/self/stat", "utf8").split(") ").at(-1)?.split(" ") ?? [];
  return fields[2] !== undefined && fields[2] === fields[5];
}
