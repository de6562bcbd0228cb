// One plugin of a list, examined: is it there, whose is it, does its schema take the config, does it know the keys and
// the capabilities. Only of a plugin of ours is anything known about its keys; of others it is just said that they are
// there and speak the version.
import { CniError, ErrorCode } from "../../cni/error.ts";
import { type InputPath, refusalsOf } from "../../cni/input.ts";
import type { SchemaParts } from "../../cni/keys.ts";
import type { Plugin } from "../../cni/plugin.ts";
import { POD_ANNOTATIONS } from "../../cni/pod-annotations.ts";
import { isObject, type JsonObject, memberOf } from "../../conflist/json.ts";
import { INEFFECTIVE_KEYS } from "../../pairing/node-settings.ts";
import { loadPlugin } from "../../plugins/index.ts";
import { PLUGIN_NAMES, pluginCalled } from "../../plugins/names.ts";
import { delegatesOthers } from "../delegated-lists.ts";
import { ipamTypeIn, rangeSetsOf } from "../pools.ts";
import { nearestWord } from "../spelling.ts";
import { delegateFolders, examineDelegates, nestedConfigs } from "./delegate-examination.ts";
import { type ConfText, type Finding, findingAt, type Severity } from "./finding.ts";
import { type FoundPlugin, PluginFinder } from "./plugin-finder.ts";
import { examineStores } from "./store-examination.ts";

/** Keys that the protocol and runtimes have for every plugin; what is in them is theirs, too. */
const PROTOCOL_KEYS = ["cniVersion", "name", "type", "capabilities", "runtimeConfig", "args", "prevResult"];

/** Plugins that work on what another one made, and the capability without which some have nothing to do. */
const CHAINED: ReadonlyMap<string, string | undefined> = new Map([
  ["portmap", "portMappings"],
  ["bandwidth", undefined],
  ["firewall", undefined],
  ["tuning", undefined],
  ["sbr", undefined],
  ["vrf", undefined],
  ["netem", undefined],
  ["mesh", undefined],
  ["lat", undefined],
  ["quickack", POD_ANNOTATIONS],
]);

/** Address plugins whose leases may be in a store that nodes share. */
const SHARING: readonly string[] = ["ipam", "static"];

/** A plugin's object in the text of a file. */
export interface PluginSite {
  readonly text: ConfText;
  /** The way to the object. */
  readonly at: InputPath;
  readonly document: JsonObject;
  readonly type: string;
  /** Its number in the whole list, drop-ins included. */
  readonly index: number;
  /** The version that the list is run with. */
  readonly cniVersion: string;
  /** Keys that somebody else reads there. */
  readonly alsoKnown?: readonly string[];
}

type Report = (path: InputPath, severity: Severity, message: string, cure?: string) => void;

/** Returns what is to be said about the plugin, and about the IPAM plugin that it names. */
export async function examinePlugin(site: PluginSite, finder: PluginFinder): Promise<Finding[]> {
  const findings: Finding[] = [];
  const report: Report = (path, severity, message, cure = "") => {
    findings.push(findingAt(site.text, [...site.at, ...path], severity, message, cure));
  };
  const found = await finder.find(site.type);
  reportPresence(site, found, ["type"], report);
  if (site.index === 0 && found.isOurs && CHAINED.has(bareName(site.type))) {
    report(
      ["type"],
      "error",
      `${site.type} is the first plugin, and works on what another one has made`,
      "put it behind a plugin that makes an interface",
    );
  }
  const ipamType = ipamTypeIn(site.document);
  const foundIpam = ipamType === undefined ? undefined : await finder.find(ipamType);
  if (foundIpam !== undefined) reportPresence(site, foundIpam, ["ipam", "type"], report);
  if (foundIpam?.plugin !== undefined) {
    examinePools(site, report);
    if (SHARING.includes(foundIpam.plugin.name)) reportStores(site, report);
  }
  if (found.plugin !== undefined) {
    await examineKeys(site, found.plugin, foundIpam, report);
    examineCapabilities(site, found.plugin, foundIpam, report);
  }
  if (!delegatesOthers(site)) return findings;
  if (pluginCalled(site.type) === "pair") {
    for (const key of INEFFECTIVE_KEYS) {
      if (memberOf(site.document, key) === undefined) continue;
      report([key], "warning", `"${key}" has no effect: links are kept in the store`, "remove it");
    }
  } else {
    examineDelegates(site.document, site.cniVersion, (path, message, cure) =>
      report(path, "error", message, cure),
    );
  }
  return [...findings, ...(await examineNested(site, finder))];
}

