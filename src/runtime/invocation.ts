// One call of one plugin as a runtime makes it: the six CNI_* variables, the config on standard input, and the
// answer (libcni pkg/invoke). Finding and running the executable is the protocol layer's work; the variables and the
// time limit are here.
import { executePlugin, findPlugin } from "../cni/execution.ts";
import type { Verb } from "../cni/version.ts";
import type { Attachment } from "./attachment.ts";

/** Where plugins are and how long one may take. */
export interface PluginHost {
  /** The folders in which plugins are searched, in order; what CNI_PATH carries. */
  readonly path: readonly string[];
  /** After so long a plugin is killed and its call fails with code 106; libcni, and we by default, wait. */
  readonly timeoutMs?: number | undefined;
  /** True if the terminal's Ctrl-C is not to reach plugins, because the caller takes back what they did. */
  readonly apart?: boolean;
}

/** What to call. */
export interface Invocation {
  readonly verb: Verb;
  readonly type: string;
  /** The config for standard input. */
  readonly config: string;
  /** Absent for STATUS and GC, which concern no single attachment. */
  readonly attachment?: Attachment;
}

/**
 * Calls the plugin and returns what it printed. Throws the plugin's own CniError, or CniError 106 if it can't be
 * found or run, answered with something else, or took longer than the host allows.
 */
export async function invokePlugin(host: PluginHost, invocation: Invocation): Promise<string> {
  const file = findPlugin(invocation.type, host.path);
  return executePlugin(file, {
    variables: { ...process.env, ...variablesOf(host, invocation) },
    stdin: new TextEncoder().encode(invocation.config),
    ...(host.timeoutMs === undefined ? {} : { timeoutMs: host.timeoutMs }),
    apart: host.apart === true,
  });
}

/** All six are always set, maybe empty: a value that the caller's own environment has must not shine through. */
function variablesOf(host: PluginHost, { verb, attachment }: Invocation): Record<string, string> {
  return {
    CNI_COMMAND: verb,
    CNI_CONTAINERID: attachment?.containerId ?? "",
    CNI_NETNS: attachment?.netns ?? "",
    CNI_ARGS: (attachment?.args ?? []).map((pair) => pair.join("=")).join(";"),
    CNI_IFNAME: attachment?.ifname ?? "",
    CNI_PATH: host.path.join(":"),
  };
}
