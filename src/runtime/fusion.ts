// A conflist rewritten: a chain of plugins as one plugin that does their work too, and back. Both directions only move
// what is written there; what can't be moved without a change of meaning stays in the chain, and is told.
import * as v from "valibot";
import { CniError, ErrorCode } from "../cni/error.ts";
import { shown } from "../cni/input.ts";
import { type SchemaParts, withKnownKeys } from "../cni/keys.ts";
import { POD_ANNOTATIONS } from "../cni/pod-annotations.ts";
import { isObject, type JsonObject } from "../conflist/json.ts";

/** The plugins that can have others inside, without the prefix of their names. */
const INTERFACE_PLUGINS: readonly string[] = ["bridge", "ptp", "macvlan"];

/** The plugins that can be inside, in the order in which they are added, and the capability that is theirs alone. */
const CHAINED: Readonly<Record<string, string | undefined>> = {
  portmap: "portMappings",
  bandwidth: "bandwidth",
  firewall: undefined,
  tuning: undefined,
  netem: undefined,
};

/** The capability that tuning and the first plugin have in common. */
const SHARED_CAPABILITY = "mac";

/** Capabilities that a plugin reads beside its own. */
const OTHER_CAPABILITIES: Readonly<Record<string, string>> = {
  tuning: SHARED_CAPABILITY,
  bandwidth: POD_ANNOTATIONS,
  netem: POD_ANNOTATIONS,
};

/** Keys of a chained plugin that have their own place in the other form, or mean nothing in it. */
const MOVED_KEYS: readonly string[] = ["type", "capabilities", "dataDir", "runtimeConfig"];

// what is read here, in the spelling that is written: plugins and runtimes take any case of letters, as Go's JSON does
const any = v.unknown();
const chainedKeys = { type: any, capabilities: any, dataDir: any, runtimeConfig: any, mac: any };
const inside = v.object(chainedKeys);
const pluginKeys = v.object({
  ...chainedKeys,
  ipam: v.object({ dataDir: any }),
  ...{ portmap: inside, bandwidth: inside, firewall: inside, tuning: inside, netem: inside },
});
const listKeys = v.object({ plugins: any });

/** A conflist in its new form. */
export interface Rewritten {
  readonly document: JsonObject;
  /** What is different now, and what is not and why, a sentence each. */
  readonly changes: readonly string[];
}

/** A plugin of a list, with its name in both forms. */
interface Member {
  readonly type: string;
  /** The name without a prefix: `bridge` of `warren-bridge`. */
  readonly name: string;
  readonly document: JsonObject;
}

/** A list whose keys are spelled as they are read here. */
interface List {
  readonly members: readonly Member[];
  /** Returns the list with these plugins in place of its own. */
  withPlugins(plugins: readonly JsonObject[]): JsonObject;
}

/**
 * Returns the list with its chained plugins as objects of the plugin that makes the interface. `defaultDataDir` is the
 * store of a plugin that names none. Throws CniError 7 for a document that is no list.
 */
export function fuse(document: JsonObject, defaultDataDir: string): Rewritten {
  const list = listOf(document);
  const [first, ...behind] = list.members;
  if (first === undefined || !INTERFACE_PLUGINS.includes(first.name)) {
    const found = first === undefined ? "there is none" : `it is ${shown(first.type)}`;
    return {
      document,
      changes: [
        `nothing changed: the first plugin would have to be one of ${INTERFACE_PLUGINS.join(", ")}, and ${found}`,
      ],
    };
  }
  const changes: string[] = [];
  const store = storeOf(first.document, defaultDataDir);
  const stays: JsonObject[] = [];
  let fused = first.document;
  for (const member of behind) {
    const obstacle =
      stays.length > 0 ? "it stands behind one that stays" : obstacleTo(member, fused, store, defaultDataDir);
    if (obstacle !== undefined) {
      stays.push(member.document);
      changes.push(`${member.type} stays in the chain: ${obstacle}`);
      continue;
    }
    fused = withInside(fused, member);
    changes.push(`${member.type} is now the key ${JSON.stringify(member.name)} of the first plugin`);
  }
  if (fused === first.document) {
    return { document, changes: ["nothing changed: no plugin can be taken in", ...changes] };
  }
  const type = `warren-${first.name}`;
  if (first.type !== type) {
    fused = { ...fused, type };
    changes.push(
      `the first plugin is now ${type}: a ${first.type} of another suite would pass over the new keys`,
    );
  }
  return { document: list.withPlugins([fused, ...stays]), changes };
}

