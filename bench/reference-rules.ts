// The rules that the reference plugins make for many pods. Making a thousand by its own ADDs takes a quarter of an
// hour, because each reads all the rules there are, so one real ADD is the pattern and the others are its copies.
import { assertSuccess } from "./command.ts";

/** What a pod's rules are told apart by. */
export interface PodRules {
  /** The pod's address. */
  readonly address: string;
  readonly hostPort: number;
  readonly container: string;
}

/** Returns the rules of this network namespace. */
export function currentRules(): string {
  return assertSuccess(["iptables-save", "-t", "nat"]);
}

/** Returns, as input of iptables-restore, what `rules` has of the pod `pattern`, again for each of `pods`. */
export function copiedRules(rules: string, pattern: PodRules, pods: readonly PodRules[]): string {
  // chains are called CNI-, what for, and a hash of network and container
  const hash = /^:CNI-(?<hash>[0-9a-f]{24}) /m.exec(rules)?.groups?.hash?.slice(0, 21);
  if (hash === undefined) throw new Error(`the reference plugins made no chain of their own:\n${rules}`);
  const own = rules.split("\n").filter((line) => line.includes(hash));
  const copy = (line: string, pod: PodRules, index: number) =>
    line
      .replaceAll(hash, index.toString(16).padStart(21, "0"))
      .replaceAll(`${pattern.address}/32`, `${pod.address}/32`)
      .replaceAll(`${pattern.address}:`, `${pod.address}:`)
      .replaceAll(`dport ${pattern.hostPort} `, `dport ${pod.hostPort} `)
      .replaceAll(`dports ${pattern.hostPort} `, `dports ${pod.hostPort} `)
      .replaceAll(`\\"${pattern.container}\\"`, `\\"${pod.container}\\"`);
  const lines = pods.flatMap((pod, index) => own.map((line) => copy(line, pod, index + pod.hostPort)));
  const isChain = (line: string) => line.startsWith(":");
  return ["*nat", ...lines.filter(isChain), ...lines.filter((line) => !isChain(line)), "COMMIT", ""].join(
    "\n",
  );
}

/** Adds rules, behind those that are there, in this network namespace. */
export function addRules(rules: string): void {
  assertSuccess(["iptables-restore", "--noflush"], rules);
}
