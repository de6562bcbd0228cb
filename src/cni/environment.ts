// What a runtime says in the environment: the verb and, for most verbs, which attachment (SPEC.md, "Parameters").
// All missing variables are reported at once; the rules of which verb needs what are skel's (cni pkg/skel).
import { CniError, ErrorCode } from "./error.ts";
import { shown } from "./input.ts";
import { checkContainerId, checkInterfaceName } from "./names.ts";
import { isVerb, type Verb } from "./version.ts";

/** The CNI_* variables of one call; those that the verb doesn't need may be empty. */
export interface Environment {
  readonly verb: Verb;
  readonly containerId: string;
  readonly netns: string;
  readonly ifname: string;
  /** CNI_ARGS as it came. */
  readonly args: string;
  /** The folders of CNI_PATH, where delegates are searched. */
  readonly path: readonly string[];
  /** True if the container may share the plugin's own network namespace. */
  readonly netnsOverride: boolean;
}

/** The process's variables by name. */
export type Variables = Readonly<Record<string, string | undefined>>;

const ATTACHMENT: readonly Verb[] = ["ADD", "CHECK", "DEL"];

/** Each variable in skel's order, the verbs that require it, and the rule that its value must keep. */
const REQUIREMENTS: readonly {
  readonly name: string;
  readonly verbs: readonly Verb[];
  readonly check?: (value: string) => void;
}[] = [
  { name: "CNI_CONTAINERID", verbs: ATTACHMENT, check: checkContainerId },
  { name: "CNI_NETNS", verbs: ["ADD", "CHECK"] },
  { name: "CNI_IFNAME", verbs: ATTACHMENT, check: checkInterfaceName },
  { name: "CNI_PATH", verbs: ["ADD", "CHECK", "DEL", "GC", "STATUS"] },
];

/** Returns the checked environment of a call; throws CniError 4 naming what is missing or malformed. */
export function parseEnvironment(variables: Variables): Environment {
  const command = variables.CNI_COMMAND ?? "";
  const verb = isVerb(command) ? command : undefined;
  const missing: string[] = command === "" ? ["CNI_COMMAND"] : [];
  for (const requirement of REQUIREMENTS) {
    const value = variables[requirement.name] ?? "";
    if (verb === undefined || !requirement.verbs.includes(verb)) continue;
    if (value === "") missing.push(requirement.name);
    else requirement.check?.(value);
  }
  if (missing.length > 0) {
    throw new CniError(ErrorCode.invalidEnvironment, `required env variables [${missing.join(",")}] missing`);
  }
  if (verb === undefined) {
    throw new CniError(ErrorCode.invalidEnvironment, `unknown CNI_COMMAND: ${command}`, shown(command));
  }
  const netns = variables.CNI_NETNS ?? "";
  if (netns.includes("\0"))
    throw new CniError(ErrorCode.invalidEnvironment, "CNI_NETNS contains a NUL", shown(netns));
  const override = (variables.CNI_NETNS_OVERRIDE ?? "").toLowerCase();
  return {
    verb,
    containerId: variables.CNI_CONTAINERID ?? "",
    netns,
    ifname: variables.CNI_IFNAME ?? "",
    args: variables.CNI_ARGS ?? "",
    path: (variables.CNI_PATH ?? "").split(":").filter((folder) => folder !== ""),
    netnsOverride: override === "1" || override === "true",
  };
}
