// Hundreds of calls of every verb at once, and a checker that compares answers, store and kernel (load.ts).
import { expect, test } from "bun:test";
import { join } from "node:path";
import { PLUGIN_FOLDER } from "../support/plugins.ts";
import { Sandbox } from "../support/sandbox.ts";
import { IS_FULL } from "./extent.ts";
import type { Load, Report } from "./load.ts";

test("X-12 ADD, CHECK, DEL, GC and STATUS at once, some killed: nobody loses what is alive, and nothing is left", async () => {
  await using sandbox = await Sandbox.create();
  const dataDir = join(sandbox.directory, "store");
  const network = (name: string, subnet: string, more = {}) => ({
    cniVersion: "1.1.0",
    name,
    type: "warren-bridge",
    bridge: `br-${name}`,
    isDefaultGateway: true,
    ipMasq: true,
    dataDir,
    ipam: { type: "warren-ipam", subnet, dataDir },
    ...more,
  });
  const load: Load = {
    plugin: `${PLUGIN_FOLDER}/warren-bridge`,
    networks: [
      { config: network("wide", "10.88.0.0/16", { portmap: {}, firewall: {} }), mayBeFull: false },
      // most of its places find no free address
      { config: network("tight", "10.89.0.0/28"), mayBeFull: true },
    ],
    dataDir,
    attachments: IS_FULL ? 400 : 60,
    width: IS_FULL ? 200 : 40,
    durationMs: IS_FULL ? 120_000 : 5_000,
  };
  const report: Report = JSON.parse(
    await sandbox.text([process.execPath, join(import.meta.dir, "load.ts")], { stdin: JSON.stringify(load) }),
  );
  expect(report.problems.join("\n")).toBe("");
  // every kind must have happened, or nothing was shown
  for (const verb of ["ADD", "CHECK", "DEL", "GC", "STATUS"]) expect(report.calls[verb]).toBeGreaterThan(0);
  expect([report.killed, report.refused, report.looks].filter((count) => count === 0)).toEqual([]);
}, 600_000);
