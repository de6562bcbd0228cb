// A throwaway machine for labs: network and mount namespaces of its own, in which /run and /var/lib/cni are empty
// and Warren is installed with the networks of the lab. Everything is made in memory and belongs to these namespaces, so nothing
// of it outlives the last process inside, not even after kill -9, and nothing reaches the real machine.
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path";
import conflist from "../../../conf/lab-status-gc.conflist" with { type: "text" };
import { CniError, ErrorCode } from "../../cni/error.ts";
import { setLoopback } from "../../net/loopback.ts";
import { NETNS_DIRECTORY, openNetns } from "../../net/netns.ts";
import { PLUGIN_NAMES } from "../../plugins/names.ts";
import { DEFAULT_CACHE_FOLDER } from "../../runtime/cache.ts";
import { replaceProcess } from "../../sys/exec.ts";
import { OpenFlag, openFile } from "../../sys/files.ts";
import { type Descriptor, isSystemError } from "../../sys/libc.ts";
import {
  bindMount,
  bindMountTree,
  makeMountsPrivate,
  mountTemporary,
  Namespace,
  unshareNamespaces,
} from "../../sys/namespace.ts";
import { EXECUTABLE } from "../install/installation.ts";
import type { Variables } from "../settings.ts";

/** The network that the sandbox comes with, as conf/lab-status-gc.conflist has it. */
export const NETWORK = {
  name: "ipam-status",
  bridge: "lab0",
  gateway: "192.168.200.254",
  dataDir: "/run/lab/disk/warren",
} as const;

/** Where the sandbox has what a machine has in /opt/cni/bin and /etc/cni/net.d. */
export const FOLDERS = { bin: "/run/lab/bin", conf: "/run/lab/net.d", disk: "/run/lab/disk" } as const;

/** A network's file in the sandbox, and what is in it. */
export interface ConfFile {
  readonly path: string;
  readonly text: string;
}

/** The file of the network that the sandbox comes with. */
export const CONF_FILE: ConfFile = { path: `${FOLDERS.conf}/10-${NETWORK.name}.conflist`, text: conflist };

/** Where the executable is in the sandbox. */
export const INSTALLED = `${FOLDERS.bin}/${EXECUTABLE}`;

/**
 * Moves this process into a new sandbox and returns the variables for the program that it is to become there. Throws
 * CniError, saying what the machine does not allow and how to allow it. Whoever isn't root starts anew on the way.
 */
export function enterSandbox(confFiles: readonly ConfFile[] = [CONF_FILE]): Variables {
  leaveMachine();
  try {
    makeMountsPrivate();
    // opened while its path still leads there: it may be below what is hidden now
    using executable = openFile(readlinkSync("/proc/self/exe"), OpenFlag.readOnly);
    hideState();
    const variables = installWarren(executable, confFiles);
    using own = openNetns("/proc/thread-self/ns/net");
    setLoopback(own, true);
    return variables;
  } catch (error) {
    throw isSystemError(error, "EPERM", "EACCES") ? notAllowed(error.message) : error;
  }
}

/** Gives this process network and mount namespaces of its own, for which it has to be root of something. */
function leaveMachine(): void {
  if (!isRoot()) becomeRoot();
  try {
    unshareNamespaces(Namespace.network | Namespace.mount);
  } catch (error) {
    if (isSystemError(error)) throw notAllowed(error.message);
    throw error;
  }
}

function isRoot(): boolean {
  return process.geteuid?.() === 0;
}

/**
 * Starts this command anew as root of a user namespace. The kernel gives one only to a process without threads, and
 * Bun has some before any line of ours runs, so the `unshare` program does it.
 */
function becomeRoot(): never {
  const program = Bun.which("unshare");
  if (program === null) throw notAllowed("there is no unshare program (util-linux) to make a user namespace");
  const asRoot = [program, "--user", "--map-root-user", "--"];
  const { exitCode, stderr } = Bun.spawnSync([...asRoot, "/proc/self/exe", "--version"], {
    stdout: "ignore",
  });
  if (exitCode !== 0) throw notAllowed(stderr.toString().trim());
  return replaceProcess(program, [...asRoot, process.execPath, ...process.argv.slice(2)], process.env);
}

/** Empties /run, where namespaces are pinned, and /var/lib/cni, where attachments are remembered. */
function hideState(): void {
  mountTemporary("/run");
  if (realpathSync("/var/run") !== "/run") mountTemporary("/var/run");
  mkdirSync(NETNS_DIRECTORY);
  if (existsSync(DEFAULT_CACHE_FOLDER)) {
    mountTemporary(DEFAULT_CACHE_FOLDER);
    return;
  }
  // nothing may be made on the real disk: an empty /var/lib takes its place, with links to all that was there
  const original = "/run/var-lib";
  mkdirSync(original);
  bindMountTree("/var/lib", original);
  mountTemporary("/var/lib");
  for (const name of readdirSync(original)) symlinkSync(`${original}/${name}`, `/var/lib/${name}`);
  mkdirSync(DEFAULT_CACHE_FOLDER);
}

/** Puts the executable, a link for each plugin and the networks in place; returns the variables to find them by. */
function installWarren(executable: Descriptor, confFiles: readonly ConfFile[]): Variables {
  for (const folder of [FOLDERS.bin, FOLDERS.conf]) mkdirSync(folder, { recursive: true });
  writeFileSync(INSTALLED, "");
  bindMount(`/proc/self/fd/${executable.fd}`, INSTALLED);
  for (const plugin of PLUGIN_NAMES) symlinkSync(EXECUTABLE, `${FOLDERS.bin}/warren-${plugin}`);
  for (const { path, text } of confFiles) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }
  const { CNI_ARGS: _args, CAP_ARGS: _capabilities, CNI_IFNAME: _ifname, ...variables } = process.env;
  return {
    ...variables,
    // an ordinary user has no administration programs in PATH, and here is root
    PATH: `${FOLDERS.bin}:${process.env.PATH || "/usr/bin:/bin"}:/usr/sbin:/sbin`,
    NETCONFPATH: FOLDERS.conf,
    CNI_PATH: FOLDERS.bin,
    WARREN: INSTALLED,
  };
}

/** Switches of the kernel that keep ordinary users from having namespaces, with the value that does so. */
const SWITCHES = [
  { name: "user.max_user_namespaces", forbids: "0", allow: "10000" },
  { name: "kernel.unprivileged_userns_clone", forbids: "0", allow: "1" },
  { name: "kernel.apparmor_restrict_unprivileged_userns", forbids: "1", allow: "0" },
] as const;

function notAllowed(problem: string): CniError {
  if (isRoot()) {
    return new CniError(
      ErrorCode.ioFailure,
      `this machine does not let root make namespaces (${problem})`,
      "in a container, start it with --privileged",
    );
  }
  const forbidding = SWITCHES.filter(({ name, forbids }) => settingOf(name) === forbids);
  const cures = forbidding.map(({ name, allow }) => `sysctl -w ${name}=${allow}`);
  return new CniError(
    ErrorCode.ioFailure,
    `this machine does not let ordinary users make namespaces (${problem})`,
    [
      "run it as root",
      ...(cures.length === 0 ? [] : [`or allow it to all, as root: ${cures.join("; ")}`]),
    ].join(", "),
  );
}

function settingOf(name: string): string | undefined {
  try {
    return readFileSync(`/proc/sys/${name.replaceAll(".", "/")}`, "utf8").trim();
  } catch {
    // this kernel has no such switch
    return undefined;
  }
}
