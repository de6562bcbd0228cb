// Runs one call of one plugin: reads the environment and the config, checks versions and names, calls the verb,
// prints the result or the error. All input and output is handed in, so that the whole protocol can be tested
// in a process without touching the world.

import { type DelegationWorld, dispatch, type Request, type Surroundings } from "./dispatch.ts";
import { type Environment, parseEnvironment, type Variables } from "./environment.ts";
import { CniError, describeError, ErrorCode } from "./error.ts";
import { executePlugin } from "./execution.ts";
import { type NetworkConfig, parseNetworkConfig } from "./network-config.ts";
import type { Plugin, Transcript } from "./plugin.ts";
import { encodeResult, type Result } from "./result.ts";
import { type Span, spanBelow, traceparentOf } from "./trace-context.ts";
import {
  CURRENT_VERSION,
  isSupportedVersion,
  SUPPORTED_VERSIONS,
  type Verb,
  versionAllows,
  versionAnswer,
} from "./version.ts";

/** The outside world of a plugin call. */
export interface World extends Surroundings {
  readStdin(): Uint8Array;
  writeStdout(text: string): void;
  /** True if the path pins the network namespace that this process is in. */
  isOwnNetns(path: string): boolean;
  /** Turns an error that is no CniError into one; for what it doesn't know, undefined. */
  explain(error: unknown): CniError | undefined;
  /** Is told every call once it is answered. Never throws: what has been answered can't fail any more. */
  remember?(plugin: Plugin, transcript: Transcript): Promise<void>;
}

/** Runs the call that the environment asks for and returns the exit code: 0, or 1 after an error document. */
export async function runPlugin(plugin: Plugin, world: World): Promise<0 | 1> {
  const { variables } = world;
  if ((variables.CNI_COMMAND ?? "") === "") {
    // a person ran it by hand: say what it is (cni pkg/skel)
    world.writeStderr(`${plugin.about}\nCNI protocol versions supported: ${SUPPORTED_VERSIONS.join(", ")}\n`);
    return 0;
  }
  if (variables.CNI_COMMAND === "VERSION") {
    world.writeStdout(versionAnswer());
    return 0;
  }
  const call = new RunningCall(plugin, world);
  const answer = await call.recordedAnswer();
  try {
    if (answer.stdout !== "") world.writeStdout(answer.stdout);
  } catch (error) {
    await answer.takeBack?.();
    throw error;
  }
  await world.remember?.(plugin, call.transcript(answer));
  return answer.exitCode;
}

/** Calls a plugin from within a call of another one: in this process where it is ours. */
async function callPlugin(
  world: World,
  file: string,
  variables: Variables,
  stdin: Uint8Array,
): Promise<string> {
  const own = await world.ownPlugin(file);
  if (own === undefined) return executePlugin(file, { variables, stdin });
  if (variables.CNI_COMMAND === "VERSION") return versionAnswer();
  const call = new RunningCall(own, { ...world, variables, readStdin: () => stdin });
  const answer = await call.recordedAnswer();
  await world.remember?.(own, call.transcript(answer));
  if (answer.error !== undefined) throw answer.error;
  return answer.stdout;
}

/** What a call comes to. */
interface Answer {
  readonly exitCode: 0 | 1;
  /** One document, or nothing. */
  readonly stdout: string;
  readonly result?: Result;
  readonly error?: CniError;
  /** Takes back what was made, for a runtime that does not get to know of it. */
  readonly takeBack?: () => Promise<void>;
}

/** One call from its input to its answer. */
class RunningCall {
  readonly #startedAtMs = Date.now();
  readonly #begin = performance.now();
  #stdin: Uint8Array | undefined;
  #config: NetworkConfig | undefined;
  #cniVersion: string = CURRENT_VERSION;
  readonly #span: Span | undefined;

  constructor(
    private readonly plugin: Plugin,
    private readonly world: World,
  ) {
    this.#span = spanBelow(world.variables.TRACEPARENT);
  }

  /** Does what the call asks for, and shows it to a plugin that wants to see it. */
  async recordedAnswer(): Promise<Answer> {
    const answer = await this.#answer();
    return this.plugin.record === undefined ? answer : this.#record(answer);
  }

