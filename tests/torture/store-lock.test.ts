// Whoever has the store lets all others wait. Closing a socket to the packet filter waits for whatever anybody on the
// machine has deleted by one, so no call closes any: that is left to the end of the process.
import { describe, expect } from "bun:test";
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

/** Those that have most to do with the packet filter; a chain has nothing that they have not. */
const SOME = SCENES.filter(({ name }) => /^bridge$|all inside/.test(name));

describe.each((IS_FULL ? [...SCENES, CHAIN] : SOME).map((scene) => [scene.name, scene] as const))(
  "in %s",
  (_, scene) => {
    for (const ordeal of ordealsOf(scene)) {
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
  },
);
