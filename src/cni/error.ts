// The error that a plugin answers with: code, message and details, as the CNI specification has them (SPEC.md,
// "Error"). Every failure in Warren becomes one of these; the table below is the whole list of codes.
import { SUPPORTED_VERSIONS } from "./version.ts";

/** The codes of the specification (below 100) and of Warren (from 100 on), by what they mean. */
export const ErrorCode = {
  /** The config's cniVersion is not supported, or does not allow the verb. */
  incompatibleVersion: 1,
  /** The config asks for something that this plugin, kernel or version can't do. */
  unsupportedField: 2,
  /** The container or attachment is not known. */
  unknownContainer: 3,
  /** A CNI_* variable is missing or malformed. */
  invalidEnvironment: 4,
  /** Standard input, or a file that the config names, can't be read. */
  ioFailure: 5,
  /** Standard input, or what a delegate said, is not the JSON that it should be. */
  decodingFailure: 6,
  /** A value in the network config is wrong. */
  invalidConfig: 7,
  /** CNI_NETNS is no network namespace, is gone, or is the plugin's own. */
  invalidNetns: 8,
  /** Something held a lock for too long, or nobody answered; the same call may succeed later. */
  tryAgainLater: 11,
  /** STATUS: an ADD would fail. */
  notReady: 50,
  /** STATUS: an ADD would fail, and existing containers have limited connectivity too. */
  limitedConnectivity: 51,
  /** A requested address, or the number of a link, is held by somebody else, whom the message names. */
  addressInUse: 100,
  /** No address is left in a range set, or no number for a link. */
  noAddressLeft: 101,
  /** The interface, or another name that the ADD needs, exists already. */
  nameTaken: 102,
  /** CHECK: what is there differs from what ADD made. */
  stateDiffers: 103,
  /** The kernel refused an operation; the details carry its own words. */
  kernelRefused: 104,
  /** The store can't be opened, read or written. */
  storeUnusable: 105,
  /** A delegated plugin can't be found, can't be run, or gave no answer. */
  delegateFailed: 106,
  /** GC or DEL: some items could not be removed; the message names all of them. */
  incomplete: 107,
  /** A defect of Warren itself. */
  internal: 199,
} as const;

/** One of the codes above, or any code that a delegate answered with. */
export type ErrorCodeNumber = (typeof ErrorCode)[keyof typeof ErrorCode] | (number & {});

/** A failure as the runtime gets to see it. `msg` names the value and the place, `details` the cure or the cause. */
export class CniError extends Error {
  override readonly name = "CniError";

  constructor(
    readonly code: ErrorCodeNumber,
    message: string,
    readonly details = "",
    options?: { readonly cause?: unknown },
  ) {
    super(message, options);
  }

  /** Returns the error document (SPEC.md, "Error"), indented by four as the reference plugins print it. */
  toDocument(cniVersion: string): string {
    return JSON.stringify(
      {
        cniVersion: cniVersion === "" ? SUPPORTED_VERSIONS[0] : cniVersion,
        code: this.code,
        msg: this.message,
        ...(this.details === "" ? {} : { details: this.details }),
      },
      null,
      4,
    );
  }
}

/** Throws the only one of the failures, or CniError 107 naming all; returns if there are none. */
export function throwFailures(failures: readonly unknown[]): void {
  const [first] = failures;
  if (failures.length === 0) return;
  if (failures.length === 1) throw first;
  throw new CniError(ErrorCode.incomplete, failures.map(describeError).join("\n"), "", { cause: first });
}

/** Returns the error of a CHECK that found something else than ADD left. */
export function stateDiffers(message: string): CniError {
  return new CniError(ErrorCode.stateDiffers, message, "DEL the attachment, and ADD it again");
}

/** Returns what `error` says, on one line: the message, and the details where it has any. */
export function describeError(error: unknown): string {
  if (error instanceof CniError)
    return error.details === "" ? error.message : `${error.message}; ${error.details}`;
  return error instanceof Error ? error.message : String(error);
}

/**
 * Collects the failures of work that must carry on (DEL, GC): every step runs, and `rethrow` reports all of
 * what failed at the end.
 */
export class Failures {
  readonly #errors: unknown[] = [];

  /** Runs `step`; a failure is kept for `rethrow`. */
  async collect(step: () => void | Promise<void>): Promise<void> {
    try {
      await step();
    } catch (error) {
      this.#errors.push(error);
    }
  }

  /** Keeps the failure of a step that has reported it otherwise. */
  keep(error: unknown): void {
    this.#errors.push(error);
  }

  /** True if a step failed. */
  get any(): boolean {
    return this.#errors.length > 0;
  }

  /** Throws nothing if no step failed, the error itself if one did, and code 107 naming all if several did. */
  rethrow(what: string): void {
    const [first] = this.#errors;
    if (first === undefined) return;
    if (this.#errors.length === 1) throw first;
    throw new CniError(
      ErrorCode.incomplete,
      `${what}: ${this.#errors.length} steps failed: ${this.#errors.map(describeError).join("; ")}`,
      "",
      { cause: first },
    );
  }
}
