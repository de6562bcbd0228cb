// `warren pair`: a link that is tied by hand: a pair between two namespaces, or a vxlan, vlan or macvlan inside one. No
// network, plugin or store has a part in it, so it is there until `pair --delete`, or until a namespace of it goes.
import type { ArgsDef } from "citty";
import { CniError, ErrorCode } from "../../cni/error.ts";
import { formatPrefix } from "../../ip/prefix.ts";
import { log } from "../../log.ts";
import {
  type DirectEnd,
  ForeignLinkError,
  LinkTakenError,
  MissingParentError,
  tieNamespaces,
  tieToHost,
  untie,
} from "../../net/direct-link.ts";
import { MissingFeatureError } from "../../net/feature.ts";
import { UnfitMasterError } from "../../net/master.ts";
import { formatMirror, MirrorError } from "../../net/mirror.ts";
import { type Netns, NetnsError, openNetns } from "../../net/netns.ts";
import type { Link } from "../../net/veth.ts";
import { VniTakenError } from "../../net/vxlan.ts";
import { writeStdout } from "../../sys/stdio.ts";
import { givenFlags, operatorCommand } from "../command.ts";
import { Interruption } from "../interruption.ts";
import { findNetns } from "../netns-argument.ts";
import { printTable } from "../terminal/table.ts";
import { type EndWish, type PairWish, pairWishOf } from "./wish.ts";

const flags = {
  netns: {
    type: "string",
    alias: "n",
    valueHint: "NETNS,LINK[,ADDRESS/LENGTH ...]",
    description:
      "An end in this namespace: a name, a path, pid:NUMBER, podman:NAME, docker:NAME or ctr:NAME; behind the addresses mirror:{ingress|egress|both}:INTERFACE may stand",
  },
  pid: {
    type: "string",
    alias: "p",
    valueHint: "PID,LINK[,...]",
    description: "An end in a process's namespace",
  },
  docker: {
    type: "string",
    alias: "d",
    valueHint: "NAME,LINK[,...]",
    description: "An end in a container of docker",
  },
  current: {
    type: "string",
    alias: "c",
    valueHint: "LINK[,...]",
    description: "An end in the namespace of this call",
  },
  vxlan: {
    type: "string",
    alias: ["x", "X"],
    valueHint: "PARENT,REMOTE,VNI[,port=PORT][,mtu=MTU]",
    description: "Make the one end a vxlan to another node",
  },
  vlan: {
    type: "string",
    alias: "V",
    valueHint: "PARENT,ID",
    description: "Make the one end a vlan of an interface",
  },
  macvlan: {
    type: "string",
    alias: "M",
    valueHint: "PARENT,MODE",
    description: "Make the one end a macvlan: bridge, private, vepa (also: default) or passthru",
  },
  mtu: { type: "string", valueHint: "MTU", description: "The MTU of what is made" },
  delete: { type: "boolean", description: "Remove the named ends, of a pair both with one of them" },
  "delete-netns": { type: "string", alias: "N", valueHint: "NETNS,LINK", description: "As --delete --netns" },
  "delete-pid": { type: "string", alias: "P", valueHint: "PID,LINK", description: "As --delete --pid" },
  "delete-docker": {
    type: "string",
    alias: "D",
    valueHint: "NAME,LINK",
    description: "As --delete --docker",
  },
  json: { type: "boolean", description: "Answer with JSON" },
} satisfies ArgsDef;

/** An end as it is shown. */
interface ShownEnd {
  readonly netns: string;
  readonly link: string;
  readonly kind: string;
  readonly mtu: number;
  readonly addresses: readonly string[];
  readonly mirrors: readonly string[];
}

export const command = operatorCommand({
  name: "pair",
  description: "Tie two namespaces by a pair of interfaces, or one to another node or to the host",
  args: flags,
  run({ args, rawArgs }) {
    const wish = pairWishOf(givenFlags(rawArgs, flags), args.delete === true);
    // what was begun is finished, or taken back, before a signal counts
    using _ = new Interruption();
    try {
      const ends = wish.verb === "delete" ? removed(wish.ends) : made(wish);
      if (args.json === true) writeStdout(`${JSON.stringify(ends, null, 4)}\n`);
      else if (wish.verb !== "delete") {
        printTable(
          ends.map((end) => ({
            ...end,
            netns: end.netns || "(here)",
            addresses: end.addresses.join(" "),
            mirrors: end.mirrors.join(" "),
          })),
        );
      }
    } catch (error) {
      throw explained(error);
    }
    return 0;
  },
});

/** Opens the namespaces, all of them before anything is made. */
function opened(stack: DisposableStack, wish: EndWish): DirectEnd {
  const path = wish.netns === undefined ? "/proc/thread-self/ns/net" : findNetns(wish.netns).path;
  const netns: Netns = stack.use(openNetns(path));
  return { netns, name: wish.name, addresses: wish.addresses, mirrors: wish.mirrors };
}

function made(wish: Exclude<PairWish, { verb: "delete" }>): ShownEnd[] {
  using stack = new DisposableStack();
  if (wish.verb === "stand") {
    const end = opened(stack, wish.end);
    return [shownEnd(wish.end, tieToHost(end, wish.parent, wish.foundation, wish.mtu))];
  }
  const [one, other] = wish.ends;
  const links = tieNamespaces(opened(stack, one), opened(stack, other), wish.mtu);
  return [shownEnd(one, links[0]), shownEnd(other, links[1])];
}

function removed(wishes: readonly EndWish[]): ShownEnd[] {
  using stack = new DisposableStack();
  const ends = wishes.map((wish) => ({ wish, end: opened(stack, wish) }));
  return ends.flatMap(({ wish, end }, index) => {
    const link = untie(end.netns, end.name);
    if (link !== undefined) return [shownEnd(wish, link)];
    // the second end of a pair goes with the first
    if (index === 0) log.info(`there is no interface ${end.name} in ${placeOf(wish)}`);
    return [];
  });
}

function placeOf({ netns }: EndWish): string {
  return netns ?? "this namespace";
}

function shownEnd(wish: EndWish, link: Link): ShownEnd {
  return {
    netns: wish.netns ?? "",
    link: link.name,
    kind: link.kind,
    mtu: link.mtu,
    addresses: wish.addresses.map(formatPrefix),
    mirrors: wish.mirrors.map(formatMirror),
  };
}

/** What the errors of the layers below mean to who called. */
function explained(error: unknown): unknown {
  const explain = (code: number, details: string) =>
    error instanceof Error ? new CniError(code, error.message, details, { cause: error }) : error;
  if (error instanceof LinkTakenError) {
    const kind = error.link.kind || "physical";
    return explain(
      ErrorCode.nameTaken,
      `it is a ${kind} interface; choose another name, or remove it by pair --delete`,
    );
  }
  if (error instanceof NetnsError) return explain(ErrorCode.invalidNetns, "see ip netns, or warren pod list");
  if (error instanceof MissingParentError)
    return explain(ErrorCode.invalidConfig, "name one that ip link shows");
  if (error instanceof ForeignLinkError) {
    return explain(ErrorCode.invalidConfig, "only veth, vxlan, vlan and macvlan are removed");
  }
  if (error instanceof VniTakenError) return explain(ErrorCode.nameTaken, "choose another VNI or port");
  if (error instanceof UnfitMasterError) return explain(ErrorCode.invalidConfig, error.cure);
  if (error instanceof MissingFeatureError) return explain(ErrorCode.unsupportedField, error.cure);
  if (error instanceof MirrorError) return explain(ErrorCode.invalidConfig, "nothing was made");
  return error;
}
