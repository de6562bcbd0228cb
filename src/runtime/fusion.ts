// A conflist rewritten: a chain of plugins as one plugin that does their work too, and back. Both directions only move
// what is written there; what can't be moved without a change of meaning stays in the chain, and is told.
import { CniError, ErrorCode } from "../cni/error.ts";
import { shown } from "../cni/input.ts";
import { isObject, type JsonObject, memberOf } from "./json.ts";

/** The plugins that can have others inside, without the prefix of their names. */
const INTERFACE_PLUGINS: readonly string[] = ["bridge", "ptp", "macvlan"];

/** The plugins that can be inside, in the order in which they are added, and the capability that is theirs. */
const CHAINED: Readonly<Record<string, string | undefined>> = {
  portmap: "portMappings",
  bandwidth: "bandwidth",
  firewall: undefined,
  tuning: undefined,
};

/** Keys of a chained plugin that have their own place in the other form. */
const MOVED_KEYS: readonly string[] = ["type", "capabilities", "dataDir"];

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

/**
 * Returns the list with its chained plugins as objects of the plugin that makes the interface. `defaultDataDir` is the
 * store of a plugin that names none. Throws CniError 7 for a document that is no list.
 */
export function fuse(document: JsonObject, defaultDataDir: string): Rewritten {
  const [first, ...behind] = membersOf(document);
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
  return { document: { ...document, plugins: [fused, ...stays] }, changes };
}

/** Returns the list with every plugin in the chain that its first plugin has inside: the inverse of `fuse`. */
export function split(document: JsonObject, defaultDataDir: string): Rewritten {
  const [first, ...behind] = membersOf(document);
  const asked =
    first === undefined ? [] : Object.keys(CHAINED).filter((name) => hasInside(first.document, name));
  if (first === undefined || !INTERFACE_PLUGINS.includes(first.name) || asked.length === 0) {
    return { document, changes: ["nothing changed: the first plugin has no other inside"] };
  }
  const store = storeOf(first.document, defaultDataDir);
  const { capabilities, ...rest } = first.document;
  const own = isObject(capabilities) ? capabilities : {};
  const taken = asked.flatMap((name) => CHAINED[name] ?? []);
  const kept = without(own, taken);
  const chain = asked.map((name): JsonObject => {
    const capability = CHAINED[name];
    const declared = capability !== undefined && own[capability] === true;
    const inside = rest[name];
    return {
      type: `warren-${name}`,
      ...(declared ? { capabilities: { [capability]: true } } : {}),
      ...(store === defaultDataDir ? {} : { dataDir: store }),
      ...(isObject(inside) ? inside : {}),
    };
  });
  const bare = without(rest, asked);
  const remaining = Object.keys(kept).length === 0 ? bare : { ...bare, capabilities: kept };
  return {
    document: { ...document, plugins: [remaining, ...chain, ...behind.map((member) => member.document)] },
    changes: asked.map((name) => `warren-${name} is now a plugin of its own`),
  };
}

function membersOf(document: JsonObject): Member[] {
  const plugins = memberOf(document, "plugins");
  if (!Array.isArray(plugins)) {
    throw new CniError(
      ErrorCode.invalidConfig,
      `"plugins" is ${shown(plugins)}`,
      "expected a .conflist with a list of plugins",
    );
  }
  return plugins.map((plugin: unknown, index) => {
    const type = isObject(plugin) ? memberOf(plugin, "type") : undefined;
    if (!isObject(plugin) || typeof type !== "string" || type === "") {
      throw new CniError(
        ErrorCode.invalidConfig,
        `plugins[${index}] is ${shown(plugin)}`,
        'expected an object with a "type"',
      );
    }
    return { type, name: type.startsWith("warren-") ? type.slice("warren-".length) : type, document: plugin };
  });
}

/** Returns where a plugin keeps what it writes down. */
function storeOf(document: JsonObject, defaultDataDir: string): string {
  const ipam = memberOf(document, "ipam");
  const named = memberOf(document, "dataDir") ?? (isObject(ipam) ? memberOf(ipam, "dataDir") : undefined);
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
  if (memberOf(document, "runtimeConfig") !== undefined) {
    return 'its "runtimeConfig" is written into the file, and runtimes replace that of the first plugin';
  }
  const own = memberOf(document, "dataDir") ?? defaultDataDir;
  if (own !== store) {
    return `it writes to the store in ${shown(own)}, and the first plugin to ${shown(store)}: give both one dataDir first`;
  }
  return undefined;
}

/** True if the first plugin does the work of `name`: it has its object, or declares its capability. */
function hasInside(first: JsonObject, name: string): boolean {
  if ((memberOf(first, name) ?? null) !== null) return true;
  const capability = CHAINED[name];
  const capabilities = memberOf(first, "capabilities");
  return capability !== undefined && isObject(capabilities) && capabilities[capability] === true;
}

function withInside(first: JsonObject, { name, document }: Member): JsonObject {
  const { capabilities, ...rest } = first;
  const declared = memberOf(document, "capabilities");
  const merged = { ...(isObject(capabilities) ? capabilities : {}), ...(isObject(declared) ? declared : {}) };
  return {
    ...rest,
    ...(Object.keys(merged).length === 0 ? {} : { capabilities: merged }),
    [name]: Object.fromEntries(
      Object.entries(document).filter(
        ([key]) => !MOVED_KEYS.some((moved) => moved.toLowerCase() === key.toLowerCase()),
      ),
    ),
  };
}

function without(object: JsonObject, names: readonly string[]): JsonObject {
  return Object.fromEntries(Object.entries(object).filter(([key]) => !names.includes(key)));
}
