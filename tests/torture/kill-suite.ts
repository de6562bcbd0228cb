// What runs inside the virtual machines of kill-machine.test.ts: every kill of every ordeal, and a line about each ordeal on
// the console. The test outside imports the names, so that both know the same ones.
import { writeStdout } from "../../src/sys/stdio.ts";
import { runCase } from "../vm/report.ts";
import { NODE_VERBS, nodeKillsOf } from "./mesh-ordeal.ts";
import { describeOrdeal, killsOf, ordealsOf, problemsOf, type Trial } from "./ordeal.ts";
import { MACHINE_SCENES } from "./scenes.ts";

/** How often each machine boots; they share the ordeals. */
export const BOOTS = [1, 1] as const;

/** Everything that is killed, and how. */
export const ORDEALS: readonly { readonly name: string; trials(): Promise<Trial[]> }[] = [
  ...MACHINE_SCENES.flatMap(ordealsOf).map((ordeal) => ({
    name: describeOrdeal(ordeal),
    trials: () => killsOf(ordeal, 1),
  })),
  ...NODE_VERBS.map((verb) => ({
    name: `node ${verb} over wireguard`,
    trials: () => nodeKillsOf({ verb, backend: "wireguard" }, 1),
  })),
];

async function main(machine: number): Promise<void> {
  for (const { name, trials } of ORDEALS.filter((_, index) => index % BOOTS.length === machine)) {
    await runCase(name, async () => {
      const all = await trials();
      const problems = await problemsOf(all);
      if (problems !== "") throw new Error(`of ${all.length} kills:\n${problems}`);
      writeStdout(`${name}: ${all.length} kills\n`);
    });
  }
}

if (import.meta.main) await main(Number(process.argv[2]));
