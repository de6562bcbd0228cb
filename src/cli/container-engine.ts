// Containers of an engine by the names that it knows them by: which process has the container's namespace, and which labels
// the engine gave it. The engine's own command is asked, as its operator would ask it; no shell is run.
import * as v from "valibot";
import { CniError, describeError, ErrorCode } from "../cni/error.ts";
import { parseInput, shown } from "../cni/input.ts";
import { parseJson } from "../conflist/json.ts";
import type { Labels } from "../conflist/labels.ts";

/** The engines, by the names of their commands. */
export const ENGINES = ["podman", "docker", "ctr"] as const;

/** One of the engines. */
export type Engine = (typeof ENGINES)[number];

/** A running container. */
export interface RunningContainer {
  /** A process that is in its namespaces, as seen from here. */
  readonly pid: number;
  readonly labels: Labels;
}

/** An engine that doesn't answer is not waited for any longer. */
const PATIENCE_MS = 30_000;
const ANSWER_LIMIT_BYTES = 16 << 20;

const labelsSchema = v.nullish(v.record(v.string(), v.string()), {});

/** `podman container inspect` and `docker container inspect` answer alike. */
const inspectionSchema = v.tuple([
  v.object({
    State: v.object({ Status: v.optional(v.string(), ""), Pid: v.optional(v.number(), 0) }),
    Config: v.nullish(v.object({ Labels: labelsSchema }), { Labels: {} }),
  }),
]);

const containerdSchema = v.object({ Labels: labelsSchema });

/**
 * Asks the engine for a container: a name or an id, for `ctr` with its containerd namespace and a slash in front where that
 * is not the default one. Throws CniError 8 if there is none or it is not running, or the engine can't be asked.
 */
export function runningContainer(engine: Engine, name: string): RunningContainer {
  const { pid, status, labels } = engine === "ctr" ? askContainerd(name) : inspect(engine, name);
  if (pid > 0) return { pid, labels };
  throw new CniError(
    ErrorCode.invalidNetns,
    `container ${engine}:${name} is not running${status === "" ? "" : ` (${status.toLowerCase()})`}`,
    "it has no network namespace until it is started",
  );
}

interface Found {
  /** 0 where nothing runs. */
  readonly pid: number;
  readonly status: string;
  readonly labels: Labels;
}

function inspect(engine: Engine, name: string): Found {
  const what = `answer of ${engine} container inspect`;
  const document = parseJson(ask(engine, ["container", "inspect", name]), what);
  const [{ State, Config }] = parseInput(inspectionSchema, document, ErrorCode.decodingFailure, what);
  // a container that is being restarted may still have the number of its last process
  const runs = ["", "running", "paused"].includes(State.Status);
  return { pid: runs ? State.Pid : 0, status: State.Status, labels: Config.Labels };
}

/** `ctr task list` has lines of name, process and status; a container without a task is in none of them. */
function askContainerd(reference: string): Found {
  const slash = reference.indexOf("/");
  const name = reference.slice(slash + 1);
  const place = slash < 0 ? [] : ["--namespace", reference.slice(0, slash)];
  const what = "answer of ctr container info";
  const document = parseJson(ask("ctr", [...place, "container", "info", name]), what);
  const { Labels: labels } = parseInput(containerdSchema, document, ErrorCode.decodingFailure, what);
  const lines = ask("ctr", [...place, "task", "list"]).split("\n");
  const [, pid = "0", status = ""] =
    lines.map((line) => line.split(/\s+/)).find(([task]) => task === name) ?? [];
  return { pid: status === "STOPPED" ? 0 : Number(pid) || 0, status, labels };
}

function ask(engine: Engine, args: readonly string[]): string {
  const program = Bun.which(engine);
  if (program === null) {
    throw new CniError(
      ErrorCode.invalidNetns,
      `there is no ${engine} in PATH to ask for the container`,
      "name the container's namespace by its path or by pid:NUMBER",
    );
  }
  const line = [engine, ...args].join(" ");
  const unanswered = (problem: string, cause?: unknown) =>
    new CniError(ErrorCode.invalidNetns, `${line}: ${problem}`, "", { cause });
  let answer: Bun.SyncSubprocess<"pipe", "pipe">;
  try {
    answer = Bun.spawnSync([program, ...args], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      timeout: PATIENCE_MS,
      maxBuffer: ANSWER_LIMIT_BYTES,
    });
  } catch (error) {
    throw unanswered(describeError(error), error);
  }
  if (answer.exitedDueToTimeout === true) throw unanswered(`no answer after ${PATIENCE_MS / 1000} s`);
  if (answer.exitCode === 0) return answer.stdout.toString();
  const said = answer.stderr.toString().trim().split("\n").at(-1) ?? "";
  throw unanswered(said === "" ? `exit code ${answer.exitCode}` : shownPlainly(said));
}

/** Words of another program, for one line of ours. */
function shownPlainly(text: string): string {
  const quoted = shown(text.replace(/^Error: /i, ""));
  return quoted.startsWith('"') && quoted.endsWith('"') ? quoted.slice(1, -1).replaceAll('\\"', '"') : quoted;
}