/** Returns the list with every plugin in the chain that its first plugin has inside: the inverse of `fuse`. */
export function split(document: JsonObject, defaultDataDir: string): Rewritten {
  const list = listOf(document);
  const [first, ...behind] = list.members;
  const asked =
    first === undefined ? [] : Object.keys(CHAINED).filter((name) => hasInside(first.document, name));
  if (first === undefined || !INTERFACE_PLUGINS.includes(first.name) || asked.length === 0) {
    return { document, changes: ["nothing changed: the first plugin has no other inside"] };
  }
  const { capabilities: _, ...rest } = first.document;
  const taken = asked
    .flatMap((name) => [CHAINED[name] ?? [], OTHER_CAPABILITIES[name] ?? []].flat())
    .filter((capability) => capability !== SHARED_CAPABILITY);
  const kept = without(capabilitiesOf(first.document), taken);
  const bare = without(rest, asked);
  const remaining = Object.keys(kept).length === 0 ? bare : { ...bare, capabilities: kept };
  const chain = asked.map((name) => takenOut(first.document, name, defaultDataDir));
  return {
    document: list.withPlugins([remaining, ...chain, ...behind.map((member) => member.document)]),
    changes: asked.map((name) => `warren-${name} is now a plugin of its own`),
  };
}

/** Returns what the first plugin has inside under `name` as a plugin of a chain; throws CniError 7 for no object. */
function takenOut(first: JsonObject, name: string, defaultDataDir: string): JsonObject {
  const config = first[name] ?? {};
  if (!isObject(config)) {
    throw new CniError(
      ErrorCode.invalidConfig,
      `${JSON.stringify(name)} of the first plugin is ${shown(config)}`,
      "expected an object",
    );
  }
  // a hardware address is the first plugin's own, unless tuning says one
  const capabilities = name === "tuning" && !saysAddress(config) ? {} : declaredFor(name, first);
  const store = storeOf(first, defaultDataDir);
  return {
    type: `warren-${name}`,
    ...(Object.keys(capabilities).length === 0 ? {} : { capabilities }),
    ...(store === defaultDataDir ? {} : { dataDir: store }),
    ...without(config, MOVED_KEYS),
  };
}

function listOf(document: JsonObject): List {
  const list = spelled(listKeys, document);
  const { plugins } = list;
  if (!Array.isArray(plugins)) {
    throw new CniError(
      ErrorCode.invalidConfig,
      `"plugins" is ${shown(plugins)}`,
      "expected a .conflist with a list of plugins",
    );
  }
  return { members: plugins.map(memberOf), withPlugins: (others) => ({ ...list, plugins: others }) };
}

function memberOf(plugin: unknown, index: number): Member {
  const document = isObject(plugin) ? spelled(pluginKeys, plugin) : {};
  const { type } = document;
  if (typeof type !== "string" || type === "") {
    throw new CniError(
      ErrorCode.invalidConfig,
      `plugins[${index}] is ${shown(plugin)}`,
      'expected an object with a "type"',
    );
  }
  return { type, name: type.startsWith("warren-") ? type.slice("warren-".length) : type, document };
}

/** Returns the object with the keys that the schema has in the schema's spelling. */
function spelled(schema: SchemaParts, object: JsonObject): JsonObject {
  const known = withKnownKeys(schema, object);
  return isObject(known) ? known : object;
}

