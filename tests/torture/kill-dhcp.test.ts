// kill -9 of the DHCP daemon at every step of an ADD and a DEL. The next daemon, and the DEL that a runtime makes after
// a failure, leave nothing: no lease in the store or at the server, and no interface.
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { DhcpSite, network, udhcpd } from "../support/dhcp.ts";
import { call, linkNames, succeed } from "../support/plugins.ts";
import { testWith, WARREN } from "../support/sandbox.ts";
import { seenLink } from "../support/witness.ts";
import { sample } from "./extent.ts";
import { strace } from "./steps.ts";

const POD = { containerId: "pod-1", netns: "pod1" };

/** What the daemon does that outlives it, and the answers to the plugin. */
const OUTWARD = "sendto,sendmsg,write,writev,pwrite64,openat,unlink,ftruncate,fallocate,flock";

interface Step {
  readonly call: string;
  /** How many calls of that name its main thread had made with this one. */
  readonly ordinal: number;
  readonly text: string;
}

/** Runs the daemon under strace, which writes what it does into a file, and does more if told. */
async function traced(site: DhcpSite, options: readonly string[] = []): Promise<string> {
  const file = join(site.host.directory, "trace");
  const tracer = ["strace", "-f", "-o", file, "-e", `trace=${OUTWARD}`, ...options];
  await site.keep([], [...tracer, WARREN, "dhcp"]);
  return file;
}

const linesOf = (file: string) =>
  readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line !== "");

/** Returns the steps between the daemon's being ready and its having done an ADD and a DEL. */
async function steps(): Promise<Step[]> {
  await using site = await DhcpSite.create();
  await site.serve();
  const file = await traced(site);
  const pid = `${await site.daemonPid()}`;
  const ready = linesOf(file).length;
  await succeed(site.host, "ADD", network(), POD);
  await succeed(site.host, "DEL", network(), POD);
  const done = linesOf(file).length;
  await site.terminate();
  const counts = new Map<string, number>();
  return linesOf(file).flatMap((line, index) => {
    const {
      thread,
      called = "",
      text = "",
    } = /^(?<thread>\d+) +(?<text>(?<called>\w+)\(.*)/.exec(line)?.groups ?? {};
    if (thread !== pid || called === "") return [];
    const ordinal = (counts.get(called) ?? 0) + 1;
    counts.set(called, ordinal);
    return index < ready || index >= done ? [] : [{ call: called, ordinal, text }];
  });
}

const needed = [udhcpd, strace];
const isThere = needed.every(({ reason }) => reason === undefined);
const all = isThere ? await steps() : [];

describe("kill -9 of the DHCP daemon", () => {
  testWith(...needed)("an ADD and a DEL have steps", async () => {
    const calls = new Set(all.map((step) => step.call));
    expect([...calls]).toEqual(expect.arrayContaining(["sendto", "pwrite64"]));
  });

  for (const step of sample(all, 4)) {
    test(`before ${step.call} number ${step.ordinal}: ${step.text.slice(0, 80)}`, async () => {
      await using site = await DhcpSite.create();
      const { host } = site;
      await site.serve();
      await traced(site, ["-e", `inject=${step.call}:signal=KILL:when=${step.ordinal}`]);
      await call(host, "ADD", network(), POD);
      await call(host, "DEL", network(), POD);
      // a step that another thread made in the first run comes later, or never
      await site.terminate();
      await site.keep();
      await succeed(host, "DEL", network(), POD);
      expect(await site.leases()).toEqual([]);
      expect([await linkNames(host), await seenLink(host, "eth0", "pod1")]).toEqual([["card0"], undefined]);
      const view = await site.serverHas((leases) => leases.held.length === 0);
      expect(view.held).toEqual([]);
      // and everything works again
      const added = await succeed(host, "ADD", network(), POD);
      await succeed(host, "CHECK", { ...network(), prevResult: added.document }, POD);
      await succeed(host, "DEL", network(), POD);
    });
  }
});
