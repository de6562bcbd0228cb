// Network namespaces as an operator names them: a path that pins one. Opening tells a namespace from any other
// file, and knows our own; making and deleting pin and unpin one the way `ip netns` does.
import { makeDirectory, parentOf, removeFile } from "../sys/directory.ts";
import { type FileStatus, OpenFlag, openFile, statDescriptor, statFile } from "../sys/files.ts";
import { type Descriptor, isSystemError } from "../sys/libc.ts";
import {
  bindMount,
  enterNamespace,
  inNetworkNamespace,
  Namespace,
  networkNamespaceCookie,
  ownNetworkNamespace,
  unmount,
  unshareNamespaces,
} from "../sys/namespace.ts";
import { currentBootId } from "../sys/process.ts";

/** Where `ip netns` pins namespaces by name. */
export const NETNS_DIRECTORY = "/var/run/netns";

/** Why a path can't be used as a network namespace. */
export type NetnsProblem = "missing" | "not a network namespace" | "unreadable";

/** A path that is no usable network namespace. */
export class NetnsError extends Error {
  override readonly name = "NetnsError";

  constructor(
    readonly path: string,
    readonly problem: NetnsProblem,
    options?: { readonly cause?: unknown },
  ) {
    super(`network namespace ${JSON.stringify(path)} is ${problem}`, options);
  }
}

/** An open network namespace: it stays alive while this is open, whatever happens to the path. */
export class Netns implements Disposable {
  readonly #descriptor: Descriptor;

  constructor(
    readonly path: string,
    descriptor: Descriptor,
    /** The inode on nsfs: two namespaces are the same one exactly if it is equal. */
    readonly inode: bigint,
  ) {
    this.#descriptor = descriptor;
  }

  /** The descriptor, for IFLA_NET_NS_FD and setns. */
  get fd(): number {
    return this.#descriptor.fd;
  }

  [Symbol.dispose](): void {
    this.#descriptor.close();
  }
}

/** Opens the namespace that `path` pins; throws NetnsError. */
export function openNetns(path: string): Netns {
  let descriptor: Descriptor;
  try {
    descriptor = openFile(path, OpenFlag.readOnly);
  } catch (error) {
    throw new NetnsError(path, isSystemError(error, "ENOENT", "ENOTDIR") ? "missing" : "unreadable", {
      cause: error,
    });
  }
  const status = statDescriptor(descriptor.fd);
  using own = ownNetworkNamespace();
  // namespaces live on a file system of their own (nsfs), so a file on any other is none
  if (status.device !== statDescriptor(own.fd).device) {
    descriptor.close();
    throw new NetnsError(path, "not a network namespace");
  }
  return new Netns(path, descriptor, status.inode);
}

/** True if `netns` is the namespace that this process itself is in. */
export function isOwnNetns(netns: Netns): boolean {
  using own = ownNetworkNamespace();
  return statDescriptor(own.fd).inode === netns.inode;
}

/** Returns the inode of the namespace that `path` pins, or undefined where nothing is. Opens nothing. */
export function netnsInode(path: string): bigint | undefined {
  return path === "" || path.includes("\0") ? undefined : statFile(path)?.inode;
}

/**
 * Returns what tells the namespace from every other one that this machine ever had or will have, in one word. Where the
 * kernel has no cookies (before Linux 5.14) it is made of the inode, which a later namespace may get. Throws NetnsError
 * or SystemError.
 */
export function netnsIdentity(netns: Netns): string {
  const cookie = inNetns(netns, networkNamespaceCookie);
  return `${currentBootId()}/${cookie ?? `inode-${netns.inode}`}`;
}

/** Runs `work`, synchronously, inside the namespace and returns what it returns. Throws NetnsError or SystemError. */
export function inNetns<T>(netns: Netns, work: () => T): T {
  try {
    return inNetworkNamespace(netns.fd, netns.path, work);
  } catch (error) {
    // a namespace of another kind lives on nsfs too, and only entering tells it from one of ours
    if (isSystemError(error, "EINVAL") && error.call === `setns ${netns.path}`) {
      throw new NetnsError(netns.path, "not a network namespace", { cause: error });
    }
    throw error;
  }
}

/** Moves this process into the namespace at `path` for good; throws NetnsError or SystemError. */
export function enterNetns(path: string): void {
  using netns = openNetns(path);
  enterNamespace(netns.fd, Namespace.network, path);
}

/** Returns the path that a name stands for: `pod1` is /var/run/netns/pod1, anything with a slash is a path. */
export function netnsPath(nameOrPath: string): string {
  return nameOrPath.includes("/") ? nameOrPath : `${NETNS_DIRECTORY}/${nameOrPath}`;
}

/** Makes a network namespace and pins it at `path`; throws SystemError, EEXIST where something is already. */
export function createNetns(path: string): void {
  makeDirectory(parentOf(path), 0o755);
  openFile(path, OpenFlag.create | OpenFlag.exclusive, 0o444).close();
  using home = ownNetworkNamespace();
  try {
    unshareNamespaces(Namespace.network);
    try {
      bindMount("/proc/thread-self/ns/net", path);
    } finally {
      enterNamespace(home.fd, Namespace.network, "own network namespace");
    }
  } catch (error) {
    removeFile(path);
    throw error;
  }
}

/** Unpins the namespace at `path` and removes the name; a missing one is success. Throws SystemError. */
export function deleteNetns(path: string): void {
  if (statFile(path) === undefined) return;
  try {
    unmount(path);
  } catch (error) {
    // nothing mounted there: a name that an interrupted creation left
    if (!isSystemError(error, "EINVAL")) throw error;
  }
  removeFile(path);
}

/** Returns a path to every network namespace that has a name under NETNS_DIRECTORY or a process that this one can see. */
export function visibleNetnses(): string[] {
  const names = (folder: string, pattern: string, rest: string) =>
    statFile(folder) === undefined
      ? []
      : [...new Bun.Glob(pattern).scanSync({ cwd: folder, onlyFiles: false })].map(
          (name) => `${folder}/${name}${rest}`,
        );
  const paths = new Map<bigint, string>();
  for (const path of [...names(NETNS_DIRECTORY, "*", ""), ...names("/proc", "[0-9]*", "/ns/net")]) {
    const inode = statIfAllowed(path)?.inode;
    if (inode !== undefined && !paths.has(inode)) paths.set(inode, path);
  }
  return [...paths.values()];
}

/** True if a process that this one can see is in the namespace at `path`; false where there is none. */
export function isInhabited(path: string): boolean {
  const netns = statFile(path);
  if (netns === undefined) return false;
  const processes = new Bun.Glob("[0-9]*").scanSync({ cwd: "/proc", onlyFiles: false });
  for (const process of processes) {
    const own = statIfAllowed(`/proc/${process}/ns/net`);
    if (own?.inode === netns.inode && own.device === netns.device) return true;
  }
  return false;
}

function statIfAllowed(path: string): FileStatus | undefined {
  try {
    return statFile(path);
  } catch (error) {
    // it has ended meanwhile, or is somebody else's, and then not in a namespace of ours
    if (isSystemError(error, "ESRCH", "EACCES", "EPERM")) return undefined;
    throw error;
  }
}
