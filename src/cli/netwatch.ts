// `warren netwatch`: changes of the network as they happen, while a command runs or until interrupted: what a call of a
// plugin does to links, addresses, routes, neighbours, traffic control and nf_tables, on the host and in the pods.
import { setTimeout as sleep } from "node:timers/promises";
import { log } from "../log.ts";
import { CHANGE_OBJECTS, type ChangeObject, type Facts } from "../net/watch/change.ts";
import { type Change, ChangeWatch, type Happening } from "../net/watch/changes.ts";
import { writeStdout } from "../sys/stdio.ts";
import { operatorCommand, splitAtDashes, UsageError } from "./command.ts";
import { findProgram } from "./enter.ts";
import { exitCodeOf, Interruption } from "./interruption.ts";
import { paragraph, type Style, styled } from "./terminal/output.ts";

/** How long it waits for changes before it looks whether it is to end. */
const WAIT_MS = 50;
/** A command is over when nothing has changed for so long: the kernel takes links away a moment after their end. */
const SILENCE_MS = 250;
/** But not for ever: others may change something all the time. */
const LONGEST_ECHO_MS = 2000;

const SIGNS: Readonly<Record<Change["action"], { readonly sign: string; readonly style: Style }>> = {
  added: { sign: "+", style: "green" },
  changed: { sign: "~", style: "yellow" },
  removed: { sign: "-", style: "red" },
};

export const command = operatorCommand({
  name: "netwatch",
  description:
    "Show what changes in the network, while a command runs or until interrupted: netwatch [-- CMD ...]",
  variadic: true,
  args: {
    only: {
      type: "string",
      valueHint: "OBJECT[,OBJECT...]",
      description: `Only changes of these: ${CHANGE_OBJECTS.join(", ")}`,
    },
    all: {
      type: "boolean",
      description: "Also what follows from other changes, such as the kernel's own routes, and repetitions",
    },
    json: {
      type: "boolean",
      description: "One JSON object a line; what the command prints goes to standard error",
    },
  },
  async run({ args, rawArgs }) {
    const { before, behind } = splitAtDashes(rawArgs);
    if (args._.length > (behind?.length ?? 0)) {
      throw new UsageError(`unexpected argument ${JSON.stringify(args._[0])}; a command stands behind --`);
    }
    const [name] = behind ?? [];
    if (behind !== undefined && name === undefined)
      throw new UsageError(`expected: ${before.length === 0 ? "" : "... "}-- CMD`);
    const wanted = objectsIn(args.only);
    const program = name === undefined ? undefined : findProgram(name);
    using interruption = new Interruption();
    using watch = ChangeWatch.open(args.all === true, (what) => log.warn(what));
    const others = watch.namespaceCount === 1 ? "one other" : `${watch.namespaceCount} others`;
    if (program === undefined) log.info(`watching this network namespace and ${others}, until Ctrl-C`);
    const show = () => {
      const happened = watch.take();
      for (const happening of happened) print(happening, wanted, args.json === true);
      return happened.length > 0;
    };
    const listen = async () => {
      watch.wait(WAIT_MS);
      const isSomething = show();
      // lets signals through, and the end of the command
      await sleep(0);
      return isSomething;
    };
    if (program === undefined) {
      while (interruption.signal === undefined) await listen();
      // Ctrl-C is how it is meant to end
      return interruption.signal === "SIGINT" ? 0 : exitCodeOf(interruption.signal);
    }
    const child = Bun.spawn([program, ...(behind ?? []).slice(1)], {
      env: process.env,
      stdio: ["inherit", args.json === true ? 2 : "inherit", "inherit"],
    });
    interruption.passTo(child);
    while (child.exitCode === null && child.signalCode === null) await listen();
    const endedAtMs = Date.now();
    for (let lastAtMs = endedAtMs; Date.now() - lastAtMs < SILENCE_MS; ) {
      if (await listen()) lastAtMs = Date.now();
      if (Date.now() - endedAtMs > LONGEST_ECHO_MS) break;
    }
    return child.signalCode === null ? (child.exitCode ?? 1) : exitCodeOf(child.signalCode);
  },
});

/** Returns what `--only` names; everything without it. */
function objectsIn(only: string | undefined): ReadonlySet<ChangeObject> {
  if (only === undefined) return new Set(CHANGE_OBJECTS);
  const chosen = only.split(",").map((word) => {
    const object = CHANGE_OBJECTS.find((one) => one === word.trim());
    if (object !== undefined) return object;
    throw new UsageError(`--only ${JSON.stringify(word)}: expected some of ${CHANGE_OBJECTS.join(", ")}`);
  });
  return new Set(chosen);
}

function print(happening: Happening, wanted: ReadonlySet<ChangeObject>, json: boolean): void {
  const time = new Date().toISOString();
  if (happening.kind === "change") {
    const { change } = happening;
    if (!wanted.has(change.object)) return;
    writeStdout(json ? `${JSON.stringify({ time, ...change })}\n` : paragraph(lineOf(time, change)));
    return;
  }
  const what =
    happening.kind === "lost"
      ? "changes were lost because too much happened at once: what follows is not all"
      : happening.problem;
  log.warn(what);
  if (json) writeStdout(`${JSON.stringify({ time, lost: happening.kind === "lost", problem: what })}\n`);
}

function lineOf(time: string, { namespace, object, name, facts, action, before, by }: Change): string {
  const { sign, style } = SIGNS[action];
  const place = namespace === "" ? "" : `${namespace}: `;
  const told = action === "changed" ? changed({ ...facts, name }, before) : facts;
  const words = Object.entries(told).map(([key, value]) => `${key} ${value}`);
  const doer = by === undefined || by.command === "" ? "" : ` (by ${by.command}, ${by.pid})`;
  return `${time.slice(11, 23)} ${place}${styled(style, sign)} ${[object, name, ...words].join(" ")}${doer}`;
}

/** Of a change only what is new, with what it was. */
function changed(facts: Facts, before: Facts): Facts {
  return Object.fromEntries(
    Object.entries(before).map(([key, value]) => [key, `${facts[key] ?? "none"} (was ${value})`]),
  );
}
