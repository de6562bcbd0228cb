// A swarm of plugin calls, started inside a sandbox (swarm.ts) and waited for.
import { join } from "node:path";
import type { Sandbox } from "./sandbox.ts";
import type { Swarm, SwarmOutcome } from "./swarm.ts";

/** Makes the calls inside the sandbox and returns what became of each, in their order. */
export async function swarm(sandbox: Sandbox, work: Swarm): Promise<SwarmOutcome[]> {
  const script = join(import.meta.dir, "swarm.ts");
  return JSON.parse(await sandbox.text([process.execPath, script], { stdin: JSON.stringify(work) }));
}
