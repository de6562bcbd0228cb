// The import rule: arrows point down only, so that every layer can be read, tested and replaced without those
// above it. Each layer names what it may import; whatever is not named is a breach, and so is a circle.
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join, normalize, resolve } from "node:path";
import { LATER_PIECES } from "../../scripts/build.ts";

const ROOT = resolve(import.meta.dir, "../..");

/** For each layer the layers and packages that it may import; `node:` stands for everything of Node. */
const RULE: Readonly<Record<string, readonly string[]>> = {
  // VERSION is answered here, by what it takes and nothing else
  main: ["world", "plugins", "cli", "cni", "record", "sys"],
  // of netlink only the errors, see below
  world: ["plugins", "cni", "net", "netlink", "ledger", "record", "store", "sys", "ip"],
  plugins: [
    "cni",
    "attachment",
    "delegation",
    "pairing",
    "mesh",
    "dhcp",
    "conflist",
    "net",
    "ipam",
    "ledger",
    "record",
    "store",
    "ip",
    "valibot",
  ],
  // what the plugins that make pairs of interfaces do around their kernel work
  attachment: ["cni", "net", "ledger", "store", "ip", "sys", "valibot"],
  // private links between pods: what labels ask for, what the store has of it, and both ends
  pairing: ["cni", "attachment", "net", "ledger", "store", "db", "ip", "sys", "valibot"],
  // addresses of DHCP servers: the client, the daemon that keeps what it gets, and what the plugin says to it; the plugin
  // itself reaches nothing of Node, see below
  dhcp: ["cni", "net", "ledger", "store", "db", "ip", "sys", "node:", "valibot"],
  // the network between nodes: its configuration, what it consists of on a node, and who else is in it
  mesh: ["conflist", "cni", "net", "ipam", "store", "db", "ip", "sys", "valibot"],
  // of plugins only the catalogue, see below; conf and package.json are data that a command carries
  cli: [
    ...[
      "runtime",
      "conflist",
      "delegation",
      "pairing",
      "mesh",
      "dhcp",
      "net",
      "ipam",
      "ledger",
      "record",
      "store",
      "cni",
      "plugins",
      "ip",
      "sys",
      "log",
    ],
    ...["conf", "package.json", "node:", "citty", "valibot"],
  ],
  runtime: ["conflist", "cni", "ip", "sys", "net", "node:", "valibot"],
  // other networks that a plugin hands a container on to, and what is written down about them
  delegation: ["conflist", "cni", "ledger", "store", "ip", "sys", "valibot"],
  // network lists and the order of the verbs over them, for runtimes and for plugins that delegate to lists
  conflist: ["cni", "sys", "valibot"],
  net: ["netlink", "ip", "sys"],
  ipam: ["store", "ledger", "cni", "ip", "sys", "db", "valibot"],
  // calls written down: what a record looks like, what is masked in it, and the file that it goes to
  record: ["cni", "sys", "valibot"],
  // of cni only types, see below
  ledger: ["store", "cni", "sys", "db"],
  store: ["db", "sys", "bun:sqlite"],
  netlink: ["sys"],
  cni: ["ip", "sys", "valibot"],
  ip: [],
  log: ["consola/core", "sys"],
  sys: ["bun:ffi"],
  // at build time only
  db: ["drizzle-orm", "node:"],
};

interface Import {
  readonly file: string;
  /** A path from the root, or the name of a package. */
  readonly target: string;
  readonly typesOnly: boolean;
  /** True if it is loaded only when it is asked for. */
  readonly lazy: boolean;
}

