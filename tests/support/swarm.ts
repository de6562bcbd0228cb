// Many plugin calls at once, made from inside a sandbox, because entering it for each call would take longer than
// the call. Run as a program: it reads the calls from standard input and prints what became of each.

/** One call of a swarm. */
export interface SwarmCall {
  readonly executable: string;
  readonly env: Readonly<Record<string, string>>;
  readonly stdin: string;
  /**
   * The process is killed with SIGKILL, wherever it is, after this share of the time that the last call took which
   * nobody killed: so it dies in the same places on a fast machine and on one that is busy.
   */
  readonly killAfterShare?: number;
}

/** What became of a call. */
export interface SwarmOutcome {
  readonly exitCode: number | null;
  readonly killed: boolean;
  readonly stdout: string;
  readonly stderr: string;
}

/** All calls, and how many of them run at the same time. */
export interface Swarm {
  readonly calls: readonly SwarmCall[];
  readonly width: number;
}

/** How long the last call took that was left alone; the first ones set it. */
let undisturbedMs: number | undefined;

async function make(call: SwarmCall): Promise<SwarmOutcome> {
  const killAfterMs =
    call.killAfterShare === undefined || undisturbedMs === undefined
      ? undefined
      : call.killAfterShare * undisturbedMs;
  const startedMs = performance.now();
  const child = Bun.spawn([call.executable], {
    env: call.env,
    stdin: new Blob([call.stdin]),
    stdout: "pipe",
    stderr: "pipe",
  });
  const timer = killAfterMs === undefined ? undefined : setTimeout(() => child.kill("SIGKILL"), killAfterMs);
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  await child.exited;
  clearTimeout(timer);
  if (killAfterMs === undefined) undisturbedMs = performance.now() - startedMs;
  return { exitCode: child.exitCode, killed: child.signalCode === "SIGKILL", stdout, stderr };
}

if (import.meta.main) {
  const { calls, width }: Swarm = await Bun.stdin.json();
  const outcomes: SwarmOutcome[] = [];
  let next = 0;
  const worker = async () => {
    for (let index = next++; index < calls.length; index = next++) {
      const call = calls[index];
      if (call !== undefined) outcomes[index] = await make(call);
    }
  };
  await Promise.all(Array.from({ length: width }, worker));
  await Bun.write(Bun.stdout, JSON.stringify(outcomes));
}
