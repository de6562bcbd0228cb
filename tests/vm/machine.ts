// Virtual machines with Debian's own kernel, for what the test host's kernel lacks (802.1q, VLAN filtering, dummy links)
// and for older kernels. Each boots from a disk that holds the executable, Bun, iproute2, nft and the kernel's network
// modules, and that outlasts a boot, as that of a real machine; the suite inside speaks by the serial console.
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { CACHE_FOLDER, tools } from "../../scripts/tools.ts";
import { clusterTemplate, postgres, programs } from "../support/postgres.ts";
import { WARREN } from "../support/sandbox.ts";
import { REFERENCE_FOLDER } from "./case.ts";

const CACHE = join(CACHE_FOLDER, "warren-vm");

/** What a machine is made of; each is there or has a reason why not. */
export const NEEDED = [
  tools.program("qemu-system-x86_64"),
  tools.program("busybox"),
  tools.program("mke2fs"),
  tools.program("apt-get"),
  tools.program("dpkg"),
  tools.program("modprobe"),
  tools.program("wg"),
  tools.program("strace"),
  process.arch === "x64" ? {} : { reason: "the machine is one for x86_64" },
  process.getuid?.() === 0 ? {} : { reason: "only root can put its file system together" },
] as const;

/** Programs that the suite uses inside, beside those that busybox is. */
const PROGRAMS = [
  "ip",
  "bridge",
  "nft",
  "unshare",
  "setpriv",
  "sysctl",
  "modprobe",
  "rmmod",
  "tc",
  "wg",
  "strace",
];

/** Parts of the kernel's modules that networks are made of. */
const MODULES = ["kernel/net", "kernel/lib", "kernel/crypto", "kernel/arch/x86/crypto"];
const DRIVERS = ["veth", "dummy", "macvlan", "macvtap", "ifb", "vrf", "vxlan", "wireguard", "ipvlan", "tun"];

function run(command: readonly string[], options: { readonly cwd?: string } = {}): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...command], { ...options, stdin: "ignore" });
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: ${stderr.toString().trim()}`);
  return stdout.toString();
}

/** Fetches and unpacks Debian's kernel for virtual machines, once; returns the folder that it is unpacked in. */
function kernelFolder(): string {
  const folder = join(CACHE, "kernel");
  if (existsSync(join(folder, "boot"))) return folder;
  const download = join(CACHE, "download");
  mkdirSync(download, { recursive: true });
  const lookUp = () =>
    /Depends: (linux-image-\S+)/.exec(run(["apt-cache", "depends", "linux-image-cloud-amd64"]))?.[1];
  let name: string | undefined;
  try {
    name = lookUp();
  } catch {
    // a machine whose package lists were never fetched
    run(["apt-get", "update"]);
    name = lookUp();
  }
  if (name === undefined) throw new Error("Debian's packages have no linux-image-cloud-amd64");
  run(["apt-get", "download", name], { cwd: download });
  const [file] = readdirSync(download).filter((one) => one.endsWith(".deb"));
  run(["dpkg", "-x", join(download, file ?? ""), `${folder}.new`]);
  cpSync(`${folder}.new`, folder, { recursive: true });
  rmSync(`${folder}.new`, { recursive: true });
  rmSync(download, { recursive: true });
  return folder;
}

/** Copies a program and the libraries that the loader would find for it, to the same places below `root`. */
function copyProgram(root: string, path: string, name = path): void {
  const { stdout } = Bun.spawnSync(["ldd", path]);
  const libraries = [...stdout.toString().matchAll(/(\/\S+) \(0x/g)].flatMap(([, library]) => library ?? []);
  for (const [from, to] of [[path, name], ...libraries.map((library) => [library, library])] as const) {
    mkdirSync(dirname(join(root, to)), { recursive: true });
    cpSync(from, join(root, to), { dereference: true });
  }
}

/**
 * Enters namespaces, as the long options of util-linux's nsenter say. In an emulated machine busybox, which no loader has
 * to link, starts ten times as fast; but it has no --wdns, and runs its own applet where a program of that name is given by
 * its name alone.
 */
const NSENTER = `#!/bin/sh
options= folder=.
while [ $# -gt 0 ]; do
  case $1 in
    --) shift; break ;;
    --target) options="$options -t $2"; shift 2 ;;
    --wdns=*) folder=\${1#--wdns=}; shift ;;
    -*) options="$options $1"; shift ;;
    *) break ;;
  esac
