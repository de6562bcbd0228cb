// `warren lab wire NETNS INTERFACE -- CMD ...`: what is on a wire while a command runs, counted by what it is.
import { setTimeout as sleep } from "node:timers/promises";
import { openNetns } from "../../net/netns.ts";
import { WireWatch } from "../../net/wire.ts";
import { operatorCommand, splitAtDashes, UsageError } from "../command.ts";
import { findProgram } from "../enter.ts";
import { exitCodeOf, Interruption } from "../interruption.ts";
import { findNetns, NETNS_FORMS } from "../netns-argument.ts";
import { printTable } from "../terminal/table.ts";

/** A socket has room for what comes in such a time. */
const PAUSE_MS = 5;
/** Answers of the last packets. */
const ECHO_MS = 50;

export const command = operatorCommand({
  name: "wire",
  description: "Count what goes over an interface while a command runs: wire NETNS INTERFACE -- CMD ...",
  variadic: true,
  args: {
    netns: { type: "positional", required: true, description: `Where the interface is: ${NETNS_FORMS}` },
    interface: { type: "positional", required: true, description: "Its name" },
  },
  async run({ args, rawArgs }) {
    const { before, behind = [] } = splitAtDashes(rawArgs);
    const [name, ...rest] = behind;
    if (before.length !== 2 || name === undefined) throw new UsageError("expected: NETNS INTERFACE -- CMD");
    const program = findProgram(name);
    using netns = openNetns(findNetns(args.netns).path);
    using watch = WireWatch.open(netns, args.interface);
    using interruption = new Interruption();
    const child = Bun.spawn([program, ...rest], {
      env: process.env,
      stdio: ["inherit", "inherit", "inherit"],
    });
    interruption.passTo(child);
    while (child.exitCode === null && child.signalCode === null) {
      watch.listen();
      await sleep(PAUSE_MS);
    }
    await sleep(ECHO_MS);
    watch.listen();
    printTable(
      watch
        .traffic()
        .map(({ packets, what, from, to, port }) => ({ packets, what, from, to, port: port ?? "" })),
    );
    return child.signalCode === null ? (child.exitCode ?? 1) : exitCodeOf(child.signalCode);
  },
});
