// What a chained plugin adds to an attachment, in halves: what it claims is written down in a transaction of the store,
// and only then is the kernel touched. Split like this, the same code works as a process of its own behind the
// plugin that made the interface, and inside that plugin's process and transaction (fused.ts).
import { CniError, describeError, ErrorCode } from "../cni/error.ts";
import type { AddCall, Plugin } from "../cni/plugin.ts";
import type { Result } from "../cni/result.ts";
import { openStore } from "../store/sqlite.ts";
import type { Transaction } from "../store/store.ts";

/** An interface of the host that an attachment needs, and what it is there. */
export interface HostInterface {
  readonly name: string;
  /** `gateway` carries packets to many pods, as a bridge does; `port` is a bridge's; `pair` stands alone. */
  readonly role: "gateway" | "port" | "pair";
}

/** Where an addition is to be made. */
export interface Site {
  /** The addresses of the attachment, and its interfaces if they are there. */
  readonly result: Result;
  /**
   * The interfaces of the host that are still to be made, by this same call: they can't be looked at yet, and go with
   * the attachment. Undefined where the plugin before has made them.
   */
  readonly planned: readonly HostInterface[] | undefined;
}

/** An addition to one attachment. */
export interface Addition {
  /** The directory of the store that it is written down in. */
  readonly dataDir: string;
  /** Works out what is to be made there, and changes nothing; throws CniError for what can't be. */
  survey(site: Site): void;
  /** Writes down what will be made; throws CniError for what somebody else has. */
  claim(store: Transaction): Promise<void>;
  /** Makes it, and returns the result as it is then. */
  make(result: Result): Promise<Result>;
  /** Takes back what was claimed and what was made of it, as far as `make` got. */
  release(): Promise<void>;
}

/** What a chained plugin gets of an ADD before it knows what there is. */
export type AdditionCall<Config> = Omit<AddCall<Config>, "previous">;

/** A plugin that adds to what another one made. */
export interface ChainedPlugin<Config, Cleanup> extends Plugin<Config, Cleanup> {
  /** The capability whose runtime config is for this plugin alone (CONVENTIONS.md). */
  readonly capability?: "portMappings" | "bandwidth";
  /** It adds nothing to an attachment and has a part in STATUS alone: the other verbs need not even load it. */
  readonly statusOnly?: true;
  /** What it adds stands on the attachment's pair, and is of no use without: what of it is left then is forgotten. */
  readonly isOnPair?: true;
  /** Returns what the config asks for, or undefined if that is nothing; throws CniError for a config that is wrong. */
  additionOf(call: AdditionCall<Config>): Addition | undefined;
}

/** Returns the plugin as one that stands behind another in a chain. */
export function defineChained<Config, Cleanup>(
  plugin: Omit<ChainedPlugin<Config, Cleanup>, "add">,
): ChainedPlugin<Config, Cleanup> {
  return {
    ...plugin,
    async add(call) {
      const addition = plugin.additionOf(call);
      const previous = requirePrevious(call.previous);
      return addition === undefined ? previous : addTo(previous, addition, call.note);
    },
  };
}

/** Returns the result of the plugin before; throws CniError 7 if there is none. */
export function requirePrevious(previous: Result | undefined): Result {
  if (previous !== undefined) return previous;
  throw new CniError(
    ErrorCode.invalidConfig,
    "must be called as chained plugin",
    "there is no prevResult: put this plugin behind the one that makes the interface",
  );
}

async function addTo(previous: Result, addition: Addition, note: (text: string) => void): Promise<Result> {
  addition.survey({ result: previous, planned: undefined });
  await openStore(addition.dataDir).transaction((store) => addition.claim(store));
  try {
    return await addition.make(previous);
  } catch (error) {
    try {
      await addition.release();
    } catch (second) {
      note(`warren: the ADD could not be taken back: ${describeError(second)}`);
    }
    throw error;
  }
}
