// Calls a verb of a plugin with what it needs of the request, and hands it the plugins that it delegates to: in
// this process where the delegate is this same executable, by exec otherwise.
import { parseArguments } from "./arguments.ts";
import type { Environment, Variables } from "./environment.ts";
import { CniError, describeError, ErrorCode } from "./error.ts";
import { executePlugin, findPlugin } from "./execution.ts";
import { parseInput, shown } from "./input.ts";
import {
  exactDocument,
  exactPreviousResult,
  type NetworkConfig,
  validAttachments,
} from "./network-config.ts";
import type { AttachmentCall, Call, Delegate, Invocation, Plugin } from "./plugin.ts";
import { repeatedKey } from "./repeated-keys.ts";
import { asItCame, decodeResult, type Result } from "./result.ts";
import { isSupportedVersion, SUPPORTED_VERSIONS, type Verb } from "./version.ts";

/** What a call needs of the outside world once its input has been read. */
export interface Surroundings {
  readonly variables: Variables;
  writeStderr(text: string): void;
  /** Returns the plugin that `file` is if `file` is this same executable, to be called in this process. */
  ownPlugin(file: string): Promise<Plugin | undefined>;
}

/** Surroundings in which other plugins can be called with configs of their own. */
export interface DelegationWorld extends Surroundings {
  /** Makes the call that these variables and this standard input are, and returns what was printed. Throws CniError. */
  callPlugin(file: string, variables: Variables, stdin: Uint8Array): Promise<string>;
}

/** A call whose environment and protocol keys have been checked. */
export interface Request {
  readonly environment: Environment;
  readonly config: NetworkConfig;
  readonly world: DelegationWorld;
}

/** Calls the verb of the plugin and returns the result of an ADD; the other verbs return undefined. */
export async function dispatch(plugin: Plugin, verb: Verb, request: Request): Promise<Result | undefined> {
  const { environment, config } = request;
  const what = `network config ${JSON.stringify(config.network)}`;
  const base: Omit<Call<unknown>, "config"> = {
    network: config.network,
    cniVersion: config.cniVersion,
    delegate: (type) => delegateOf(type, request),
    invoke: (invocation) => invoke(invocation, request),
    requirePlugin: (type, folders = []) => void findPlugin(type, [...folders, ...environment.path]),
    note: (text) => request.world.writeStderr(`${text}\n`),
  };
  const { containerId, ifname, netns } = environment;
  const attachment: AttachmentCall<unknown>["attachment"] = { containerId, ifname, netns };
  const argumentText = environment.args;
  const document = plugin.keepsDigits === true ? exactDocument(config) : config.document;
  const full = () => {
    refuseRepeatedKey(plugin, config, what);
    return parseInput(plugin.config, document, ErrorCode.invalidConfig, what);
  };
  const cleanup = () => parseInput(plugin.cleanup, document, ErrorCode.invalidConfig, what);
  switch (verb) {
    case "ADD": {
      const args = plugin.readsArguments === false ? {} : parseArguments(argumentText);
      return plugin.add({
        ...base,
        config: full(),
        attachment,
        argumentText,
        args,
        previous: previousResult(config),
      });
    }
    case "CHECK":
      await plugin.check({
        ...base,
        config: full(),
        attachment,
        argumentText,
        previous: previousResult(config),
      });
      return undefined;
    case "DEL":
      await plugin.del({
        ...base,
        config: cleanup(),
        attachment,
        argumentText,
        remembered: () => readableResult(config),
      });
      return undefined;
    case "STATUS":
      await plugin.status?.({ ...base, config: full() });
      return undefined;
    case "GC": {
      if (plugin.gc === undefined) return undefined;
      const call = { ...base, config: cleanup() };
      const valid = validAttachments(config);
      // who says nothing of what is alive has not said that nothing is
      if (valid === undefined) base.note(nothingCollected(plugin, config));
      else await plugin.gc({ ...call, valid });
      return undefined;
    }
    case "VERSION":
      return undefined;
  }
}

function nothingCollected({ name }: Plugin, { network }: NetworkConfig): string {
  return `warren-${name}: no list of valid attachments came for network ${network}: nothing is collected`;
}

/** True if there is something at a place, whatever the case of the keys on the way there. */
function hasPlace(value: unknown, [first, ...rest]: readonly string[]): boolean {
  if (first === undefined) return true;
  if (typeof value !== "object" || value === null) return false;
  const folded = first.toLowerCase();
  return Object.entries(value).some(
    ([key, inside]) => key.toLowerCase() === folded && hasPlace(inside, rest),
  );
}

function refuseRepeatedKey({ uniqueKeys = [] }: Plugin, config: NetworkConfig, what: string): void {
  // reading the text again costs half a millisecond, which most configs have no reason to pay
  const places = uniqueKeys.filter((place) => hasPlace(config.document, place.split(".")));
  if (places.length === 0) return;
  const repeated = repeatedKey(new TextDecoder().decode(config.text), places);
  if (repeated === undefined) return;
  throw new CniError(
    ErrorCode.invalidConfig,
    `${what}: "${repeated}" stands twice`,
    "remove one of the two: JSON has no rule for which of them counts",
  );
}

