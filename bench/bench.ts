// How fast is an ADD, a DEL, the start of the program, next to the reference plugins? Both are run in turn by exec,
// as a runtime does it, in a throwaway namespace, and only ratios within one run mean anything.
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { cpus, release, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { tools } from "../scripts/tools.ts";
import { formatTable } from "../src/cli/table.ts";

const ROOT = resolve(import.meta.dir, "..");
const OURS = join(ROOT, "dist/bin");
const ROUNDS = 40;

/** A program under measurement: where its plugins are, and how its config calls them. */
interface Contestant {
  readonly folder: string;
  readonly bridge: string;
  readonly ipam: string;
  readonly subnet: string;
}

function contestants(): Record<"reference" | "warren", Contestant> {
  const reference = tools.referencePlugins;
  if (reference.path === undefined) throw new Error(`there is nothing to compare with: ${reference.reason}`);
  return {
    reference: { folder: reference.path, bridge: "bridge", ipam: "host-local", subnet: "10.201.0.0/16" },
    warren: { folder: OURS, bridge: "warren-bridge", ipam: "warren-ipam", subnet: "10.202.0.0/16" },
  };
}

function config(name: string, one: Contestant, masquerade: boolean, dataDir: string): Uint8Array {
  return new TextEncoder().encode(
    JSON.stringify({
      cniVersion: "1.0.0",
      name: `${name}-${masquerade ? "nat" : "plain"}`,
      type: one.bridge,
      bridge: `bench-${name.slice(0, 4)}`,
      isGateway: true,
      ipMasq: masquerade,
      ipam: { type: one.ipam, dataDir, subnet: one.subnet, routes: [{ dst: "0.0.0.0/0" }] },
    }),
  );
}

function timed(file: string, env: Record<string, string>, stdin: Uint8Array): number {
  const startedAt = performance.now();
  const { exitCode, stdout, stderr } = Bun.spawnSync([file], { env, stdin });
  const ms = performance.now() - startedAt;
  if (exitCode !== 0) throw new Error(`${file} ${env.CNI_COMMAND} failed: ${stdout}${stderr}`);
  return ms;
}

function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((left, right) => left - right);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

/** Runs all scenarios in the namespace that this process is in and prints the table. */
function measure(): void {
  const folder = mkdtempSync(join(tmpdir(), "warren-bench-"));
  const samples = new Map<string, Record<string, number[]>>();
  const add = (scenario: string, name: string, ms: number) => {
    const row = samples.get(scenario) ?? {};
    row[name] = [...(row[name] ?? []), ms];
    samples.set(scenario, row);
  };
  try {
    mkdirSync("/run/netns", { recursive: true });
    Bun.spawnSync(["ip", "netns", "add", "pod"]);
    for (let round = 0; round < ROUNDS; round++) {
      for (const [name, one] of Object.entries(contestants())) {
        const env = {
          PATH: process.env.PATH ?? "",
          CNI_PATH: one.folder,
          CNI_CONTAINERID: `bench-${round}`,
          CNI_NETNS: "/run/netns/pod",
          CNI_IFNAME: "eth0",
        };
        const file = join(one.folder, one.bridge);
        const call = (verb: string, stdin: Uint8Array) => timed(file, { ...env, CNI_COMMAND: verb }, stdin);
        add("VERSION", name, call("VERSION", new Uint8Array()));
        for (const masquerade of [false, true]) {
          const stdin = config(name, one, masquerade, join(folder, name));
          const kind = masquerade ? " with masquerade" : "";
          add(`ADD${kind}`, name, call("ADD", stdin));
          add(`DEL${kind}`, name, call("DEL", stdin));
        }
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const rows = [...samples].map(([scenario, { reference = [], warren = [] }]) => ({
    scenario,
    "reference p50": quantile(reference, 0.5).toFixed(1),
    "warren p50": quantile(warren, 0.5).toFixed(1),
    "warren p95": quantile(warren, 0.95).toFixed(1),
    "warren min": quantile(warren, 0).toFixed(1),
    ratio: (quantile(warren, 0.5) / quantile(reference, 0.5)).toFixed(2),
  }));
  console.log(formatTable(rows));
}

if (process.argv.includes("--inside")) measure();
else {
  console.log(
    `Linux ${release()}, ${cpus().length} x ${cpus()[0]?.model ?? "unknown processor"}, Bun ${Bun.version}`,
  );
  console.log(`${ROUNDS} rounds, ms; the ratio is warren to reference, medians of this run\n`);
  const inside = 'mount -t tmpfs tmpfs /run && ip link set lo up && exec "$0" "$@" --inside';
  const { exitCode } = Bun.spawnSync(
    [
      "unshare",
      "--net",
      "--mount",
      "--propagation",
      "private",
      "sh",
      "-c",
      inside,
      process.execPath,
      import.meta.path,
    ],
    { stdout: "inherit", stderr: "inherit", stdin: "ignore" },
  );
  process.exitCode = exitCode;
}