  async #answer(): Promise<Answer> {
    const { plugin, world } = this;
    try {
      const environment = parseEnvironment(world.variables);
      const config = parseNetworkConfig(this.#readConfig());
      this.#config = config;
      if (isSupportedVersion(config.cniVersion)) this.#cniVersion = config.cniVersion;
      checkVersion(config.cniVersion, environment.verb);
      checkOwnNetns(environment, world);
      const request = { environment, config, world: this.#delegationWorld() };
      const result = await dispatch(plugin, environment.verb, request);
      return result === undefined ? { exitCode: 0, stdout: "" } : await this.#told(result, request);
    } catch (error) {
      return this.#failed(error);
    }
  }

  /** Returns the call as it came and what it comes to. */
  transcript({ exitCode, stdout, result, error }: Answer): Transcript {
    return {
      variables: this.world.variables,
      stdin: this.#stdin ?? new Uint8Array(),
      startedAtMs: this.#startedAtMs,
      durationMs: performance.now() - this.#begin,
      ...{ exitCode, stdout, result, error },
      network: this.#config?.network ?? "",
      document: this.#config?.document,
      span: this.#span,
      note: (text) => this.world.writeStderr(`${text}\n`),
    };
  }

  /** Shows the call and its answer to the plugin, and returns the answer or the error that came of that. */
  async #record(answer: Answer): Promise<Answer> {
    this.#readAnyway();
    try {
      this.plugin.record?.(this.transcript(answer));
      return answer;
    } catch (error) {
      await answer.takeBack?.();
      return this.#failed(error);
    }
  }

  /**
   * A result that the config's version has no words for, or that nobody reads, leaves a runtime without knowledge of
   * what was made, so all of it is taken back.
   */
  async #told(result: Result, request: Request): Promise<Answer> {
    const takeBack = async () => {
      try {
        await dispatch(this.plugin, "DEL", request);
      } catch (error) {
        const name = `warren-${this.plugin.name}`;
        this.world.writeStderr(`${name}: the ADD could not be taken back: ${describeError(error)}\n`);
      }
    };
    try {
      const stdout = JSON.stringify(encodeResult(result, request.config.cniVersion), null, 4);
      return { exitCode: 0, stdout, result, takeBack };
    } catch (error) {
      await takeBack();
      throw error;
    }
  }

  #failed(cause: unknown): Answer {
    const error = asAnswer(cause, this.world);
    return { exitCode: 1, stdout: error.toDocument(this.#cniVersion), error };
  }

  /** What delegates are called with: of a call that is part of a trace they are parts. */
  #delegationWorld(): DelegationWorld {
    const { world } = this;
    const traced =
      this.#span === undefined
        ? world
        : { ...world, variables: { ...world.variables, TRACEPARENT: traceparentOf(this.#span) } };
    return {
      ...traced,
      callPlugin: (file, variables, stdin) => callPlugin(traced, file, variables, stdin),
    };
  }

  #readConfig(): Uint8Array {
    try {
      this.#stdin = this.world.readStdin();
      return this.#stdin;
    } catch (error) {
      throw new CniError(
        ErrorCode.ioFailure,
        `error reading from stdin: ${describeError(error)}`,
        "expected a network config of at most 16 MiB",
        { cause: error },
      );
    }
  }

  /** A call that was refused for its variables has not read its config yet. */
  #readAnyway(): void {
    try {
      this.#stdin ??= this.world.readStdin();
    } catch {
      // what can't be read is not recorded, and the call has failed already
    }
  }
}

/** Failures which on STATUS mean that an ADD would fail, and nothing else. */
const FAIL_ADD: readonly number[] = [
  ErrorCode.unsupportedField,
  ErrorCode.tryAgainLater,
  ErrorCode.kernelRefused,
  ErrorCode.storeUnusable,
  ErrorCode.delegateFailed,
];

function asAnswer(error: unknown, world: World): CniError {
  const answer = asCniError(error, world);
  if (world.variables.CNI_COMMAND !== "STATUS" || !FAIL_ADD.includes(answer.code)) return answer;
  return new CniError(ErrorCode.notReady, answer.message, answer.details, { cause: error });
}

/** Returns the error as the runtime gets to see it; what nobody foresaw is a defect of ours and says so. */
function asCniError(error: unknown, world: World): CniError {
  if (error instanceof CniError) return error;
  const explained = world.explain(error);
  if (explained !== undefined) return explained;
  const stack = error instanceof Error ? (error.stack ?? "") : "";
  return new CniError(ErrorCode.internal, `internal error: ${describeError(error)}`, stack, { cause: error });
}

function checkVersion(version: string, verb: Verb): void {
  if (!isSupportedVersion(version)) {
    throw new CniError(
      ErrorCode.incompatibleVersion,
      "incompatible CNI versions",
      `config is ${JSON.stringify(version)}, plugin supports [${SUPPORTED_VERSIONS.map((one) => JSON.stringify(one)).join(" ")}]`,
    );
  }
  if (!versionAllows(version, verb)) {
    // clients compare this message whole, so it carries no details
    throw new CniError(ErrorCode.incompatibleVersion, `config version does not allow ${verb}`);
  }
}

/** Refuses before anything is done; the reference prints a result first and this error after it. */
function checkOwnNetns(environment: Environment, world: World): void {
  if (environment.verb !== "ADD" && environment.verb !== "DEL") return;
  if (environment.netns === "" || environment.netnsOverride || !world.isOwnNetns(environment.netns)) return;
  throw new CniError(
    ErrorCode.invalidNetns,
    "plugin's netns and netns from CNI_NETNS should not be the same",
    `CNI_NETNS is ${environment.netns}; set CNI_NETNS_OVERRIDE=1 if that is meant`,
  );
}
