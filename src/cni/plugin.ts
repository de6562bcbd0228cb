// What a plugin is: a name, a schema for its config, and a function for each verb. The runner owns environment,
// input, output and exit code, so that a plugin is only what it does.
import type * as v from "valibot";
import type { CniArguments } from "./arguments.ts";
import type { Variables } from "./environment.ts";
import type { CniError } from "./error.ts";
import type { AttachmentKey } from "./network-config.ts";
import type { Result } from "./result.ts";
import type { Span } from "./trace-context.ts";
import type { Verb } from "./version.ts";

/** An attachment: a container's interface on a network, and where the container's namespace is. */
export interface Attachment extends AttachmentKey {
  /** CNI_NETNS; empty where the verb allows it and the namespace is gone. */
  readonly netns: string;
}

/** The verbs of a delegated plugin, called with this call's own config and environment. */
export interface Delegate {
  /** True if it is this same executable and runs in this process, so that a store transaction spans both. */
  readonly inProcess: boolean;
  /** True if it works through the container's interface: ADD after that is up, DEL and GC before it goes. */
  readonly needsInterface: boolean;
  add(): Promise<Result>;
  del(): Promise<void>;
  check(): Promise<void>;
  status(): Promise<void>;
  gc(): Promise<void>;
  /** DEL of another attachment than this call's: how a GC clears up behind a delegate that has no GC itself. */
  delOf(attachment: Attachment): Promise<void>;
}

/** A call of another plugin with a config of its own, as a runtime would make it. */
export interface Invocation {
  readonly verb: Verb;
  /** The plugin's name; it is searched in `folders` first, and then in CNI_PATH. */
  readonly type: string;
  readonly folders?: readonly string[] | undefined;
  /** The network config for its standard input; empty for VERSION. */
  readonly config: string;
  /** Which attachment, with its CNI_ARGS; absent for the verbs that concern no single one. */
  readonly attachment?: (Attachment & { readonly args: string }) | undefined;
}

/** What every verb gets. */
export interface Call<Config> {
  readonly network: string;
  readonly cniVersion: string;
  readonly config: Config;
  /** Returns the plugin called `type`, found through CNI_PATH; throws CniError 106 if it isn't there. */
  readonly delegate: (type: string) => Promise<Delegate>;
  /**
   * Calls another plugin, in this process where it is this same executable, and returns what it printed. Throws the
   * CniError that it answered with, and CniError 106 if it isn't there or gave no answer.
   */
  readonly invoke: (invocation: Invocation) => Promise<string>;
  /** Throws CniError 106 unless the plugin called `type` is in one of these folders or in CNI_PATH; 7 for no name. */
  readonly requirePlugin: (type: string, folders?: readonly string[]) => void;
  /** Tells the operator something that is no error, on standard error. */
  readonly note: (text: string) => void;
}

/** What the verbs about one attachment get. */
export interface AttachmentCall<Config> extends Call<Config> {
  readonly attachment: Attachment;
  /** CNI_ARGS as it came, for a plugin that hands it on. */
  readonly argumentText: string;
}

/** What ADD gets. */
export interface AddCall<Config> extends AttachmentCall<Config> {
  readonly args: CniArguments;
  /** The result of the plugin before in the chain, if there is one. */
  readonly previous: Result | undefined;
}

/** What CHECK gets; `previous` is the final result of the ADD. */
export interface CheckCall<Config> extends AttachmentCall<Config> {
  readonly previous: Result | undefined;
}

/** What DEL gets. */
export interface DelCall<Config> extends AttachmentCall<Config> {
  /**
   * Returns the result of the ADD as the runtime remembers it; undefined where it has none, which is so below 0.4.0 and after
   * a refused ADD, or none that can be read: a DEL does without.
   */
  readonly remembered: () => Result | undefined;
}

/** What GC gets: the attachments to keep. A runtime that sent no list of them gets no GC (dispatch.ts). */
export interface GcCall<Config> extends Call<Config> {
  readonly valid: readonly AttachmentKey[];
}

/** A call as it came and what it is answered. */
export interface Transcript {
  /** The process's variables, the CNI_* ones among them. */
  readonly variables: Variables;
  /** Standard input, byte by byte, also where it is no network config; empty where it can't be read. */
  readonly stdin: Uint8Array;
  readonly startedAtMs: number;
  readonly durationMs: number;
  readonly exitCode: 0 | 1;
  /** The document that is printed, result or error; empty for none. */
  readonly stdout: string;
  /** The network and the whole config, where standard input is one. */
  readonly network: string;
  readonly document: Readonly<Record<string, unknown>> | undefined;
  readonly result: Result | undefined;
  readonly error: CniError | undefined;
  /** Where the call belongs in a trace, if its caller said so. */
  readonly span: Span | undefined;
  /** Tells the operator something that is no error, on standard error. */
  readonly note: (text: string) => void;
}

/**
 * A plugin. DEL and GC get only what `cleanup` reads of the config, so that a config that went bad after the
 * ADD can't keep anything from being released. A verb that is left out has nothing to do in this plugin.
 */
export interface Plugin<Config = unknown, Cleanup = unknown> {
  readonly name: string;
  /** What it is for, in a few words; printed when a person runs it by hand. */
  readonly about: string;
  readonly config: v.GenericSchema<unknown, Config>;
  readonly cleanup: v.GenericSchema<unknown, Cleanup>;
  /** Objects of the config, such as `args.cni.sysctl`, in which no key may stand twice. */
  readonly uniqueKeys?: readonly string[];
  /** True for an IPAM plugin, and only such a one can be delegated to. */
  readonly givesAddresses?: boolean;
  /** True for one that has the addresses from somebody whom only the container's interface reaches. */
  readonly needsInterface?: boolean;
  /** True for a plugin that hands parts of its config on: its schemas see numbers above 2^53 with all their digits. */
  readonly keepsDigits?: boolean;
  /** False if the plugin never reads CNI_ARGS, and so accepts anything there. */
  readonly readsArguments?: boolean;
  add(call: AddCall<Config>): Promise<Result>;
  del(call: DelCall<Cleanup>): Promise<void>;
  check(call: CheckCall<Config>): Promise<void>;
  status?(call: Call<Config>): Promise<void>;
  gc?(call: GcCall<Cleanup>): Promise<void>;
  /**
   * Sees every call but VERSION, whatever became of it, before it is answered. A CniError that it throws is the answer
   * instead.
   */
  record?(transcript: Transcript): void;
}

/** Returns the plugin as it is; it ties the types of the schemas to those of the verbs. */
export function definePlugin<Config, Cleanup>(plugin: Plugin<Config, Cleanup>): Plugin<Config, Cleanup> {
  return plugin;
}