/** What stands inside of it is examined as what stands beside it. */
async function examineNested(site: PluginSite, finder: PluginFinder): Promise<Finding[]> {
  const inside = new PluginFinder([...delegateFolders(site.document), ...finder.path]);
  const findings: Finding[] = [];
  for (const { at, version, ...nested } of nestedConfigs(site.document)) {
    const type = memberOf(nested.document, "type");
    if (typeof type !== "string") continue;
    const cniVersion = version === "" ? site.cniVersion : version;
    const one = { text: site.text, at: [...site.at, ...at], type, cniVersion, ...nested };
    findings.push(...(await examinePlugin(one, inside)));
  }
  return findings;
}

function bareName(type: string): string {
  return type.startsWith("warren-") ? type.slice("warren-".length) : type;
}

function reportPresence(
  { cniVersion }: PluginSite,
  { type, file, isOurs, plugin, versions, problem }: FoundPlugin,
  path: InputPath,
  report: Report,
): void {
  if (file === undefined) {
    const names = PLUGIN_NAMES.flatMap((name) => [`warren-${name}`, name]);
    const meant = names.includes(type) ? undefined : nearestWord(type, names);
    const [message, cure] = (problem ?? "").split("; ");
    report(
      path,
      "error",
      message ?? "",
      meant === undefined ? cure : `did you mean ${JSON.stringify(meant)}?`,
    );
    return;
  }
  if (isOurs && plugin === undefined) {
    report(path, "error", `${file} is Warren, which has no plugin called ${JSON.stringify(type)}`);
    return;
  }
  if (versions === undefined) {
    report(path, "error", `${file} does not answer VERSION: ${problem}`, "install another build of it");
  } else if (!versions.includes(cniVersion)) {
    report(
      path,
      "error",
      `${file} speaks ${versions.join(", ")}, and not the list's version ${cniVersion}`,
      "lower cniVersion, or install a newer plugin",
    );
  }
}

/** The schema of an IPAM plugin's own object; undefined for one that we know nothing of. */
function ipamSchemaOf(ipam: FoundPlugin | undefined): SchemaParts | undefined {
  return ipam?.plugin === undefined ? undefined : entriesOf(ipam.plugin.config)?.ipam;
}

function entriesOf(schema: SchemaParts | undefined): SchemaParts["entries"] {
  return schema?.wrapped === undefined ? schema?.entries : entriesOf(schema.wrapped);
}

/** Returns the plugins of ours that this one does the work of where its config has their names as keys. */
async function insidesOf(plugin: Plugin): Promise<ReadonlyMap<string, Plugin>> {
  const inside = new Map<string, Plugin>();
  for (const name of Object.keys(entriesOf(plugin.config) ?? {})) {
    const chained = CHAINED.has(name) ? pluginCalled(name) : undefined;
    if (chained !== undefined) inside.set(name, await loadPlugin(chained));
  }
  return inside;
}

async function examineKeys(
  { document, type, alsoKnown = [] }: PluginSite,
  plugin: Plugin,
  ipam: FoundPlugin | undefined,
  report: Report,
): Promise<void> {
  const told = new Set<string>();
  const refuse = (owner: string, schema: Plugin["config"], at: InputPath, object: unknown) => {
    for (const { path, message, details } of refusalsOf(schema, object, ErrorCode.invalidConfig, owner)) {
      const place = [...at, ...path];
      const key = JSON.stringify(place);
      if (told.has(key)) continue;
      told.add(key);
      const unknown = message.includes("unknown key") ? String(path.at(-1)) : undefined;
      const meant = unknown === undefined ? undefined : nearestIn(schema, path, unknown);
      report(
        place,
        "error",
        message,
        meant === undefined ? details : `did you mean ${JSON.stringify(meant)}?`,
      );
    }
  };
  const name = (key: readonly (string | number)[], owner: string, known: readonly string[]) => {
    if (told.has(JSON.stringify(key))) return;
    const written = String(key.at(-1));
    const meant = nearestWord(written, known);
    report(
      key,
      "warning",
      `${owner} knows no key ${JSON.stringify(written)}, and passes over it`,
      meant === undefined
        ? `it knows ${known.filter((one) => !PROTOCOL_KEYS.includes(one)).join(", ")}`
        : `did you mean ${JSON.stringify(meant)}?`,
    );
  };
  refuse(type, plugin.config, [], document);
  if (ipam?.plugin !== undefined) refuse(ipam.type, ipam.plugin.config, [], document);
  const insides = await insidesOf(plugin);
  for (const [key, chained] of insides) {
    const inside = memberOf(document, key);
    if (isObject(inside)) refuse(`${type}, key ${JSON.stringify(key)}`, chained.config, [key], inside);
  }

  for (const { path, known } of unknownKeys(plugin.config, document, [], [...PROTOCOL_KEYS, ...alsoKnown])) {
    const [top] = path;
    if (top === "ipam" || (typeof top === "string" && insides.has(top))) continue;
    name(path, type, known);
  }
  const ipamSchema = ipamSchemaOf(ipam);
  if (ipam !== undefined && ipamSchema !== undefined) {
    const object = memberOf(document, "ipam");
    for (const { path, known } of unknownKeys(ipamSchema, object, ["ipam"], ["type"])) {
      name(path, ipam.type, known);
    }
  }
  for (const [key, chained] of insides) {
    for (const { path, known } of unknownKeys(chained.config, memberOf(document, key), [key], [])) {
      name(path, `warren-${key}`, known);
    }
  }
}

