// Whether links are as they should be: waiting for a pod, up, or broken, and then how. What the store has is compared with
// what is in the containers.
import { shown } from "../cni/input.ts";
import { problemOf, type WrittenEnd } from "./ends.ts";
import { type Side, sideOf } from "./link-row.ts";
import type { EverythingPaired, PairEndRow, PairLinkRow, PairPodRow } from "./links.ts";

/** A link as it is found. */
export interface LinkFinding {
  readonly state: "waiting" | "up" | "broken";
  /** What it waits for, or what is wrong; empty for a link that is up. */
  readonly reason: string;
  /** `veth` or `vxlan`; empty while it waits. */
  readonly kind: string;
}

function isOfLink(link: PairLinkRow, row: PairEndRow): boolean {
  return (
    row.network === link.network &&
    row.podNamespace === link.podNamespace &&
    row.primaryName === link.primaryName &&
    row.primaryIfname === link.primaryIfname
  );
}

/** Returns the pod at one side of a link, if it has come. */
function podAt({ pods }: EverythingPaired, link: PairLinkRow, side: Side): PairPodRow | undefined {
  const { podName } = sideOf(link, side);
  return pods.find(
    (pod) =>
      pod.network === link.network && pod.podNamespace === link.podNamespace && pod.podName === podName,
  );
}

/** Returns the links of a pod. */
export function linksAt(
  { links }: EverythingPaired,
  pod: Pick<PairPodRow, "network" | "podNamespace" | "podName">,
): PairLinkRow[] {
  return links.filter(
    (link) =>
      link.network === pod.network &&
      link.podNamespace === pod.podNamespace &&
      (link.primaryName === pod.podName || link.pairName === pod.podName),
  );
}

/** Looks at a link in the containers of this node, from the side of `from` first. Throws NetlinkError. */
export function examineLink(
  everything: EverythingPaired,
  link: PairLinkRow,
  from: Side = "primary",
): LinkFinding {
  const rows = everything.ends.filter((row) => isOfLink(link, row));
  const [first] = rows;
  if (first === undefined) return { state: "waiting", reason: waitingFor(everything, link), kind: "" };
  const ends = rows
    .toSorted((left, right) => Number(right.side === from) - Number(left.side === from))
    .map(
      (row): WrittenEnd => ({
        link,
        row,
        pod: podAt(everything, link, row.side === "primary" ? "primary" : "pair"),
      }),
    );
  for (const end of ends) {
    const other = ends.find((one) => one.row.side !== end.row.side);
    const problem = problemOf(end, other);
    if (problem !== undefined) return { state: "broken", reason: problem, kind: first.kind };
  }
  return { state: "up", reason: "", kind: first.kind };
}

function waitingFor(everything: EverythingPaired, link: PairLinkRow): string {
  const missing = (["primary", "pair"] as const)
    .filter((side) => podAt(everything, link, side) === undefined)
    .map((side) => shown(sideOf(link, side).podName));
  return missing.length === 0
    ? `both pods are known: warren status ${link.network} makes what is missing here`
    : `waits for ${missing.join(" and ")}`;
}
