// A plugin put into a list or taken out of it, in the list's text: every other character stays as it is, so that keys
// keep their order, numbers their digits, and what nobody here knows its meaning.
import { CniError, ErrorCode } from "../cni/error.ts";
import { shown } from "../cni/input.ts";
import { isObject, memberOf, parseJson } from "../conflist/json.ts";
import {
  insertItem,
  type JsonList,
  memberAt,
  parseJsonText,
  removeItem,
  replaceValue,
} from "../conflist/json-text.ts";
import { parseNetworkList } from "../conflist/network-list.ts";

/** Where a plugin is to stand: at an end, or next to the one of a type. */
export type Position = "first" | "last" | { readonly before: string } | { readonly after: string };

/** A list's text with its plugins. */
interface ListText {
  readonly list: JsonList;
  readonly types: readonly string[];
}

/**
 * Returns the list with the plugin in `plugin`, a JSON object, as the only one of its type. Without a position it takes
 * the place of one that is there, else the last. `what` names the list in messages. Throws CniError 6 or 7.
 */
export function withPlugin(
  text: string,
  plugin: string,
  position: Position | undefined,
  what: string,
): string {
  const type = pluginTypeOf(plugin);
  const { list, types } = listIn(text, what);
  const [own, ...more] = types.flatMap((one, index) => (one === type ? [index] : []));
  const item = own === undefined ? undefined : list.items[own];
  if (position === undefined && item !== undefined && more.length === 0) {
    return checked(replaceValue(text, item, plugin), what);
  }
  const place = position ?? (own === undefined ? "last" : { at: own });
  const without = own === undefined ? text : withoutItems(text, type, what);
  const rest = listIn(without, what, true);
  return checked(insertItem(without, rest.list, indexOf(place, rest.types, what), plugin.trim()), what);
}

/** Returns the list without its plugins of that type. Throws CniError 6 or 7, also if there is none or no other. */
export function withoutPlugin(text: string, type: string, what: string): string {
  const { types } = listIn(text, what);
  if (!types.includes(type)) throw unknownType(type, types, what);
  if (types.every((one) => one === type)) {
    throw new CniError(
      ErrorCode.invalidConfig,
      `${what}: ${shown(type)} is its only plugin`,
      "a list without plugins is none: remove the file instead",
    );
  }
  return checked(withoutItems(text, type, what), what);
}

function withoutItems(text: string, type: string, what: string): string {
  let rest = text;
  for (;;) {
    const { list, types } = listIn(rest, what, true);
    const index = types.indexOf(type);
    if (index < 0) return rest;
    rest = removeItem(rest, list, index);
  }
}

function indexOf(place: Position | { readonly at: number }, types: readonly string[], what: string): number {
  if (place === "first") return 0;
  if (place === "last") return types.length;
  if ("at" in place) return place.at;
  const neighbour = "before" in place ? place.before : place.after;
  const index = types.indexOf(neighbour);
  if (index < 0) throw unknownType(neighbour, types, what);
  return "before" in place ? index : index + 1;
}

function unknownType(type: string, types: readonly string[], what: string): CniError {
  const message = `${what}: there is no plugin ${shown(type)}`;
  return new CniError(ErrorCode.invalidConfig, message, `plugins there: ${types.join(", ")}`);
}

/** Returns the type of a plugin's JSON object; throws CniError 6 or 7 for text that is none. */
export function pluginTypeOf(plugin: string): string {
  const document = parseJson(plugin, "the plugin");
  const type = isObject(document) ? memberOf(document, "type") : undefined;
  if (typeof type === "string" && type !== "") return type;
  throw new CniError(
    ErrorCode.invalidConfig,
    `the plugin is ${shown(document)}`,
    'expected an object with a "type"',
  );
}

/** While it is edited a list may be without plugins. */
function listIn(text: string, what: string, mayBeEmpty = false): ListText {
  const document = parseJson(text, what);
  const plugins = isObject(document) ? memberOf(document, "plugins") : undefined;
  const node = memberAt(parseJsonText(text), "plugins")?.value;
  if (!Array.isArray(plugins) || node?.kind !== "list" || (plugins.length === 0 && !mayBeEmpty)) {
    const isSingle = isObject(document) && typeof memberOf(document, "type") === "string";
    throw new CniError(
      ErrorCode.invalidConfig,
      `${what}: "plugins" is ${shown(plugins)}`,
      isSingle
        ? "it is a single config, which has one plugin only: make it a list in a .conflist"
        : "expected a .conflist with a list of plugins",
    );
  }
  const types = plugins.map((plugin: unknown) => {
    const type = isObject(plugin) ? memberOf(plugin, "type") : undefined;
    return typeof type === "string" ? type : "";
  });
  return { list: node, types };
}

/** Nothing is written that a runtime would refuse. */
function checked(text: string, what: string): string {
  parseNetworkList(new TextEncoder().encode(text), what);
  return text;
}