function reportStores({ document }: PluginSite, report: Report): void {
  for (const { path, severity, message, cure, unknown } of examineStores(document)) {
    const meant = unknown === undefined ? undefined : nearestWord(unknown.word, unknown.known);
    report(path, severity, message, meant === undefined ? cure : `did you mean ${JSON.stringify(meant)}?`);
  }
}

function examinePools({ document }: PluginSite, report: Report): void {
  try {
    rangeSetsOf(document);
  } catch (error) {
    if (!(error instanceof CniError)) throw error;
    report(["ipam"], "error", error.message, error.details);
  }
}

interface UnknownKey {
  readonly path: InputPath;
  readonly known: readonly string[];
}

/** Finds the keys that no schema has, at every depth that the schema describes. */
function unknownKeys(
  schema: SchemaParts,
  value: unknown,
  at: InputPath,
  alsoKnown: readonly string[],
): UnknownKey[] {
  if (schema.wrapped !== undefined) return unknownKeys(schema.wrapped, value, at, alsoKnown);
  const { entries, item } = schema;
  if (Array.isArray(value)) {
    if (item === undefined) return [];
    return value.flatMap((one, index) => unknownKeys(item, one, [...at, index], []));
  }
  if (!isObject(value) || entries === undefined || schema.type === "loose_object") return [];
  const known = [...new Set([...Object.keys(entries), ...alsoKnown])];
  return Object.keys(value).flatMap((key): UnknownKey[] => {
    const spelled = known.find((one) => one.toLowerCase() === key.toLowerCase());
    if (spelled === undefined) return [{ path: [...at, key], known }];
    const inside = alsoKnown.includes(spelled) ? undefined : entries[spelled];
    return inside === undefined ? [] : unknownKeys(inside, value[key], [...at, key], []);
  });
}

/** Returns the key of a strict object that is the nearest to one that it refused. */
function nearestIn(schema: SchemaParts, path: InputPath, word: string): string | undefined {
  let parts: SchemaParts | undefined = schema;
  for (const step of path.slice(0, -1)) {
    while (parts?.wrapped !== undefined) parts = parts.wrapped;
    parts = typeof step === "number" ? parts?.item : parts?.entries?.[step];
  }
  return nearestWord(word, Object.keys(entriesOf(parts) ?? {}));
}

/** Returns the capabilities that a plugin reads: the keys of what runtimes hand to it. */
function capabilitiesOf(plugin: Plugin | undefined): string[] {
  return Object.keys(entriesOf(entriesOf(plugin?.config)?.runtimeConfig) ?? {});
}

function handsOnAny(plugin: Plugin): boolean {
  let schema = entriesOf(plugin.config)?.runtimeConfig;
  while (schema?.wrapped !== undefined) schema = schema.wrapped;
  return schema?.type === "loose_object";
}

function examineCapabilities(
  { document, type }: PluginSite,
  plugin: Plugin,
  ipam: FoundPlugin | undefined,
  report: Report,
): void {
  const capabilities = memberOf(document, "capabilities");
  const declared = isObject(capabilities) ? capabilities : {};
  const known = [...capabilitiesOf(plugin), ...capabilitiesOf(ipam?.plugin)];
  // an IPAM plugin of somebody else's may know any, and so may the networks that a plugin hands capabilities on to
  const knowsAll = (ipam !== undefined && ipam.plugin === undefined) || handsOnAny(plugin);
  for (const capability of Object.keys(declared)) {
    if (known.includes(capability) || knowsAll) continue;
    const meant = nearestWord(capability, known);
    const reads = known.length === 0 ? "it knows none" : `it knows ${known.join(", ")}`;
    report(
      ["capabilities", capability],
      "warning",
      `${type} does not know the capability ${JSON.stringify(capability)}: what a runtime hands over is lost`,
      meant === undefined ? reads : `did you mean ${JSON.stringify(meant)}?`,
    );
  }
  const needed = CHAINED.get(plugin.name);
  const works = plugin.name === "quickack" && memberOf(document, "enabled") === true;
  if (needed !== undefined && declared[needed] !== true && !works) {
    report(
      ["type"],
      "warning",
      `${type} does not declare the capability ${JSON.stringify(needed)}, so that it never gets any`,
      `add "capabilities": {${JSON.stringify(needed)}: true}`,
    );
  }
}
