// `warren dhcp daemon`: stays, and keeps the leases of this node's containers until a signal comes, which leaves all of them
// as they are. Its flags are those of the reference plugin's daemon, which is called with one dash or two.
import { DhcpDaemon } from "../../dhcp/daemon.ts";
import { LeaseTable } from "../../dhcp/lease-table.ts";
import { DEFAULT_SOCKET } from "../../dhcp/protocol.ts";
import { DaemonServer, listeningPlace } from "../../dhcp/server.ts";
import { lockLeases } from "../../dhcp/store-lock.ts";
import { log } from "../../log.ts";
import { beat } from "../../store/heartbeat.ts";
import { DEFAULT_DATA_DIR } from "../../store/sqlite.ts";
import { removeFile } from "../../sys/directory.ts";
import { OpenFlag, openFile, writeAll } from "../../sys/files.ts";
import { operatorCommand, UsageError } from "../command.ts";
import { Interruption } from "../interruption.ts";
import { tellManager } from "../service-manager.ts";

const FLAGS = {
  pidfile: { type: "string", valueHint: "FILE", description: "Write the number of the process there" },
  hostprefix: {
    type: "string",
    valueHint: "DIR",
    description: "Where the host's files are, for a daemon in a container",
  },
  socketpath: {
    type: "string",
    valueHint: "FILE",
    description: `Where to listen: ${DEFAULT_SOCKET}`,
  },
  broadcast: { type: "boolean", description: "Ask servers to answer by broadcast" },
  timeout: {
    type: "string",
    valueHint: "TIME",
    description: "How long to wait for the answer to one message: 10s",
  },
  resendmax: {
    type: "string",
    valueHint: "TIME",
    description: "The longest pause between two messages that renew a lease: 62s",
  },
  resendtimeout: {
    type: "string",
    valueHint: "TIME",
    description: "How long an ADD tries to get an address: 208s",
  },
  "data-dir": {
    type: "string",
    valueHint: "DIR",
    description: `Where the store is: ${DEFAULT_DATA_DIR} behind the --hostprefix`,
  },
} as const;

export const command = operatorCommand({
  name: "daemon",
  description:
    "Keep the leases of this node's containers until a signal comes, which leaves them as they are",
  args: FLAGS,
  async run({ args }) {
    const patience = {
      answerMs: durationOf("timeout", args.timeout, 10_000),
      longestPauseMs: durationOf("resendmax", args.resendmax, 62_000),
      totalMs: durationOf("resendtimeout", args.resendtimeout, 208_000),
    };
    const hostPrefix = args.hostprefix ?? "";
    const socketPath = `${hostPrefix}${args.socketpath ?? DEFAULT_SOCKET}`;
    const dataDir = args["data-dir"] ?? `${hostPrefix}${DEFAULT_DATA_DIR}`;
    const pidfile = pidfilePath(args.pidfile);
    const place = listeningPlace(process.env, socketPath);
    using _lock = await lockLeases(dataDir, socketPath);
    // one that is refused leaves the file to whose number it has
    using _pidfile = pidfile === undefined ? undefined : pidfileAt(pidfile);
    const table = new LeaseTable(dataDir);
    const daemon = new DhcpDaemon({
      ...{ table, patience, hostPrefix, broadcast: args.broadcast === true },
      note: (text) => log.info(text),
      warn: (text) => log.warn(text),
      prove: () => table.prove(async (store) => store.transaction(beat)),
    });
    // it listens before it has taken up its leases, so that no plugin takes it for away; they wait for it
    const ready = Promise.withResolvers<DhcpDaemon>();
    ready.promise.catch(() => undefined);
    const server = await DaemonServer.open(place, ready.promise, (text) => log.warn(text));
    const end = Promise.withResolvers<void>();
    using _interruption = new Interruption(() => end.resolve());
    try {
      await daemon.begin();
      ready.resolve(daemon);
      log.info(`the DHCP daemon listens at ${"path" in place ? place.path : "the socket that it was given"}`);
      tellManager("READY=1");
      await end.promise;
    } finally {
      tellManager("STOPPING=1");
      await server.close();
      await daemon.stop();
    }
    return 0;
  },
});

/** How long one of these is, as Go spells it: `1m30s`, `500ms`. */
const UNITS_MS: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1000, ms: 1 };

function durationOf(flag: string, text: string | undefined, usualMs: number): number {
  if (text === undefined) return usualMs;
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|h|m|s)/g)];
  const isWhole = parts.map(([part]) => part).join("") === text;
  const durationMs = parts.reduce(
    (sum, [, number, unit]) => sum + Number(number) * (UNITS_MS[unit ?? ""] ?? 0),
    0,
  );
  if (isWhole && durationMs > 0) return durationMs;
  throw new UsageError(`--${flag} ${JSON.stringify(text)}: expected a time, such as 10s, 1m30s or 500ms`);
}

function pidfilePath(path: string | undefined): string | undefined {
  if (path === undefined || path.startsWith("/")) return path;
  throw new UsageError(`--pidfile ${JSON.stringify(path)}: expected an absolute path`);
}

/** Writes the number of this process into a file that goes with it. */
function pidfileAt(path: string): Disposable {
  using file = openFile(
    path,
    OpenFlag.writeOnly | OpenFlag.create | OpenFlag.truncate | OpenFlag.noFollow,
    0o644,
  );
  writeAll(file.fd, new TextEncoder().encode(`${process.pid}`), path);
  return { [Symbol.dispose]: () => removeFile(path) };
}
