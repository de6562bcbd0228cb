// Whoever has the store lets all others wait. Closing a socket to the packet filter waits for whatever anybody on the
// machine has deleted by one, so no call closes any: that is left to the end of the process. And a question about a link is
// answered when nobody changes links any more, so a call asks before it has the store, or after that.
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { PLUGIN_FOLDER, variables } from "../support/plugins.ts";
import { testWith } from "../support/sandbox.ts";
import { IS_FULL } from "./extent.ts";
import { describeOrdeal, lead, ordealsOf } from "./ordeal.ts";
import { CHAIN, SCENES, Stage } from "./scenes.ts";
import { strace } from "./steps.ts";

const withStrace = testWith(strace);

/** Returns how many sockets to the packet filter a trace opens, and the calls that close one. */
function filterSockets(trace: string): { readonly opened: number; readonly closings: string[] } {
  const open = new Set<string>();
  const closings: string[] = [];
  let opened = 0;
  for (const line of trace.split("\n")) {
    const [, made] = /socket\(AF_NETLINK.*NETLINK_NETFILTER\) = (\d+)/.exec(line) ?? [];
    const [, closed] = / close\((\d+)\)/.exec(line) ?? [];
    if (made !== undefined) {
      open.add(made);
      opened++;
    }
    if (closed !== undefined && open.delete(closed)) closings.push(line);
  }
  return { opened, closings };
}

/** Returns what WARREN_TRACE=1 tells of the time between the beginning and the end of the transactions that write. */
function insideTransactions(report: string): string[] {
  const inside: string[] = [];
  let isInside = false;
  for (const line of report.split("\n")) {
    const [, what = ""] = /^ *[\d.]+ +[\d.]+ {2}(.*)$/.exec(line) ?? [];
    if (what === "BEGIN IMMEDIATE") isInside = true;
    else if (what === "COMMIT") isInside = false;
    else if (isInside && what !== "-") inside.push(what);
  }
  return inside;
}

/** Of those that ask about links at all, and take seconds. */
const ASKING = /^bridge$|all inside|and (portmap|bandwidth|firewall|tuning|quickack|sbr)$/;

/** Here they have nothing to write down: no kernel of tests but the virtual machine's has netem. */
const WRITES_NOTHING = /^loopback$|^bridge and netem$/;

/** The store's own statements, namespaces, and the packet filter, which has a lock of its own. */
const ASKS_NOTHING_OF_LINKS = /^(select|insert|update|delete from|in|get chain|get nf_tables) | warren( |$)/;

/** Those that have most to do with the packet filter; a chain has nothing that they have not. */
const SOME = SCENES.filter(({ name }) => /^bridge$|all inside/.test(name));

describe.each([...SCENES, CHAIN].map((scene) => [scene.name, scene] as const))("in %s", (_, scene) => {
  for (const ordeal of IS_FULL || SOME.includes(scene) ? ordealsOf(scene) : []) {
    withStrace(`X-20 ${describeOrdeal(ordeal)} waits for no packet filter`, async () => {
      await using stage = await Stage.create(scene);
      const { run } = await lead(stage, ordeal);
      const file = `${stage.sandbox.directory}/sockets`;
      const { exitCode } = await stage.sandbox.run(
        ["strace", "-f", "-o", file, "-e", "trace=socket,close", `${PLUGIN_FOLDER}/${run.config.type}`],
        { env: variables(run.verb, run.target), stdin: JSON.stringify(run.config) },
      );
      expect(exitCode).toBe(0);
      const { opened, closings } = filterSockets(readFileSync(file, "utf8"));
      expect(closings).toEqual([]);
      expect(opened).toBeLessThanOrEqual(1);
    });
  }
  for (const ordeal of IS_FULL || ASKING.test(scene.name) ? ordealsOf(scene) : []) {
    test(`X-20 ${describeOrdeal(ordeal)} asks nothing about links while others wait for it`, async () => {
      await using stage = await Stage.create(scene);
      const { run } = await lead(stage, ordeal);
      const { exitCode, stderr } = await stage.sandbox.run([`${PLUGIN_FOLDER}/${run.config.type}`], {
        env: { ...variables(run.verb, run.target), WARREN_TRACE: "1" },
        stdin: JSON.stringify(run.config),
      });
      expect(exitCode).toBe(0);
      const inside = insideTransactions(stderr);
      if (ordeal.verb !== "GC" && !WRITES_NOTHING.test(scene.name)) expect(inside).not.toEqual([]);
      expect(inside.filter((what) => !ASKS_NOTHING_OF_LINKS.test(what))).toEqual([]);
    });
  }
});
