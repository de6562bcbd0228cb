// Namespaces of the calling thread. setns and unshare act on one thread only, and JavaScript runs on one, so a
// window is opened, something is made inside it, and the thread goes back; nothing may be awaited in between.
import { dlopen } from "bun:ffi";
import { OpenFlag, openFile } from "./files.ts";
import { checkedInt, checkedPath, Descriptor, isSystemError, LIBC, libc, memory, retried } from "./libc.ts";
import { beginPhase, endPhase } from "./phases.ts";

/** Kinds of namespace, by the flag that setns and unshare take (linux/sched.h). */
export const Namespace = {
  mount: 0x0002_0000,
  uts: 0x0400_0000,
  user: 0x1000_0000,
  network: 0x4000_0000,
} as const;

const MS_BIND = 4096n;
const MS_REC = 16384n;
const MS_PRIVATE = 1n << 18n;
const MS_SLAVE = 1n << 19n;
const MNT_DETACH = 2;

const AF_UNIX = 1;
const SOCK_DGRAM_CLOEXEC = 0o2000002; // SOCK_CLOEXEC is O_CLOEXEC, the same on x86_64 and arm64
const SOL_SOCKET = 1;
const SO_NETNS_COOKIE = 71; // asm-generic/socket.h

// bound when first used: most calls need none of them
let rare: ReturnType<typeof bindRare> | undefined;
function bindRare() {
  return dlopen(LIBC, {
    unshare: { args: ["i32"], returns: "i32" },
    mount: { args: ["cstring", "cstring", "cstring", "u64", "ptr"], returns: "i32" },
    umount2: { args: ["cstring", "i32"], returns: "i32" },
    sethostname: { args: ["buffer", "u64"], returns: "i32" },
    getsockopt: { args: ["i32", "i32", "i32", "buffer", "buffer"], returns: "i32" },
  } as const).symbols;
}
function calls() {
  rare ??= bindRare();
  return rare;
}

/** Opens the calling thread's own network namespace. */
export function ownNetworkNamespace(): Descriptor {
  return openFile("/proc/thread-self/ns/net", OpenFlag.readOnly);
}

/** Moves the calling thread into the namespace that `fd` refers to, for good; throws SystemError. */
export function enterNamespace(fd: number, kind: number, what: string): void {
  checkedInt(fd, "namespace descriptor");
  retried(`setns ${what}`, () => libc.setns(fd, checkedInt(kind, "namespace kind")));
}

/**
 * Runs `work` inside the network namespace that `fd` refers to and returns what it returns. `work` must be
 * synchronous and should only open sockets and write /proc/sys: a thread born meanwhile would stay inside.
 */
export function inNetworkNamespace<T>(fd: number, what: string, work: () => T): T {
  beginPhase(`in ${what}`);
  using home = ownNetworkNamespace();
  enterNamespace(fd, Namespace.network, what);
  try {
    return work();
  } finally {
    // a thread that can't come back would do everything else in the wrong place: the throw ends the call
    enterNamespace(home.fd, Namespace.network, "own network namespace");
    endPhase();
  }
}

/**
 * Runs `work` inside a network namespace that is made for it and returns what it returns. The namespace lives as long
 * as something that was opened in it, such as a socket. The same rules hold as for `inNetworkNamespace`.
 */
export function inFreshNetworkNamespace<T>(work: () => T): T {
  using home = ownNetworkNamespace();
  unshareNamespaces(Namespace.network);
  try {
    return work();
  } finally {
    enterNamespace(home.fd, Namespace.network, "own network namespace");
  }
}

/**
 * Returns the number of the thread's network namespace that no other one gets before the machine boots again, as inodes
 * may; undefined where the kernel has none (before Linux 5.14). Throws SystemError.
 */
export function networkNamespaceCookie(): bigint | undefined {
  using socket = new Descriptor(
    retried("open unix socket", () => libc.socket(AF_UNIX, SOCK_DGRAM_CLOEXEC, 0)),
  );
  const cookie = new BigUint64Array(memory(8).buffer);
  const length = new Uint32Array(memory(4).buffer);
  length[0] = cookie.byteLength;
  try {
    retried("ask for the cookie of a network namespace", () =>
      calls().getsockopt(socket.fd, SOL_SOCKET, SO_NETNS_COOKIE, cookie, length),
    );
  } catch (error) {
    if (isSystemError(error, "ENOPROTOOPT")) return undefined;
    throw error;
  }
  return cookie[0];
}

/** Gives the calling thread new namespaces of these kinds (flags of `Namespace`, or-ed); throws SystemError. */
export function unshareNamespaces(kinds: number): void {
  retried("unshare", () => calls().unshare(checkedInt(kinds, "namespace kinds")));
}

/** Makes `target` show what `source` is; throws SystemError. */
export function bindMount(source: string, target: string): void {
  mountOver(source, target, MS_BIND);
}

/** Makes `target` show what `source` is, with all that is mounted below it; throws SystemError. */
export function bindMountTree(source: string, target: string): void {
  mountOver(source, target, MS_BIND | MS_REC);
}

function mountOver(source: string, target: string, flags: bigint): void {
  checkedPath(source);
  checkedPath(target);
  retried(`mount ${source} on ${target}`, () => calls().mount(source, target, "none", flags, null));
}

/** Mounts an empty file system in memory on `target`; throws SystemError. */
export function mountTemporary(target: string): void {
  checkedPath(target);
  retried(`mount tmpfs on ${target}`, () => calls().mount("tmpfs", target, "tmpfs", 0n, null));
}

/** Keeps every later mount of this mount namespace to itself; throws SystemError. */
export function makeMountsPrivate(): void {
  retried("mount --make-rprivate /", () => calls().mount("none", "/", "none", MS_REC | MS_PRIVATE, null));
}

/** Keeps every later mount of this mount namespace to itself, and still sees those of the one that it was made of. */
export function makeMountsReceiving(): void {
  retried("mount --make-rslave /", () => calls().mount("none", "/", "none", MS_REC | MS_SLAVE, null));
}

/** Mounts on /sys what sysfs shows in the calling thread's network namespace; throws SystemError. */
export function mountSysfs(): void {
  retried("mount sysfs on /sys", () => calls().mount("sysfs", "/sys", "sysfs", 0n, null));
}

/** Gives the calling thread's UTS namespace this name; throws SystemError, EINVAL above 64 bytes. */
export function setHostname(name: string): void {
  const encoded = new TextEncoder().encode(name);
  const bytes = memory(Math.max(1, encoded.length));
  bytes.set(encoded);
  retried(`sethostname ${name}`, () => calls().sethostname(bytes, BigInt(encoded.length)));
}

/** Detaches whatever is mounted on `target`; throws SystemError, EINVAL where nothing is. */
export function unmount(target: string): void {
  checkedPath(target);
  retried(`umount ${target}`, () => calls().umount2(target, MNT_DETACH));
}
