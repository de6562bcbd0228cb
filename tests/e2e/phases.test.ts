// WARREN_TRACE=1: where the time of a call went, on standard error, while the answer stays what it is.
import { expect, test } from "bun:test";
import { variables } from "../support/plugins.ts";
import { Sandbox, WARREN } from "../support/sandbox.ts";

const POD = { containerId: "pod-1", netns: "pod1" };

test("WARREN_TRACE=1 tells the phases of a call on standard error, and nothing else changes", async () => {
  await using host = await Sandbox.create();
  await host.text(["ip", "netns", "add", "pod1"]);
  const stdin = JSON.stringify({
    cniVersion: "1.1.0",
    name: "lab",
    type: "warren-bridge",
    bridge: "br-phases",
    ipam: { type: "warren-ipam", dataDir: `${host.directory}/store`, subnet: "10.94.0.0/24" },
  });
  const run = (verb: string, trace: string) =>
    host.run([`${WARREN}-bridge`], { env: { ...variables(verb, POD), WARREN_TRACE: trace }, stdin });

  const silent = await run("ADD", "0");
  expect({ exitCode: silent.exitCode, stderr: silent.stderr }).toEqual({ exitCode: 0, stderr: "" });
  expect((await run("DEL", "")).stderr).toBe("");

  const traced = await run("ADD", "1");
  const document = (text: string) => ({ ...JSON.parse(text), ips: [], interfaces: [] });
  expect(document(traced.stdout)).toEqual(document(silent.stdout));
  const lines = traced.stderr.trimEnd().split("\n");
  expect(lines[0]).toBe("warren-bridge ADD");
  const phases = lines.slice(2).map((line) => /^ *[\d.]+ +[\d.]+ {2}(?<what>.+)$/.exec(line)?.groups?.what);
  expect(phases[0]).toBe("start the runtime inside");
  expect(phases.at(-1)).toBe("end");
  for (const phase of [
    "read standard input",
    "COMMIT",
    "create link",
    "in /run/netns/pod1",
    "write the answer",
  ]) {
    expect(phases.filter((what) => what?.startsWith(phase))).not.toEqual([]);
  }

  // a failure is traced as well
  const failed = await run("ADD", "1");
  expect(failed.exitCode).toBe(1);
  expect(JSON.parse(failed.stdout).code).toBe(102);
  expect(failed.stderr).toStartWith("warren-bridge ADD\n");
});
