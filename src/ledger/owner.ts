// Who an entry of the store belongs to: the attachment, the pod that it is for, and the namespace and boot that
// tell later whether it can still be alive.
import type { Owner } from "../../db/conditions.ts";
import type { CniArguments } from "../cni/arguments.ts";
import type { Attachment } from "../cni/plugin.ts";
import { statFile } from "../sys/files.ts";
import { currentBootId } from "../sys/process.ts";

export type { Owner };

/** Returns the attachment as messages name it. */
export function describeOwner({ network, containerId, ifname }: Owner): string {
  return `container ${containerId}, interface ${ifname} of network ${network}`;
}

/** What is written down about the attachment that an entry is for. */
export interface Holder extends Owner {
  readonly podNamespace: string | null;
  readonly podName: string | null;
  readonly podUid: string | null;
  readonly netns: string;
  /** The namespace's inode, or null where the path leads nowhere. */
  readonly netnsInode: string | null;
  readonly bootId: string;
  readonly createdAtMs: number;
}

/** Returns the pod's name with its namespace, or the name alone where the runtime knows no namespaces, as podman. */
export function podOf(entry: Pick<Holder, "podNamespace" | "podName">): string | undefined {
  if (entry.podName === null || entry.podName === "") return undefined;
  return (entry.podNamespace ?? "") === "" ? entry.podName : `${entry.podNamespace}/${entry.podName}`;
}

/** Returns what to write down about an attachment that is being made now. The namespace is not opened. */
export function holderOf(network: string, attachment: Attachment, args: CniArguments): Holder {
  return {
    network,
    containerId: attachment.containerId,
    ifname: attachment.ifname,
    podNamespace: args.K8S_POD_NAMESPACE ?? null,
    podName: args.K8S_POD_NAME ?? null,
    podUid: args.K8S_POD_UID ?? null,
    netns: attachment.netns,
    netnsInode: inodeOf(attachment.netns),
    bootId: currentBootId(),
    createdAtMs: Date.now(),
  };
}

function inodeOf(netns: string): string | null {
  return netns === "" ? null : (statFile(netns)?.inode.toString() ?? null);
}

/** True if the namespace that an entry was made for is not there any more, or another one stands in its place. */
export function netnsIsGone(entry: { readonly netns: string; readonly netnsInode: string | null }): boolean {
  if (entry.netns === "") return false;
  const inode = inodeOf(entry.netns);
  return inode === null || (entry.netnsInode !== null && entry.netnsInode !== inode);
}