/** Returns where a plugin keeps what it writes down. */
function storeOf(document: JsonObject, defaultDataDir: string): string {
  const { ipam, dataDir } = document;
  const named = dataDir ?? (isObject(ipam) ? ipam.dataDir : undefined);
  return typeof named === "string" ? named : defaultDataDir;
}

/** Returns why a plugin can't be taken in; undefined if it can. */
function obstacleTo(
  member: Member,
  first: JsonObject,
  store: string,
  defaultDataDir: string,
): string | undefined {
  const { name, document } = member;
  if (!Object.hasOwn(CHAINED, name)) return `only ${Object.keys(CHAINED).join(", ")} can be taken in`;
  if (hasInside(first, name)) return "the first plugin has it already";
  if (document.runtimeConfig !== undefined) {
    return 'its "runtimeConfig" is written into the file, and runtimes replace that of the first plugin';
  }
  const own = document.dataDir ?? defaultDataDir;
  if (own !== store) {
    return `it writes to the store in ${shown(own)}, and the first plugin to ${shown(store)}: give both one dataDir first`;
  }
  const asksFirst = capabilitiesOf(first)[SHARED_CAPABILITY] === true;
  if (
    name === "tuning" &&
    saysAddress(document) &&
    asksFirst &&
    capabilitiesOf(document)[SHARED_CAPABILITY] !== true
  ) {
    return 'its "mac" counts before the one that a runtime gives the first plugin, and inside it would count after it';
  }
  return annotationObstacleTo(member, first);
}

/** The pod's annotations reach all that is inside the first plugin, or nothing of it. */
function annotationObstacleTo({ name, document }: Member, first: JsonObject): string | undefined {
  const readers = Object.keys(OTHER_CAPABILITIES).filter(
    (one) => OTHER_CAPABILITIES[one] === POD_ANNOTATIONS,
  );
  if (!readers.includes(name)) return undefined;
  const [reads, firstReads] = [document, first].map((one) => capabilitiesOf(one)[POD_ANNOTATIONS] === true);
  if (firstReads && !reads) return "it does not read the pod's annotations, and inside it would";
  const other = readers.find((one) => hasInside(first, one));
  if (other === undefined || !reads || firstReads) return undefined;
  return `it reads the pod's annotations, and ${other}, which is inside already, would read them, too`;
}

function capabilitiesOf({ capabilities }: JsonObject): JsonObject {
  return isObject(capabilities) ? capabilities : {};
}

/** Returns those of the capabilities that `name` reads which the document declares. */
function declaredFor(name: string, document: JsonObject): JsonObject {
  const known = [CHAINED[name] ?? [], OTHER_CAPABILITIES[name] ?? []].flat();
  const declared = known.filter((capability) => capabilitiesOf(document)[capability] === true);
  return Object.fromEntries(declared.map((capability) => [capability, true]));
}

/** True if the config of tuning has a hardware address. */
function saysAddress({ mac }: JsonObject): boolean {
  return (mac ?? "") !== "";
}

/** True if the first plugin does the work of `name`: it has its object, or declares its capability. */
function hasInside(first: JsonObject, name: string): boolean {
  if ((first[name] ?? null) !== null) return true;
  const capability = CHAINED[name];
  return capability !== undefined && capabilitiesOf(first)[capability] === true;
}

function withInside(first: JsonObject, { name, document }: Member): JsonObject {
  const { capabilities: _, ...rest } = first;
  // any other one that it declares meant nothing to it, and could mean something to the first plugin
  const capabilities = { ...capabilitiesOf(first), ...declaredFor(name, document) };
  return {
    ...rest,
    ...(Object.keys(capabilities).length === 0 ? {} : { capabilities }),
    [name]: without(document, MOVED_KEYS),
  };
}

function without(object: JsonObject, names: readonly string[]): JsonObject {
  return Object.fromEntries(Object.entries(object).filter(([key]) => !names.includes(key)));
}
