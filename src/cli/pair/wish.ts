// What a call of `warren pair` asks for: ends, and what one of them stands on. The spelling is koko's, with its letters, so
// that its users' scripts go on; whatever it let pass in silence is refused.
import { shown } from "../../cni/input.ts";
import { interfaceNameProblem } from "../../cni/names.ts";
import { parseAddress } from "../../ip/address.ts";
import { formatPrefix, type Prefix, parsePrefix } from "../../ip/prefix.ts";
import type { Foundation } from "../../net/direct-link.ts";
import { type Mirror, parseMirror } from "../../net/mirror.ts";
import { LARGEST_VLAN } from "../../net/vlan.ts";
import { LARGEST_VNI } from "../../net/vxlan.ts";
import { type GivenFlag, UsageError } from "../command.ts";
import { netnsReference } from "../netns-argument.ts";

/** One end as it was spelled. */
export interface EndWish {
  /** A NETNS argument; undefined is the namespace of this process. */
  readonly netns: string | undefined;
  readonly name: string;
  readonly addresses: readonly Prefix[];
  readonly mirrors: readonly Mirror[];
}

/** What is to be done. */
export type PairWish =
  | { readonly verb: "tie"; readonly ends: readonly [EndWish, EndWish]; readonly mtu: number | undefined }
  | {
      readonly verb: "stand";
      readonly end: EndWish;
      readonly parent: string;
      readonly foundation: Foundation;
      readonly mtu: number | undefined;
    }
  | { readonly verb: "delete"; readonly ends: readonly EndWish[] };

/** How the flags that name an end spell its namespace in front of the first comma. */
const PREFIXES: Readonly<Record<string, string>> = {
  netns: "",
  pid: "pid:",
  docker: "docker:",
  "delete-netns": "",
  "delete-pid": "pid:",
  "delete-docker": "docker:",
};

const END = "NETNS,LINK[,ADDRESS/LENGTH ...][,mirror:...]";

/** Returns what the flags ask for; throws UsageError for a call that can't be meant. */
export function pairWishOf(flags: readonly GivenFlag[], deletes: boolean): PairWish {
  const ends = flags.flatMap(({ name, value }) => {
    if (name === "current") return [endOf("--current", undefined, value)];
    const prefix = PREFIXES[name];
    return prefix === undefined ? [] : [endIn(`--${name}`, prefix, value)];
  });
  const foundations = flags.flatMap((flag) => foundationOf(flag) ?? []);
  const mtus = flags.filter(({ name }) => name === "mtu").map(({ value }) => mtuOf(value, "--mtu"));
  if (mtus.length > 1) throw new UsageError("--mtu may be given only once");
  const [one, other, surplus] = ends;
  if (deletes || flags.some(({ name }) => name.startsWith("delete-"))) {
    if (one === undefined || foundations.length > 0 || mtus.length > 0 || ends.some(hasMore)) {
      throw new UsageError("expected: pair --delete -n NETNS,LINK ...");
    }
    return { verb: "delete", ends };
  }
  const [foundation, second] = foundations;
  if (one === undefined || surplus !== undefined || second !== undefined) throw new UsageError(expected());
  if (foundation === undefined) {
    if (other === undefined) throw new UsageError(expected());
    if (one.netns === other.netns && one.name === other.name) {
      throw new UsageError(`both ends are to be ${one.name} in one namespace`);
    }
    return { verb: "tie", ends: [one, other], mtu: mtus[0] };
  }
  if (other !== undefined) throw new UsageError(expected());
  if (foundation.mtu !== undefined && mtus[0] !== undefined) throw new UsageError("the MTU is given twice");
  const { parent, mtu, ...rest } = foundation;
  return { verb: "stand", end: one, parent, foundation: rest.foundation, mtu: mtu ?? mtus[0] };
}

function expected(): string {
  return "expected two ends, or one and --vxlan, --vlan or --macvlan: pair -n NETNS,LINK[,ADDRESS/LENGTH] -n ...";
}

function hasMore({ addresses, mirrors }: EndWish): boolean {
  return addresses.length > 0 || mirrors.length > 0;
}

function endIn(flag: string, prefix: string, text: string): EndWish {
  const comma = text.indexOf(",");
  const place = comma < 0 ? text : text.slice(0, comma);
  const netns = prefix + place;
  if (place === "") throw new UsageError(`${flag} ${shown(text)}: no namespace; expected ${END}`);
  netnsReference(netns);
  return endOf(flag, netns, comma < 0 ? "" : text.slice(comma + 1));
}