/** A prevResult without a version of its own has the config's (libcni pkg/version/conf.go). */
function previousResult(config: NetworkConfig): Result | undefined {
  const previous = config.document.prevResult;
  if (previous === undefined || previous === null) return undefined;
  const own = versionOf(previous) ?? config.cniVersion;
  const what = "could not parse prevResult";
  const cniVersion = supportedVersion(own, what);
  const result = decodeResult(previous, cniVersion, what);
  return asItCame(result, () => ({ ...exactPreviousResult(config), cniVersion }));
}

function readableResult(config: NetworkConfig): Result | undefined {
  try {
    return previousResult(config);
  } catch (error) {
    if (error instanceof CniError) return undefined;
    throw error;
  }
}

/** Returns what a result says its version is. */
function versionOf(result: unknown): unknown {
  return typeof result === "object" && result !== null && "cniVersion" in result
    ? result.cniVersion
    : undefined;
}

function supportedVersion(version: unknown, what: string): string {
  if (typeof version === "string" && isSupportedVersion(version)) return version;
  throw new CniError(
    ErrorCode.decodingFailure,
    `${what}: "cniVersion" is ${shown(version)}`,
    `expected one of ${SUPPORTED_VERSIONS.join(", ")}`,
  );
}

/** The plugin of another suite, or of another copy of this executable, that can do nothing before the interface is there. */
const FOREIGN_DHCP: readonly string[] = ["dhcp", "warren-dhcp"];

/** Delegation as SPEC.md, section 4, has it: same config, same environment, the verb in CNI_COMMAND. */
async function delegateOf(type: string, request: Request): Promise<Delegate> {
  const file = findPlugin(type, request.environment.path);
  const own = await request.world.ownPlugin(file);
  if (own !== undefined && own.givesAddresses !== true) {
    // one that delegates itself would call itself for ever
    throw new CniError(
      ErrorCode.invalidConfig,
      `ipam type ${shown(type)} is the plugin ${own.name}, which gives no addresses`,
      "name an IPAM plugin, such as warren-ipam",
    );
  }
  const callFor = (about: Request) =>
    own === undefined ? executed(file, about) : (verb: Verb) => dispatch(own, verb, about);
  const call = callFor(request);
  return {
    inProcess: own !== undefined,
    needsInterface: own === undefined ? FOREIGN_DHCP.includes(type) : own.needsInterface === true,
    add: async () => {
      const result = await call("ADD");
      if (result !== undefined) return result;
      throw new CniError(
        ErrorCode.delegateFailed,
        `plugin ${type} printed no result`,
        `it was run as ${file}`,
      );
    },
    del: async () => void (await call("DEL")),
    check: async () => void (await call("CHECK")),
    status: async () => void (await call("STATUS")),
    gc: async () => void (await call("GC")),
    delOf: async (attachment) => {
      const environment = { ...request.environment, ...attachment, args: "" };
      await callFor({ ...request, environment })("DEL");
    },
  };
}

/** How deep plugins may call each other; more than a few levels are a network that leads back to itself. */
const DEEPEST_DELEGATION = 8;
const DEPTH_VARIABLE = "WARREN_DELEGATION_DEPTH";

/** A plugin is called as by a runtime: with variables and a config that are about it alone. */
async function invoke(
  { verb, type, config, attachment, folders = [] }: Invocation,
  { environment, world, config: own }: Request,
): Promise<string> {
  const path = [...folders, ...environment.path];
  const depth = Number(world.variables[DEPTH_VARIABLE] ?? 0) + 1;
  if (depth > DEEPEST_DELEGATION) {
    throw new CniError(
      ErrorCode.invalidConfig,
      `network ${JSON.stringify(own.network)}: plugins call each other ${DEEPEST_DELEGATION} deep`,
      "correct its delegates: one of them leads back to the network that it is part of",
    );
  }
  const variables = {
    ...world.variables,
    ...variablesOf(verb, attachment ?? { containerId: "", netns: "", ifname: "", args: "" }),
    CNI_PATH: path.join(":"),
    [DEPTH_VARIABLE]: `${depth}`,
  };
  return world.callPlugin(findPlugin(type, path), variables, new TextEncoder().encode(config));
}

/** All of them are always set, maybe empty: what this call's own environment has must not shine through. */
function variablesOf(
  verb: Verb,
  { containerId, netns, ifname, args }: Pick<Environment, "containerId" | "netns" | "ifname" | "args">,
): Variables {
  return {
    CNI_COMMAND: verb,
    CNI_CONTAINERID: containerId,
    CNI_NETNS: netns,
    CNI_IFNAME: ifname,
    CNI_ARGS: args,
  };
}

function executed(file: string, request: Request): (verb: Verb) => Promise<Result | undefined> {
  return async (verb) => {
    const stdout = await executePlugin(file, {
      variables: { ...request.world.variables, ...variablesOf(verb, request.environment) },
      stdin: request.config.text,
    });
    if (verb !== "ADD" || stdout.trim() === "") return undefined;
    return decodeAnswer(stdout, request.config.cniVersion, file);
  };
}

function decodeAnswer(stdout: string, configVersion: string, file: string): Result {
  let document: unknown;
  try {
    document = JSON.parse(stdout);
  } catch (error) {
    throw new CniError(
      ErrorCode.decodingFailure,
      `plugin ${file} printed a result that is not JSON: ${shown(stdout)}`,
      describeError(error),
      { cause: error },
    );
  }
  // a result without a version has the config's (cni pkg/invoke/exec.go)
  const own = versionOf(document) ?? "";
  const what = `result of ${file}`;
  return decodeResult(document, supportedVersion(own === "" ? configVersion : own, what), what);
}
