// The programs that tests drive or compare with and that npm can't bring: on Debian as root the packages of TOOLS,
// and with Go at hand the newest cnitool and reference plugins, built once into .cache, which outlives node_modules. Run it to
// install what is missing; import it to learn what is there.
import { existsSync, mkdirSync, renameSync } from "node:fs";
import { join, resolve } from "node:path";

const ROOT = resolve(import.meta.dir, "..");
/** Where what is dear to make is kept: `npm ci`, which a changed lock file calls for, empties node_modules. */
export const CACHE_FOLDER = join(ROOT, ".cache");
const CACHE = join(CACHE_FOLDER, "warren-tools");

// what was kept in node_modules before is taken along
for (const name of ["warren-tools", "warren-vm"]) {
  const former = join(ROOT, "node_modules/.cache", name);
  if (existsSync(join(CACHE_FOLDER, name)) || !existsSync(former)) continue;
  mkdirSync(CACHE_FOLDER, { recursive: true });
  renameSync(former, join(CACHE_FOLDER, name));
}

/** Programs by the Debian package that has them. */
const TOOLS: Readonly<Record<string, string>> = {
  ip: "iproute2",
  nft: "nftables",
  iptables: "iptables",
  podman: "podman",
  containerd: "containerd",
  runc: "runc",
  crun: "crun",
  busybox: "busybox-static",
  "qemu-system-x86_64": "qemu-system-x86",
  mke2fs: "e2fsprogs",
  curl: "curl",
  // with it come the libraries of the server, which is only taken out of its package
  psql: "postgresql-client-15",
  modprobe: "kmod",
  wg: "wireguard-tools",
  strace: "strace",
  dot: "graphviz",
  "rsvg-convert": "librsvg2-bin",
  tmux: "tmux",
  zsh: "zsh",
  fish: "fish",
  chromium: "chromium",
  node: "nodejs",
};

/** Programs whose package would start a service when it is installed: they are only taken out of it. */
const EXTRACTED: Readonly<Record<string, string>> = { promtool: "prometheus", postgres: "postgresql-15" };
const EXTRACTED_FOLDER = join(CACHE, "extracted");

const REFERENCE_PLUGINS = [
  ...["main/bridge", "main/loopback", "main/macvlan", "main/ptp", "main/host-device", "main/vlan"],
  ...["main/ipvlan", "main/dummy", "main/tap"],
  ...["ipam/host-local", "ipam/static", "ipam/dhcp"],
  ...["meta/tuning", "meta/portmap", "meta/bandwidth", "meta/firewall", "meta/sbr", "meta/vrf"],
];

/** Where administration programs are, which an ordinary user's PATH leaves out. */
const SEARCH_PATH = `${process.env.PATH ?? ""}:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/go/bin:${EXTRACTED_FOLDER}/usr/bin:${EXTRACTED_FOLDER}/usr/lib/postgresql/15/bin`;

/** A tool that tests may need: its path, or why it is not there. */
export type Tool =
  | { readonly path: string; readonly reason?: undefined }
  | { readonly path?: undefined; readonly reason: string };

function found(name: string): Tool {
  const path = Bun.which(name, { PATH: SEARCH_PATH });
  return path === null ? { reason: `${name} is not installed (bun scripts/tools.ts)` } : { path };
}

function built(name: string): Tool {
  const path = name === "" ? CACHE : join(CACHE, name);
  const complete = name === "" ? join(CACHE, "bridge") : path;
  if (existsSync(complete)) return { path };
  const missing = found("go").path === undefined ? "there is no Go to build it" : "run: bun scripts/tools.ts";
  return { reason: `${name === "" ? "the reference plugins are" : `${name} is`} not there; ${missing}` };
}

/** What is there now. */
export const tools = {
  /** The Go cnitool. */
  get cnitool(): Tool {
    return built("cnitool");
  },
  /** The folder of the reference plugins. */
  get referencePlugins(): Tool {
    return built("");
  },
  /** One of them, which an older set may lack. */
  referencePlugin: built,
  /** A program by its name. */
  program: found,
};

function run(command: readonly string[], env: Readonly<Record<string, string>> = {}, cwd = ROOT): boolean {
  const { exitCode, stderr } = Bun.spawnSync([...command], {
    cwd,
    env: { ...process.env, ...env },
    stdin: "ignore",
  });
  if (exitCode === 0) return true;
  console.log(`  failed: ${command.join(" ")}\n  ${stderr.toString().trim().split("\n").at(-1) ?? ""}`);
  return false;
}

/** Installs missing packages and returns what it did, in words. */
function installPackages(): string {
  const missing = Object.entries(TOOLS).filter(([name]) => found(name).path === undefined);
  if (missing.length === 0) return "all there";
  const packages = missing.map(([, name]) => name);
  if (process.getuid?.() !== 0 || found("apt-get").path === undefined) {
    return `${packages.join(", ")} missing; only root on Debian can install them here`;
  }
  const quietly = { DEBIAN_FRONTEND: "noninteractive" };
  const install = ["apt-get", "install", "--yes", "--no-install-recommends", ...packages];
  const done = run(install, quietly) || (run(["apt-get", "update"], quietly) && run(install, quietly));
  return `${done ? "installed" : "could not install"} ${packages.join(", ")}`;
}

/** Takes programs out of packages that are not installed and returns what it did, in words. */
function extractPrograms(): string {
  const missing = Object.entries(EXTRACTED).filter(([name]) => found(name).path === undefined);
  if (missing.length === 0) return "all there";
  if (found("apt-get").path === undefined) return "none: only Debian's packages are known";
  mkdirSync(EXTRACTED_FOLDER, { recursive: true });
  const outcomes = missing.map(([name, package_]) => {
    const isThere = run(["apt-get", "download", package_], {}, EXTRACTED_FOLDER);
    const [file] = [...new Bun.Glob(`${package_}_*.deb`).scanSync(EXTRACTED_FOLDER)];
    const done =
      isThere && file !== undefined && run(["dpkg-deb", "--extract", file, "."], {}, EXTRACTED_FOLDER);
    return `${name} ${done ? "extracted" : "not extracted"}`;
  });
  return outcomes.join(", ");
}

/** Builds cnitool and the reference plugins if they are missing and returns what it did, in words. */
function buildReferences(): string {
  const names = ["cnitool", ...REFERENCE_PLUGINS.map((plugin) => plugin.slice(plugin.indexOf("/") + 1))];
  if (names.every((name) => built(name).path !== undefined)) return "all there";
  const go = found("go").path;
  if (go === undefined) return "no Go here, so no cnitool and no reference plugins";
  mkdirSync(CACHE, { recursive: true });
  const source = "github.com/containernetworking";
  const plugins = REFERENCE_PLUGINS.map((plugin) => `${source}/plugins/plugins/${plugin}@latest`);
  const env = { GOBIN: CACHE, CGO_ENABLED: "0" };
  const builds = [["cnitool", [`${source}/cni/cnitool@latest`]] as const, ["plugins", plugins] as const];
  return builds
    .map(([name, packages]) => `${name} ${run([go, "install", ...packages], env) ? "built" : "not built"}`)
    .join(", ");
}

/** Installs what is missing and prints what it did. */
export function installTools(): void {
  console.log(`programs: ${installPackages()}`);
  console.log(`programs that are only taken out of their packages: ${extractPrograms()}`);
  console.log(`cnitool and reference plugins in ${CACHE}: ${buildReferences()}`);
}

if (import.meta.main) installTools();