function endOf(flag: string, netns: string | undefined, text: string): EndWish {
  const [name = "", ...others] = text.split(",");
  const spelled = netns === undefined ? END.slice("NETNS,".length) : END;
  const problem = name === "" ? { message: "no interface name" } : interfaceNameProblem(name);
  if (problem !== undefined) throw new UsageError(`${flag}: ${problem.message}; expected ${spelled}`);
  const addresses: Prefix[] = [];
  const mirrors: Mirror[] = [];
  for (const other of others) {
    const mirror = parseMirror(other);
    if (mirror !== undefined) {
      mirrors.push(mirror);
      continue;
    }
    const prefix = parsePrefix(other);
    if (prefix === undefined) {
      throw new UsageError(
        `${flag}: ${shown(other)} is no address with its prefix length; expected ${spelled}`,
      );
    }
    if (addresses.some((one) => formatPrefix(one) === formatPrefix(prefix))) {
      throw new UsageError(`${flag} gives ${formatPrefix(prefix)} twice`);
    }
    addresses.push(prefix);
  }
  return { netns, name, addresses, mirrors };
}

interface SpelledFoundation {
  readonly parent: string;
  readonly foundation: Foundation;
  readonly mtu: number | undefined;
}

const MODES = ["bridge", "private", "vepa", "passthru"] as const;

/** Returns what the flag makes an end stand on; undefined for other flags. */
function foundationOf({ name, value }: GivenFlag): SpelledFoundation | undefined {
  const parts = value.split(",");
  const [parent = "", second = "", third = ""] = parts;
  const refuse = (form: string, problem: string) =>
    new UsageError(`--${name} ${shown(value)}: ${problem}; expected ${form}`);
  switch (name) {
    case "vxlan": {
      const form = "PARENT,REMOTE,VNI[,port=PORT][,mtu=MTU]";
      const remote = parseAddress(second);
      if (parent === "" || parts.length < 3) throw refuse(form, "something is missing");
      if (remote === undefined) throw refuse(form, `${shown(second)} is no address`);
      const vni = numberIn(third, 0, LARGEST_VNI);
      if (vni === undefined) throw refuse(form, `a VNI is a number from 0 to ${LARGEST_VNI}`);
      const options = new Map(
        parts.slice(3).map((part) => [part.split("=")[0], part.split(/=(.*)/s)[1] ?? ""]),
      );
      for (const key of options.keys()) {
        if (key !== "port" && key !== "mtu") throw refuse(form, `there is no ${shown(key)}`);
      }
      const [port, mtu] = [options.get("port"), options.get("mtu")];
      const number = port === undefined ? undefined : numberIn(port, 1, 65535);
      if (port !== undefined && number === undefined) throw refuse(form, `${shown(port)} is no port`);
      return {
        parent,
        foundation: { kind: "vxlan", vni, remote, port: number },
        mtu: mtu === undefined ? undefined : mtuOf(mtu, `--vxlan ${shown(value)}: mtu=`),
      };
    }
    case "vlan": {
      const id = numberIn(second, 1, LARGEST_VLAN);
      if (parent === "" || parts.length !== 2 || id === undefined) {
        throw refuse("PARENT,ID", `a VLAN is a number from 1 to ${LARGEST_VLAN}`);
      }
      return { parent, foundation: { kind: "vlan", id }, mtu: undefined };
    }
    case "macvlan": {
      // koko's word for what the kernel does unasked
      const word = second.toLowerCase() === "default" ? "vepa" : second.toLowerCase();
      const mode = MODES.find((one) => one === word);
      if (parent === "" || parts.length !== 2 || mode === undefined) {
        throw refuse("PARENT,MODE", `a mode is ${MODES.join(", ")} or default`);
      }
      return { parent, foundation: { kind: "macvlan", mode }, mtu: undefined };
    }
    default:
      return undefined;
  }
}

function numberIn(text: string, lowest: number, highest: number): number | undefined {
  const number = /^\d{1,9}$/.test(text) ? Number(text) : -1;
  return number >= lowest && number <= highest ? number : undefined;
}

/** 68 is the least that IPv4 has to pass (RFC 791). */
function mtuOf(text: string, flag: string): number {
  const mtu = numberIn(text, 68, 65535);
  if (mtu === undefined) throw new UsageError(`${flag} ${shown(text)}: expected a number from 68 to 65535`);
  return mtu;
}
