// Programs of the machine that set a scenario up, such as `ip`. None of them is ever timed.

/** Runs a program and returns what it printed; throws with its own words if it failed. */
export function assertSuccess(command: readonly string[], stdin = ""): string {
  const { success, stdout, stderr } = Bun.spawnSync([...command], { stdin: Buffer.from(stdin) });
  if (success) return stdout.toString();
  throw new Error(`${command.join(" ")}: ${stderr.toString().trim()}`);
}