const IMPORT =
  /^(?:import|export)\s(?<types>type\s)?[^;"']*?from\s+"(?<from>[^"]+)"|^import\s+"(?<bare>[^"]+)"|\bimport\(\s*"(?<lazy>[^"]+)"\s*\)|\brequire\(\s*"(?<required>[^"]+)"/gm;

const FILES = [...new Bun.Glob("{src,db}/**/*.ts").scanSync(ROOT)]
  .filter((file) => !file.endsWith(".d.ts"))
  .sort();

function importsOf(file: string, text: string): Import[] {
  return [...text.matchAll(IMPORT)].map(({ groups = {} }) => {
    const spelled = groups.from ?? groups.bare ?? groups.lazy ?? groups.required ?? "";
    return {
      file,
      target: spelled.startsWith(".") ? normalize(join(file, "..", spelled)) : spelled,
      typesOnly: groups.types !== undefined,
      lazy: groups.lazy !== undefined,
    };
  });
}

const TEXTS = new Map(FILES.map((file) => [file, readFileSync(join(ROOT, file), "utf8")]));
const IMPORTS = [...TEXTS].flatMap(([file, text]) => importsOf(file, text));

/** The layer of a file or the name of a package: `src/net/veth.ts` is net, `src/log.ts` is log. */
function layerOf(target: string): string {
  if (target.startsWith("node:")) return "node:";
  if (target.startsWith("drizzle-orm/")) return "drizzle-orm";
  const [top = "", second = ""] = target.split("/");
  if (top === "src") return second.replace(/\.ts$/, "");
  return top === "db" || top === "conf" ? top : target;
}

function spelled({ file, target }: Import): string {
  return `${file} -> ${target}`;
}

test("the README names every layer", () => {
  const readme = readFileSync(join(ROOT, "README.md"), "utf8");
  const own = new Set(
    FILES.filter((file) => file.startsWith("src/")).map((file) => file.split("/")[1] ?? ""),
  );
  const lacking = [...own].filter(
    (name) => !readme.includes(`src/${name}${name.endsWith(".ts") ? " " : "/"}`),
  );
  expect(lacking).toEqual([]);
});

test("the scan sees every import", () => {
  // Bun's own scanner leaves out what is types only, but of the rest ours must not miss any
  for (const [file, text] of TEXTS) {
    const scanned = new Bun.Transpiler({ loader: "ts" }).scanImports(text).map(({ path }) => path);
    const ours = importsOf(file, text).map(({ target }) => target);
    for (const path of scanned) {
      expect([file, ...ours]).toContain(path.startsWith(".") ? normalize(join(file, "..", path)) : path);
    }
  }
  expect(IMPORTS.length).toBeGreaterThan(200);
});

test("arrows point down only", () => {
  const breaches = IMPORTS.filter(({ file, target }) => {
    const [from, to] = [layerOf(file), layerOf(target)];
    return from !== to && !(RULE[from] ?? []).includes(to);
  });
  expect(breaches.map(spelled)).toEqual([]);
});

/** What everybody may know of the plugins, and the pieces that the catalogue loads later. */
const CATALOGUE = ["src/plugins/index.ts", "src/plugins/names.ts"];
const PIECES = ["interfaces", "chained", "chained-seldom", "delegating"].map(
  (name) => `src/plugins/${name}.ts`,
);

test("plugins never import each other, and others import their catalogue only", () => {
  const breaches = IMPORTS.filter(({ file, target }) => {
    if (layerOf(target) !== "plugins" || CATALOGUE.includes(target)) return false;
    return file !== "src/plugins/index.ts" && !PIECES.includes(file);
  });
  expect(breaches.map(spelled)).toEqual([]);
});

test("the build knows every piece that is loaded later", () => {
  const later = IMPORTS.filter(
    ({ file, lazy }) => lazy && file !== "src/main.ts" && !file.startsWith("src/cli/"),
  );
  expect(later.map(({ target }) => target).sort()).toEqual(Object.keys(LATER_PIECES).sort());
});

test("the world knows netlink by its errors, and the ledger the protocol by its types", () => {
  const world = IMPORTS.filter(
    ({ file, target }) => file === "src/world.ts" && layerOf(target) === "netlink",
  );
  expect(world.map(({ target }) => target)).toEqual(["src/netlink/message.ts"]);
  expect(TEXTS.get("src/world.ts")).toContain('import { NetlinkError } from "./netlink/message.ts"');
  const ledger = IMPORTS.filter(
    ({ file, target }) => layerOf(file) === "ledger" && layerOf(target) === "cni",
  );
  expect(ledger.filter(({ typesOnly }) => !typesOnly).map(spelled)).toEqual([]);
});

test("queries come into the executable as text only", () => {
  const breaches = [...TEXTS].flatMap(([file, text]) =>
    file.startsWith("db/")
      ? []
      : [
          ...text.matchAll(
            /^(import (?!type )[^;]*"[^"]*db\/(?:[a-z-]*queries|schema|migrations)\.ts"[^;]*;)$/gm,
          ),
        ]
          .map(([statement]) => statement)
          .filter((statement) => !/ with \{\s*type: "macro",?\s*\};$/.test(statement))
          .map((statement) => `${file}: ${statement}`),
  );
  expect(breaches).toEqual([]);
});

test("nobody touches process.stdout, process.stderr or process.stdin", () => {
  const users = [...TEXTS].filter(([, text]) =>
    /process\s*\.\s*std(?:out|err|in)/.test(text.replace(/\/\/.*$|\/\*[\s\S]*?\*\//gm, "")),
  );
  expect(users.map(([file]) => file)).toEqual([]);
});

test("what a plugin call loads has nothing of Node, citty, consola or drizzle in it", () => {
  const reached = new Set(["src/plugins/index.ts", "src/world.ts"]);
  for (const file of reached) {
    for (const { file: from, target, typesOnly } of IMPORTS) {
      if (from !== file || typesOnly || layerOf(target) === "db") continue;
      reached.add(target);
    }
  }
  const heavy = [...reached].filter((target) => /^node:|^citty|^consola|^drizzle|^src\/cli\//.test(target));
  expect(heavy).toEqual([]);
  // the walk went where it should
  expect([...reached]).toContain("src/netlink/codec.ts");
});

test("the client of a database is loaded only where a config shares a store", () => {
  const lazy = IMPORTS.filter(
    ({ file, target, typesOnly }) =>
      !typesOnly && target === "src/ipam/shared-leases.ts" && !file.startsWith("src/cli/"),
  );
  expect(lazy.map(({ file }) => file)).toEqual(["src/ipam/allocation.ts"]);
  expect(TEXTS.get("src/ipam/allocation.ts")).toContain('await import("./shared-leases.ts")');
  const users = IMPORTS.filter(
    ({ target, typesOnly }) => !typesOnly && /\/postgres(?:-\w+)?\.ts$/.test(target),
  );
  expect(new Set(users.map(({ file }) => file.replace(/postgres.*/, "postgres")))).toEqual(
    new Set(["src/ipam/shared-store.ts", "src/store/postgres"]),
  );
  const clients = [...TEXTS].filter(([, text]) => /\bnew Bun\.SQL\b/.test(text));
  expect(clients.map(([file]) => file)).toEqual(["src/store/postgres-client.ts"]);
});

test("no import leads back to where it came from", () => {
  const next = new Map<string, string[]>();
  for (const { file, target, typesOnly } of IMPORTS) {
    if (!typesOnly && TEXTS.has(target)) next.set(file, [...(next.get(file) ?? []), target]);
  }
  const circles: string[] = [];
  const done = new Set<string>();
  const walk = (file: string, way: readonly string[]): void => {
    const at = way.indexOf(file);
    if (at >= 0) circles.push([...way.slice(at), file].join(" -> "));
    if (at >= 0 || done.has(file)) return;
    for (const target of next.get(file) ?? []) walk(target, [...way, file]);
    done.add(file);
  };
  for (const file of FILES) walk(file, []);
  expect(circles).toEqual([]);
});

test("a breach and a circle are seen", () => {
  const text =
    'import {\n  a,\n} from "../cli/x.ts";\nimport type { B } from "node:fs";\nconst c = await import("./d.ts");\n';
  expect(importsOf("src/net/a.ts", text)).toEqual([
    { file: "src/net/a.ts", target: "src/cli/x.ts", typesOnly: false, lazy: false },
    { file: "src/net/a.ts", target: "node:fs", typesOnly: true, lazy: false },
    { file: "src/net/a.ts", target: "src/net/d.ts", typesOnly: false, lazy: true },
  ]);
  expect([layerOf("src/cli/x.ts"), layerOf("node:fs"), layerOf("src/log.ts")]).toEqual([
    "cli",
    "node:",
    "log",
  ]);
});
