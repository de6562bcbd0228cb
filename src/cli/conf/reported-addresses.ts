// A list with `rewrite` in it: from that plugin on the result has addresses that nobody has, and two things follow that
// an operator may not have meant. Ports lead nowhere behind it, and CHECK of what stands before it fails.
import { versionAllows } from "../../cni/version.ts";
import { memberOf } from "../../conflist/json.ts";
import type { NetworkList } from "../../conflist/network-list.ts";
import { type ConfText, type Finding, findingAt } from "./finding.ts";

/** Plugins that work with the addresses of the result before them. */
const ADDRESS_READERS: readonly string[] = ["portmap", "firewall", "sbr"];

function bareName(type: string): string {
  return type.startsWith("warren-") ? type.slice("warren-".length) : type;
}

/** Returns what is to be said about made-up addresses in a list whose plugins stand in the text. */
export function examineReportedAddresses(text: ConfText, network: NetworkList): Finding[] {
  const index = network.plugins.findIndex(({ type }) => bareName(type) === "rewrite");
  const rewrite = network.plugins[index];
  if (rewrite === undefined) return [];
  const report = (message: string, cure: string) =>
    findingAt(text, ["plugins", index, "type"], "warning", message, cure);
  const findings = network.plugins
    .slice(index + 1)
    .filter(({ type }) => ADDRESS_READERS.includes(bareName(type)))
    .map(({ type }) =>
      report(
        `${rewrite.type} stands before ${type}, which works with the address that is reported, and nobody has it`,
        `put ${rewrite.type} last`,
      ),
    );
  const keepsReal = memberOf(rewrite.document, "mode") === "annotate-only";
  if (!keepsReal && versionAllows(network.cniVersion, "CHECK") && !network.disableCheck) {
    findings.push(
      report(
        `CHECK of this network fails: what stands before ${rewrite.type} gave other addresses than it reports`,
        'set "disableCheck": true in the list, or "mode": "annotate-only" in the plugin',
      ),
    );
  }
  return findings;
}
