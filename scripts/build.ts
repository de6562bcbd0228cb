// Builds the executable: one file with the runtime in it, and a relative link for each plugin. The typed API is
// used because the command line ignores switches that it doesn't know, and half of these are for safety.
import { mkdirSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { relative, resolve } from "node:path";
import { parseArgs } from "node:util";
import { PLUGIN_NAMES } from "../src/plugins/names.ts";

const ROOT = resolve(import.meta.dir, "..");

/** The platforms that Warren is built for, and the name of the C library there (src/sys/libc.ts). */
const TARGETS = {
  "linux-x64": { bun: "bun-linux-x64", libc: "libc.so.6" },
  "linux-arm64": { bun: "bun-linux-arm64", libc: "libc.so.6" },
  "linux-x64-musl": { bun: "bun-linux-x64-musl", libc: "libc.musl-x86_64.so.1" },
  "linux-arm64-musl": { bun: "bun-linux-arm64-musl", libc: "libc.musl-aarch64.so.1" },
} as const;

type Target = keyof typeof TARGETS;

function isTarget(name: string): name is Target {
  return Object.hasOwn(TARGETS, name);
}

function ownTarget(): Target {
  const name = `linux-${process.arch}`;
  if (process.platform !== "linux" || !isTarget(name)) {
    throw new Error(`Warren runs on Linux on x64 and arm64; this is ${process.platform} on ${process.arch}`);
  }
  return name;
}

/** How every program is compiled: the executable, and the empty one that the bench measures it against. */
export const COMPILED = {
  // root runs this with a working directory and an environment that it does not control
  autoloadDotenv: false,
  autoloadBunfig: false,
  autoloadTsconfig: false,
  autoloadPackageJson: false,
  execArgv: ["--disallow-code-generation-from-strings=strict", "--no-addons", "--no-ffi-cc"],
  jitPolicy: 50,
} as const satisfies Partial<Bun.CompileBuildOptions>;

/**
 * Variables by which the runtime inside can be told to do something else than the program: be a whole Bun
 * (BUN_BE_BUN), take more switches (BUN_OPTIONS), wait for a debugger, write profiles. No build
 * option turns them off, so their names are made ones that no environment can have. The counts are those of the
 * pinned Bun; another number means another Bun, and somebody has to look what became of them.
 */
const RUNTIME_SWITCHES = [
  { name: "BUN_BE_BUN", occurrences: 1 },
  { name: "BUN_OPTIONS", occurrences: 2 },
  { name: "BUN_INSPECT", occurrences: 11 },
  { name: "BUN_BYTECODE_", occurrences: 4 },
] as const;

async function disableRuntimeSwitches(file: string): Promise<void> {
  const image = Buffer.from(await Bun.file(file).arrayBuffer());
  for (const { name, occurrences } of RUNTIME_SWITCHES) {
    const found: number[] = [];
    for (let at = image.indexOf(name); at >= 0; at = image.indexOf(name, at + 1)) found.push(at);
    if (found.length !== occurrences) {
      throw new Error(
        `${name} stands ${found.length} times in the executable, expected ${occurrences}: look why`,
      );
    }
    for (const at of found) image[at] = 1;
  }
  // by plain writes to a file that is not there: pages that come into the cache this way make every start 1 ms faster
  rmSync(file);
  writeFileSync(file, image, { mode: 0o755 });
}

function definitions(libc: string): Record<string, string> {
  return { WARREN_LIBC: JSON.stringify(libc) };
}

/** Returns a build plugin that takes the module in `file` when `module` is imported. */
function replaced(module: string, file: string): Bun.BunPlugin {
  return {
    name: `replaced ${module}`,
    setup: (build) => {
      build.onResolve({ filter: /./ }, ({ path, importer }) =>
        path.startsWith(".") && resolve(importer, "..", path) === resolve(ROOT, module)
          ? { path: file }
          : undefined,
      );
    },
  };
}

const WORLD = "src/world.ts";
const CHAINED = "src/plugins/chained.ts";

/** The pieces of the program that are loaded only where a config asks for them, and the piece that each stands behind. */
export const LATER_PIECES: Readonly<Record<string, string>> = {
  "src/plugins/interfaces.ts": WORLD,
  [CHAINED]: WORLD,
  "src/plugins/chained-seldom.ts": CHAINED,
  "src/plugins/delegating.ts": WORLD,
  "src/plugins/mesh.ts": WORLD,
  "src/plugins/dhcp.ts": WORLD,
  "src/ipam/shared-leases.ts": WORLD,
};

/** Small modules that several of these pieces share: they come with the world, which costs less than a module of each. */
const SHARED_BY_PIECES = [
  "src/attachment/addition.ts",
  "src/attachment/object-detail.ts",
  "src/net/peer.ts",
  "src/net/rehearsal.ts",
  "src/sys/local-stream.ts",
  "src/sys/socket-calls.ts",
];

/**
 * Returns a build plugin that has each of these pieces import the piece that it stands behind, which is there by then or
 * is needed anyway: for most, everything that a plugin call begins with. What they share with it would otherwise become a
 * module for each combination of pieces that shares something: a dozen, and each import that crosses from one to another
 * costs every call two microseconds.
 */
function inPieces(behind: Readonly<Record<string, string>>, shared: readonly string[]): Bun.BunPlugin {
  const importsOf = (file: string) => (file === WORLD ? shared : [behind[file] ?? []].flat());
  return {
    name: "in pieces",
    setup: (build) => {
      build.onLoad({ filter: /\.ts$/ }, async ({ path }) => {
        const imports = importsOf(relative(ROOT, path)).map((file) => `import "${resolve(ROOT, file)}";\n`);
        if (imports.length === 0) return undefined;
        return { contents: `${imports.join("")}${await Bun.file(path).text()}`, loader: "ts" };
      });
    },
  };
}

/**
 * Bundles the operator's commands into one module and returns its path. What they share with the plugins stands in
 * it again: otherwise it would become dozens of small modules, and loading them would cost each plugin 2 ms.
 */
async function bundleCommands(folder: string, libc: string): Promise<string> {
  const result = await Bun.build({
    entrypoints: [`${ROOT}/src/cli/index.ts`],
    target: "bun",
    format: "esm",
    define: definitions(libc),
  });
  const [output] = result.outputs;
  if (!result.success || output === undefined) throw new AggregateError(result.logs, "the build failed");
  const file = `${resolve(folder)}/.commands-${process.pid}.js`;
  await Bun.write(file, output);
  return file;
}

/** Builds the executable for `target` into `folder` and returns its path; throws if the build fails. */
export async function build(target: Target, folder: string): Promise<string> {
  const { bun, libc } = TARGETS[target];
  mkdirSync(folder, { recursive: true });
  const file = `${folder}/warren`;
  const fresh = `${folder}/.warren-${process.pid}`;
  const startedAt = new Date();
  const commands = await bundleCommands(folder, libc);
  const result = await Bun.build({
    entrypoints: [`${ROOT}/src/main.ts`],
    target: "bun",
    format: "esm",
    minify: true,
    bytecode: true,
    // in pieces (plugins/index.ts), and the operator's commands are loaded by no plugin
    splitting: true,
    plugins: [replaced("src/cli/index.ts", commands), inPieces(LATER_PIECES, SHARED_BY_PIECES)],
    sourcemap: "none",
    define: definitions(libc),
    compile: {
      target: bun,
      outfile: fresh,
      ...COMPILED,
    },
  });
  rmSync(commands);
  if (!result.success) throw new AggregateError(result.logs, "the build failed");
  await disableRuntimeSwitches(fresh);
  // as old as the sources that were read: what is edited while the build runs makes the result out of date
  utimesSync(fresh, startedAt, startedAt);
  // renamed into place: a running executable is never written to, and nobody sees half of one
  renameSync(fresh, file);
  for (const name of PLUGIN_NAMES) {
    const link = `${folder}/warren-${name}`;
    rmSync(link, { force: true });
    symlinkSync("warren", link);
  }
  return file;
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { target: { type: "string" }, folder: { type: "string" } } });
  const target = values.target ?? ownTarget();
  if (!isTarget(target)) {
    console.error(`unknown target ${JSON.stringify(target)}; known are ${Object.keys(TARGETS).join(", ")}`);
    process.exit(2);
  }
  const folder =
    values.folder ?? (values.target === undefined ? `${ROOT}/dist/bin` : `${ROOT}/dist/${target}`);
  const startedAt = performance.now();
  const file = await build(target, folder);
  const size = (Bun.file(file).size / 1e6).toFixed(1);
  console.log(`built ${file} (${size} MB, ${Math.round(performance.now() - startedAt)} ms)`);
}
