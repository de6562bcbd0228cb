// A pod's /etc/resolv.conf, made of what its networks say about names (resolv.conf(5)).
import { type Dns, decodeResult, hasDns } from "../../cni/result.ts";
import { CURRENT_VERSION } from "../../cni/version.ts";

/**
 * Returns the text for a pod with these results: what the first of its networks that has anything to say about names says,
 * as with container runtimes. Undefined if none has. Throws CniError 6 for a document that is no result.
 */
export function resolverConfigOf(results: readonly object[]): string | undefined {
  for (const result of results) {
    const version = "cniVersion" in result ? String(result.cniVersion) : CURRENT_VERSION;
    const { dns } = decodeResult(result, version, "result of a network");
    if (hasDns(dns)) return textOf(dns);
  }
  return undefined;
}

function textOf({ nameservers = [], domain = "", search = [], options = [] }: Dns): string {
  const lines: (readonly [keyword: string, words: readonly string[]])[] = [
    ["domain", domain === "" ? [] : [domain]],
    ["search", search],
    ...nameservers.map((server) => ["nameserver", [server]] as const),
    ["options", options],
  ];
  return lines
    .map(([keyword, words]) => [keyword, words.filter((word) => /^[^\s#;]+$/.test(word))] as const)
    .filter(([, words]) => words.length > 0)
    .map(([keyword, words]) => `${keyword} ${words.join(" ")}\n`)
    .join("");
}
