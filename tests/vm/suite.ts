// What runs inside the virtual machines: each case on a throwaway host of its own, as in the other suites, and its
// outcome in a line on the console. The test outside imports the names, so that both know the same cases.
import { Sandbox } from "../support/sandbox.ts";
import type { Case } from "./case.ts";
import { CHAINED_CASES } from "./chained.ts";
import { DHCP_CASES } from "./dhcp.ts";
import { DIRECT_LINK_CASES } from "./direct-link.ts";
import { EVERY_VERB_CASES } from "./every-verb.ts";
import { KILL_CASES } from "./kill.ts";
import { LINK_KIND_CASES } from "./link-kinds.ts";
import { MACVLAN_CASES } from "./macvlan.ts";
import { MESH_CASES } from "./mesh.ts";
import { MESH_DAEMON_CASES } from "./mesh-daemon.ts";
import { MISSING_FEATURE_CASES } from "./missing-features.ts";
import { NETEM_CASES } from "./netem.ts";
import { OWN_INTERFACE_CASES } from "./own-interfaces.ts";
import { PAIR_CASES } from "./pair.ts";
import { REBOOT_CASES, type RebootCase } from "./reboot.ts";
import { runCase } from "./report.ts";
import { SIDE_BY_SIDE_CASES } from "./side-by-side.ts";
import { SOURCE_CHECK_CASES } from "./source-check.ts";
import { VLAN_CASES } from "./vlan.ts";
import { VRF_CASES } from "./vrf.ts";
import { WIREGUARD_CASES } from "./wireguard.ts";

const CASES: readonly Case[] = [
  ...EVERY_VERB_CASES,
  ...CHAINED_CASES,
  ...NETEM_CASES,
  ...VLAN_CASES,
  ...LINK_KIND_CASES,
  ...SOURCE_CHECK_CASES,
  ...MACVLAN_CASES,
  ...OWN_INTERFACE_CASES,
  ...DHCP_CASES,
  ...VRF_CASES,
  ...DIRECT_LINK_CASES,
  ...PAIR_CASES,
  ...SIDE_BY_SIDE_CASES,
  ...MISSING_FEATURE_CASES,
  ...WIREGUARD_CASES,
  ...MESH_CASES,
  ...MESH_DAEMON_CASES,
  ...KILL_CASES,
];

/** The machine that boots again, for the cases of a reboot. */
const REBOOTING = 0;

/** How often each machine boots. There are two, which share the cases, because each has one processor. */
export const BOOTS = [2, 1] as const;

/** All cases, as the test outside sees them, and how many lines the console has about each. */
export const ALL_CASES: readonly (Pick<Case, "name" | "comparesWithReference" | "needsDatabase"> & {
  readonly lines: number;
})[] = [
  ...CASES.map((one) => ({ ...one, lines: 1 })),
  ...REBOOT_CASES.map((one) => ({ ...one, lines: BOOTS[REBOOTING] })),
];

const FIRST_BOOT = 1;

/** What waits for an answer that must not come leaves the processor to another one. */
const CASES_AT_ONCE = 3;

/** A folder of a case's own on the disk. */
function folderOf({ name }: RebootCase): string {
  return `/disk/${Bun.hash(name).toString(36)}`;
}

/** Runs a case, or a half of one, on a host of its own. */
function run(name: string, work: (host: Sandbox) => Promise<void>): Promise<void> {
  return runCase(name, async () => {
    await using host = await Sandbox.create();
    await work(host);
  });
}

/**
 * The first boot runs every case of the machine: those that must be first, then several at once, and then those that must be
 * alone; the second one what comes after.
 */
async function main(machine: number, boot: number): Promise<void> {
  if (boot === FIRST_BOOT) {
    // every other one: neighbours are of a kind, and take about as long
    const own = CASES.filter((_, index) => index % BOOTS.length === machine);
    for (const one of own) if (one.alone === "first") await run(one.name, one.run);
    const sociable = own.filter(({ alone }) => alone !== true && alone !== "first").values();
    const work = async () => {
      for (const one of sociable) await run(one.name, one.run);
    };
    await Promise.all(Array.from({ length: CASES_AT_ONCE }, work));
    for (const one of own) if (one.alone === true) await run(one.name, one.run);
  }
  for (const one of machine === REBOOTING ? REBOOT_CASES : []) {
    const half = boot === FIRST_BOOT ? one.before : one.after;
    await run(one.name, (host) => half(host, folderOf(one)));
  }
}

if (import.meta.main) await main(Number(process.argv[2]), Number(process.argv[3]));
