// The labels of a pod that speak of its links, wherever they come from, as one set of words. Nothing in them is ever
// more than data: they are compared, parsed and stored, and what they must be is checked here or in link-plan.ts.
import { CniError, ErrorCode } from "../cni/error.ts";
import { shown } from "../cni/input.ts";
import { saysYes } from "../cni/labels.ts";

/** What labels begin with: our own word, and the one of the plugin whose labels many pods have. The first one counts. */
export const PREFIXES = ["warren.pair", "ratchet"] as const;

/** The words behind the prefix that mean something. */
export const KEYS = [
  "pod_name",
  "primary",
  "local_ip",
  "local_ifname",
  "pair_name",
  "pair_ip",
  "pair_ifname",
  "pair_parent_address",
  "parent_address",
  "vni",
  "mtu",
  "mirror",
  "routes",
] as const;

/** One of these words. */
export type LabelKey = (typeof KEYS)[number];

/** What a pod's labels say. Each numbered set (`warren.pair.2.local_ip`) is about another link of the same pod. */
export interface Labels {
  /** The value of the label that is the prefix alone; undefined if there is none. */
  readonly mark: string | undefined;
  /** By number; those without one are number 0. */
  readonly sets: ReadonlyMap<number, ReadonlyMap<LabelKey, string>>;
}

/** Labels by their full names, as one source has them. */
export type LabelSource = Iterable<readonly [name: string, value: string]>;

const NAME = new RegExp(
  `^(?<prefix>${PREFIXES.map((prefix) => prefix.replaceAll(".", "\\.")).join("|")})(?:\\.(?<number>\\d{1,3}))?(?:\\.(?<key>\\w+))?$`,
);

/** True if the name of a label, or of a key of CNI_ARGS, is one of these. */
export function isLabelName(name: string): boolean {
  return NAME.test(name);
}

function isKey(key: string): key is LabelKey {
  return KEYS.some((known) => known === key);
}

/** Returns what the sources say; what an earlier one says counts before a later one, label by label. */
export function readLabels(sources: readonly LabelSource[]): Labels {
  let mark: string | undefined;
  const sets = new Map<number, Map<LabelKey, string>>();
  for (const source of sources) {
    const found = [...source].flatMap(([name, value]) => {
      const { prefix, number = "0", key } = NAME.exec(name)?.groups ?? {};
      return prefix === undefined ? [] : [{ prefix, number: Number(number), key, value }];
    });
    for (const wanted of PREFIXES) {
      for (const { prefix, number, key, value } of found) {
        if (prefix !== wanted) continue;
        if (key === undefined) {
          if (number === 0) mark ??= value;
          continue;
        }
        if (!isKey(key)) continue;
        const set = sets.get(number) ?? new Map<LabelKey, string>();
        if (!set.has(key)) set.set(key, value);
        sets.set(number, set);
      }
    }
  }
  return { mark, sets };
}

/** Returns what a label that can be true or false says; throws CniError 7 naming label and value. */
export function truthOf(name: string, value: string): boolean {
  const says = saysYes(value);
  if (says !== undefined) return says;
  throw new CniError(
    ErrorCode.invalidConfig,
    `label ${name} is ${shown(value)}`,
    "expected true, 1, yes or nothing at all, or false, 0 or no",
  );
}

/** True if the pod is to have links at all; throws CniError 7 for a mark that says neither yes nor no. */
export function isEligible({ mark }: Labels): boolean {
  return mark !== undefined && truthOf(PREFIXES.join(" or "), mark);
}