done
program=$1
shift
[ -x "/sbin/$program" ] && program=/sbin/$program
exec /bin/busybox nsenter $options -- /bin/sh -c 'cd "$0" && exec "$@"' "$folder" "$program" "$@"
`;

const INIT = `#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/ TERM=dumb WARREN_EXECUTABLE=/opt/bin/warren
mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mkdir -m 1777 /dev/shm
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
ip link set lo up
/opt/bin/bun /suite.js "$machine" "$boot"
echo "VM-END $?"
# no clean end: what is mounted stays so
sync
poweroff -f
`;

const DISK_SIZE = "512M";

/** Copies a PostgreSQL server, to where the machine's own tests look for its programs and for a cluster that is made. */
async function copyServer(root: string): Promise<void> {
  // .../usr/lib/postgresql/VERSION/bin, wherever the package was unpacked
  const folder = programs();
  const version = basename(dirname(folder));
  const [library, share] = [`usr/lib/postgresql/${version}`, `usr/share/postgresql/${version}`];
  const unpacked = resolve(folder, "../../../../..");
  copyProgram(root, join(folder, "postgres"), `/${library}/bin/postgres`);
  run(["ln", "-s", `/${library}/bin/postgres`, join(root, "bin/postgres")]);
  for (const path of [`${library}/lib/plpgsql.so`, share]) {
    cpSync(join(unpacked, path), join(root, path), { recursive: true, dereference: true });
  }
  cpSync("/usr/share/zoneinfo/Etc/UTC", join(root, "usr/share/zoneinfo/Etc/UTC"), { dereference: true });
  cpSync(await clusterTemplate(), join(root, ".cache/warren-tools/postgres-cluster"), { recursive: true });
}

/** Puts the machine's file system together and returns the path of a disk with it. */
async function makeDisk(folder: string, kernel: string, suite: string): Promise<string> {
  const root = join(folder, "root");
  for (const name of [
    "proc",
    "sys",
    "dev",
    "tmp",
    "run",
    "var/lib",
    "var/tmp",
    "opt/bin",
    "bin",
    "sbin",
    "etc",
    "disk",
  ]) {
    mkdirSync(join(root, name), { recursive: true });
  }
  const busybox = Bun.which("busybox") ?? "";
  copyProgram(root, busybox, "/bin/busybox");
  for (const applet of run([busybox, "--list"])
    .split("\n")
    .filter((one) => one !== "")) {
    if (!PROGRAMS.includes(applet) && applet !== "busybox" && applet !== "nsenter")
      run(["ln", "-sf", "/bin/busybox", join(root, "bin", applet)]);
  }
  for (const name of PROGRAMS) {
    const path = Bun.which(name, { PATH: `/usr/sbin:/sbin:${process.env.PATH}` });
    if (path === null) throw new Error(`${name} is not installed`);
    // where the kernel itself looks for modprobe, too
    copyProgram(root, path, `/sbin/${name}`);
  }
  copyProgram(root, process.execPath, "/opt/bin/bun");
  copyProgram(root, WARREN, "/opt/bin/warren");
  for (const link of readdirSync(dirname(WARREN)).filter((name) => name.startsWith("warren-"))) {
    run(["ln", "-sf", readlinkSync(join(dirname(WARREN), link)), join(root, "opt/bin", link)]);
  }
  for (const name of ["bridge", "macvlan", "ipvlan", "vlan", "dummy", "vrf", "host-local"]) {
    const { path } = tools.referencePlugin(name);
    if (path !== undefined) copyProgram(root, path, join(REFERENCE_FOLDER, name));
  }
  if (postgres.reason === undefined) await copyServer(root);
  const modules = join(kernel, "lib/modules");
  const [version = ""] = readdirSync(modules);
  for (const part of MODULES) {
    const from = join(modules, version, part);
    if (existsSync(from)) cpSync(from, join(root, "lib/modules", version, part), { recursive: true });
  }
  const drivers = join(modules, version, "kernel/drivers/net");
  for (const name of DRIVERS) {
    for (const file of [`${name}.ko`, name]) {
      const from = join(drivers, file);
      if (existsSync(from))
        cpSync(from, join(root, "lib/modules", version, "kernel/drivers/net", file), { recursive: true });
    }
  }
  run(["depmod", "-b", root, version]);
  cpSync(suite, join(root, "suite.js"));
  writeFileSync(join(root, "sbin/nsenter"), NSENTER, { mode: 0o755 });
  writeFileSync(join(root, "init"), INIT, { mode: 0o755 });
  run(["ln", "-s", "/run", join(root, "var/run")]);
  const disk = join(folder, "disk");
  run(["mke2fs", "-q", "-t", "ext2", "-d", root, disk, DISK_SIZE]);
  rmSync(root, { recursive: true });
  return disk;
}

/** How machines are run otherwise than for a suite of minutes. */
export interface MachineOptions {
  /** How long a machine may take, from its start to its end, also where many others run beside it. */
  readonly lifetimeMs?: number;
  /** Variables of the program in it. */
  readonly variables?: Readonly<Record<string, string>>;
}

const LIFETIME_MS = 20 * 60_000;
const ROOT_DISK = "root=/dev/nvme0n1 rootfstype=ext2 rootwait rw init=/init";

/**
 * What costs an emulated processor much and shows nothing here: protections of the kernel and clearing of memory; a clock
 * that is a device's; addresses that are others in each process, so that all of its code has to be translated again; and
 * the string instructions (feature 112, rep_good), which are fast in silicon and slow loops here.
 */
const SPARED = "mitigations=off init_on_alloc=0 tsc=reliable norandmaps clearcpuid=112";

/** What came over the serial console, line by line, and why it is not all if the program did not come to its end. */
export interface Console {
  readonly lines: readonly string[];
  readonly problem?: Error;
}

/** Starts a machine and returns what came over the serial console until it was off. */
async function boot(
  image: string,
  disk: string,
  { machine, number }: { readonly machine: number; readonly number: number },
  { lifetimeMs = LIFETIME_MS, variables = {} }: MachineOptions,
): Promise<Console> {
  // what the kernel does not know becomes a variable of init
  const told = Object.entries({ ...variables, machine, boot: number }).map((one) => one.join("="));
  const emulator = Bun.spawn(
    [
      // one processor: emulating how two of them see each other's memory costs a third more
      ...["qemu-system-x86_64", "-accel", "tcg", "-smp", "1", "-m", "2048"],
      // without the other string instructions, and without protections that cost a lookup or a longer walk at every turn
      ...["-cpu", "max,-erms,-fsrm,-la57,-smap,-smep,-pku"],
      ...["-nographic", "-no-reboot", "-net", "none", "-kernel", image],
      ...["-drive", `file=${disk},format=raw,if=none,id=disk,cache=unsafe`],
      ...["-device", "nvme,drive=disk,serial=disk"],
      ...["-append", `console=ttyS0 panic=-1 quiet ${SPARED} ${ROOT_DISK} ${told.join(" ")}`],
    ],
    { stdin: "ignore", stdout: "pipe", stderr: "pipe", timeout: lifetimeMs, killSignal: "SIGKILL" },
  );
  const console = await new Response(emulator.stdout).text();
  await emulator.exited;
  const lines = console.split("\n").map((line) => line.replace(/\r$/, ""));
  if (lines.includes("VM-END 0")) return { lines };
  const problem = `boot ${number} of machine ${machine} did not end well:\n${lines.slice(-40).join("\n")}`;
  return { lines, problem: new Error(problem) };
}

/**
 * Boots machines side by side, each with a disk of its own and as often as told for it, one time after the other, and each
 * time runs the program in `script` (a TypeScript file) in it with Bun, which gets the number of the machine, from 0 on,
 * and that of the boot, from 1 on. Returns what came over the serial consoles; a boot that did not end well is the last one
 * of its machine.
 */
export async function runInMachines(
  script: string,
  boots: readonly number[],
  options: MachineOptions = {},
): Promise<Console> {
  const folder = mkdtempSync(join(tmpdir(), "warren-vm-"));
  try {
    const bundle = await Bun.build({ entrypoints: [script], target: "bun" });
    const [output] = bundle.outputs;
    if (!bundle.success || output === undefined)
      throw new AggregateError(bundle.logs, `${script} can't be bundled`);
    const suite = join(folder, "suite.js");
    await Bun.write(suite, output);
    const kernel = kernelFolder();
    const [image = ""] = readdirSync(join(kernel, "boot")).filter((name) => name.startsWith("vmlinuz"));
    const disk = await makeDisk(folder, kernel, suite);
    const consoles = await Promise.all(
      boots.map(async (count, machine): Promise<Console> => {
        const own = `${disk}-${machine}`;
        run(["cp", "--sparse=always", disk, own]);
        const lines: string[] = [];
        for (let number = 1; number <= count; number++) {
          const { lines: more, problem } = await boot(
            join(kernel, "boot", image),
            own,
            { machine, number },
            options,
          );
          lines.push(...more);
          if (problem !== undefined) return { lines, problem };
        }
        return { lines };
      }),
    );
    const problem = consoles.find((one) => one.problem !== undefined)?.problem;
    return { lines: consoles.flatMap(({ lines }) => lines), ...(problem === undefined ? {} : { problem }) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
