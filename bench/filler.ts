// Pools that are used already: the same addresses, chosen by chance but the same in every run, held in Warren's store
// or in host-local's files.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Returns `count` of the addresses 10.OCTET.0.2 to 10.OCTET.255.254, spread over all of them, in order. */
export function usedAddresses(octet: number, count: number): string[] {
  const all = Array.from({ length: 65_533 }, (_, index) => index + 2);
  // a shuffle by a linear congruential generator (Numerical Recipes), so that nothing differs from run to run
  let state = 1;
  for (let index = all.length - 1; index > 0; index--) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const other = Math.floor((state / 2 ** 32) * (index + 1));
    [all[index], all[other]] = [all[other] ?? 0, all[index] ?? 0];
  }
  return all
    .slice(0, count)
    .sort((left, right) => left - right)
    .map((host) => `10.${octet}.${host >> 8}.${host & 0xff}`);
}

/** Makes a store in which containers `filler-0`, `filler-1`, ... hold the addresses. */
export function fillStore(
  dataDir: string,
  network: string,
  subnet: string,
  netns: string,
  addresses: readonly string[],
): void {
  const { success, stderr } = Bun.spawnSync(
    [process.execPath, join(import.meta.dir, "fill.ts"), dataDir, network, subnet, netns],
    { stdin: Buffer.from(addresses.join("\n")) },
  );
  if (!success) throw new Error(`the store can't be filled: ${stderr}`);
}

/** Makes host-local's files of the same. */
export function fillFiles(dataDir: string, network: string, addresses: readonly string[]): void {
  const folder = join(dataDir, network);
  mkdirSync(folder, { recursive: true });
  for (const [index, address] of addresses.entries()) {
    writeFileSync(join(folder, address), `filler-${index}\r\neth0`);
  }
}
