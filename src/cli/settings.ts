// What the network commands have in common: where configs, plugins and the cache are, and which attachment is
// meant. A flag wins over its environment variable, that over the default; the variables are cnitool's.
import { createHash } from "node:crypto";
import { resolve } from "node:path";
import * as v from "valibot";
import { describeError } from "../cni/error.ts";
import { checkContainerId, checkInterfaceName } from "../cni/names.ts";
import { loadNetwork, type NetworkList } from "../conflist/network-list.ts";
import { log } from "../log.ts";
import {
  type Attachment,
  checkAttachment,
  parseArgumentPairs,
  parseCapabilityArgs,
} from "../runtime/attachment.ts";
import { AttachmentCache, DEFAULT_CACHE_FOLDER } from "../runtime/cache.ts";
import type { Runtime } from "../runtime/chain.ts";
import { parseFlags, UsageError } from "./command.ts";
import { NETNS_FORMS, namesProcess } from "./netns-argument.ts";

const DEFAULT_CONF_FOLDER = "/etc/cni/net.d";
const DEFAULT_BIN_FOLDER = "/opt/cni/bin";
const DEFAULT_IFNAME = "eth0";

/** The flags of every command that works on a network. */
export const networkFlags = {
  "cni-conf-dir": {
    type: "string",
    valueHint: "DIR",
    description: `Where network lists are: NETCONFPATH, else ${DEFAULT_CONF_FOLDER}`,
  },
  "cni-bin-dir": {
    type: "string",
    valueHint: "DIR[:DIR...]",
    description: `Where plugins are: CNI_PATH, else ${DEFAULT_BIN_FOLDER}`,
  },
  "cache-dir": {
    type: "string",
    valueHint: "DIR",
    description: `Where attachments are remembered: ${DEFAULT_CACHE_FOLDER}`,
  },
  "timeout-ms": {
    type: "string",
    valueHint: "MS",
    description: "Kill a plugin that takes longer; without it, wait",
  },
  json: { type: "boolean", description: "Answer with JSON on standard output, also for errors" },
} as const;

/** The flags that say which attachment is meant. */
export const attachmentFlags = {
  ifname: {
    type: "string",
    alias: "i",
    valueHint: "NAME",
    description: `The interface in the container: CNI_IFNAME, else ${DEFAULT_IFNAME}`,
  },
  "container-id": {
    type: "string",
    valueHint: "ID",
    description: "The container's id: else made from NETNS as cnitool does",
  },
} as const;

/** The arguments NET and NETNS. */
export const networkArgument = {
  network: { type: "positional", required: true, description: "The network's name" },
} as const;
/** The argument NETNS alone. */
export const netnsArgument = {
  netns: {
    type: "positional",
    required: true,
    description: `The container's namespace: ${NETNS_FORMS}`,
  },
} as const;

/** The process's variables by name. */
export type Variables = Readonly<Record<string, string | undefined>>;

/** Parsed flags by name. */
export type Flags = Readonly<Record<string, unknown>>;

/** Where everything is. */
export interface Settings {
  readonly confFolder: string;
  readonly pluginPath: readonly string[];
  readonly cacheFolder: string;
  readonly timeoutMs: number | undefined;
  readonly json: boolean;
}

const flagsSchema = v.object({
  "cni-conf-dir": v.optional(v.string()),
  "cni-bin-dir": v.optional(v.string()),
  "cache-dir": v.optional(v.string(), DEFAULT_CACHE_FOLDER),
  "timeout-ms": v.optional(
    v.pipe(
      v.string(),
      v.check((text) => /^[1-9]\d{0,8}$/.test(text), "milliseconds, a whole number from 1 on"),
      v.transform(Number),
    ),
  ),
  json: v.optional(v.boolean(), false),
});

/** Returns what flags and variables say; throws UsageError for a flag that makes no sense. */
export function settingsOf(flags: Flags, variables: Variables): Settings {
  const given = parseFlags(flagsSchema, flags);
  const pluginPath = given["cni-bin-dir"] ?? (variables.CNI_PATH || DEFAULT_BIN_FOLDER);
  return {
    confFolder: given["cni-conf-dir"] ?? (variables.NETCONFPATH || DEFAULT_CONF_FOLDER),
    pluginPath: pluginPath.split(":").filter((folder) => folder !== ""),
    cacheFolder: given["cache-dir"],
    timeoutMs: given["timeout-ms"],
    json: given.json,
  };
}

/**
 * Returns the runtime for these settings; it tells what it did beyond what was asked on standard error. `apart` keeps the
 * terminal's signals from its plugins.
 */
export function runtimeOf(settings: Settings, { apart = false } = {}): Runtime {
  return {
    host: { path: settings.pluginPath, timeoutMs: settings.timeoutMs, apart },
    cache: new AttachmentCache(settings.cacheFolder),
    note: (line) => log.info(line),
  };
}

/** Returns what a command on one network works with. Throws as settingsOf and loadNetwork. */
export function openNetwork(
  name: string,
  flags: Flags,
): { readonly settings: Settings; readonly runtime: Runtime; readonly list: NetworkList } {
  const settings = settingsOf(flags, process.env);
  return { settings, runtime: runtimeOf(settings), list: loadNetwork(settings.confFolder, name) };
}

/**
 * Returns the container id that stands for a namespace: `cnitool-` and the first 20 hex digits of SHA-512 of the
 * bare name, or of the absolute path where a path is given (cnitool/cmd/root.go). A process or container is hashed as it is
 * named, so that it has the same id when it is gone.
 */
export function containerIdOf(netns: string): string {
  const hashed = netns.includes("/") && !namesProcess(netns) ? resolve(netns) : netns;
  return `cnitool-${createHash("sha512").update(hashed).digest("hex").slice(0, 20)}`;
}

/** Returns the interface's name as flag or variable say it; throws UsageError for a flag that is no such name. */
export function ifnameOf(flags: Flags, variables: Variables): string {
  return checkedFlag(flags.ifname, checkInterfaceName) ?? (variables.CNI_IFNAME || DEFAULT_IFNAME);
}

/** Returns the flag's value, undefined if it was not given; what `check` throws becomes a UsageError. */
function checkedFlag(value: unknown, check: (value: string) => void): string | undefined {
  if (typeof value !== "string") return undefined;
  try {
    check(value);
  } catch (error) {
    throw new UsageError(describeError(error), { cause: error });
  }
  return value;
}

/** Returns the parameters in CNI_ARGS and CAP_ARGS; throws CniError 4 or 6 for malformed ones. */
export function parametersOf(variables: Variables): Pick<Attachment, "args" | "capabilityArgs"> {
  return {
    args: parseArgumentPairs(variables.CNI_ARGS ?? ""),
    capabilityArgs: parseCapabilityArgs(variables.CAP_ARGS ?? ""),
  };
}

/**
 * Returns the attachment that NETNS, flags and variables mean, in the namespace at `path`; throws UsageError for an illegal
 * name in a flag, and CniError 4 for one in a variable.
 */
export function attachmentOf(netns: string, path: string, flags: Flags, variables: Variables): Attachment {
  const attachment = {
    containerId: checkedFlag(flags["container-id"], checkContainerId) ?? containerIdOf(netns),
    netns: path,
    ifname: ifnameOf(flags, variables),
    ...parametersOf(variables),
  };
  checkAttachment(attachment);
  return attachment;
}
