// `warren probe` between real namespaces: what it finds is compared with what was set up by other tools. Nothing here
// depends on how fast this machine is.
import { expect, setDefaultTimeout, test } from "bun:test";
import type { Printed } from "../support/printed.ts";
import { type Outcome, Sandbox, WARREN } from "../support/sandbox.ts";

const SET_UP = `
set -e
for pod in a b; do ip netns add $pod; ip -n $pod link set lo up; done
ip link add ea netns a type veth peer name eb netns b
ip -n a address add 10.7.0.1/24 dev ea
ip -n b address add 10.7.0.2/24 dev eb
ip -n b address add 10.7.1.2/24 dev eb
ip -n a address add fd07::1/64 dev ea nodad
ip -n b address add fd07::2/64 dev eb nodad
ip -n a link set ea up
ip -n b link set eb up
`;

async function pair(): Promise<Sandbox> {
  const sandbox = await Sandbox.create();
  await sandbox.text(["sh", "-c", SET_UP]);
  return sandbox;
}

setDefaultTimeout(30_000);

/** Short measurements: what is short shows the same. */
const BRIEF = ["--count", "8", "--interval-ms", "2", "--seconds", "0.1", "--run-in", "0"];

/** How long an answer may take where the machine has other things to do. */
const PATIENT = ["--timeout-ms", "20000"];

const TRIES = 10;

function probe(sandbox: Sandbox, ...words: string[]): Promise<Outcome> {
  return sandbox.run([WARREN, "probe", ...words]);
}

async function found(sandbox: Sandbox, ...words: string[]): Promise<Printed> {
  const { exitCode, stdout, stderr } = await probe(sandbox, ...words, "--json");
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
  return JSON.parse(stdout);
}

/** Measures again where packets got lost, or were not sent, because this machine had no time for them. */
async function undisturbed(sandbox: Sandbox, ...words: string[]): Promise<Printed> {
  for (let tries = 1; ; tries++) {
    const all = await found(sandbox, ...words);
    const ways = [all.udp.there, all.udp.back];
    const disturbed = ways.some(({ lossPercent, received }) => lossPercent > 0 || received <= 100);
    if (!disturbed || tries === TRIES) return all;
  }
}

test("everything is measured, over IPv4 and IPv6, and drawn without colours", async () => {
  await using sandbox = await pair();
  for (const [more, from, to] of [
    [[], "10.7.0.1", "10.7.0.2"],
    [["--address", "fd07::2"], "fd07::1", "fd07::2"],
  ] as const) {
    const all = await undisturbed(sandbox, "a", "/run/netns/b", ...BRIEF, ...PATIENT, ...more);
    expect(all).toMatchObject({
      from: { name: "a", address: from },
      to: { name: "/run/netns/b", address: to },
      problems: [],
      latency: { sent: 8, answered: 8, lossPercent: 0, duplicates: 0, overtaken: 0 },
      mtu: { there: 1500, back: 1500 },
    });
    expect(all.latency.roundTripsMs).toHaveLength(8);
    expect(all.latency.spread.leastMs).toBeGreaterThan(0);
    for (const way of ["there", "back"]) {
      expect(all.tcp[way].bitsPerSecond).toBeGreaterThan(1_000_000);
      expect(Math.max(...all.tcp[way].course)).toBeGreaterThan(1_000_000);
      expect(all.udp[way]).toMatchObject({ lossPercent: 0, overtaken: 0 });
      expect(all.udp[way].received).toBeGreaterThan(100);
    }
    expect(all.stall.roundsMs).toHaveLength(8);
  }
  const { stdout, exitCode } = await probe(sandbox, "a", "b", ...BRIEF);
  expect(exitCode).toBe(0);
  expect(stdout).toStartWith("from a (10.7.0.1) to b (10.7.0.2)\n\nMEASURED ");
  for (const words of [
    /^round trip +both +[\d.]+ ms \([\d.]+ to [\d.]+\) +[▁-█]+$/m,
    /^MTU +back +1500 bytes$/m,
  ]) {
    expect(stdout).toMatch(words);
  }
  expect(stdout).toContain("Rounds of write, write, read:\n");
  expect(stdout).not.toContain("\u001b");
  for (const line of stdout.split("\n")) expect(Bun.stringWidth(line)).toBeLessThanOrEqual(80);
});

test("a limit shows in the throughput of its direction, and a small MTU in that of the path", async () => {
  await using sandbox = await pair();
  await sandbox.text([
    "tc",
    "-n",
    "b",
    "qdisc",
    "add",
    "dev",
    "eb",
    "root",
    "tbf",
    "rate",
    "4mbit",
    "burst",
    "32kb",
    "latency",
    "25ms",
  ]);
  await sandbox.text(["ip", "-n", "b", "link", "set", "eb", "mtu", "1400"]);
  const { tcp, mtu, udp } = await found(
    sandbox,
    "a",
    "b",
    "--only",
    "mtu,tcp,udp",
    "--seconds",
    "0.3",
    "--run-in",
    "0.2",
    "--rate",
    "8M",
    "--size",
    "1000",
  );
  expect(tcp.back.bitsPerSecond).toBeWithin(1_000_000, 6_000_000);
  expect(tcp.there.bitsPerSecond).toBeGreaterThan(20_000_000);
  expect(udp.there.lossPercent).toBeLessThan(20);
  expect(udp.back.lossPercent).toBeGreaterThan(30);
  // a pair takes a little more than it sends
  expect(mtu.back).toBe(1400);
  expect(mtu.there).toBeWithin(1400, 1410);
});

test("to an address is measured what needs nobody there, and what is lost is told with the reason", async () => {
  await using sandbox = await pair();
  const { latency, mtu, tcp } = await found(sandbox, "a", "10.7.0.2", ...BRIEF);
  expect(latency).toMatchObject({ sent: 8, answered: 8 });
  expect([mtu, tcp]).toEqual([{ there: 1500 }, undefined]);
  const nowhere = await probe(sandbox, "a", "192.0.2.1", ...BRIEF, "--json");
  expect(nowhere.exitCode).toBe(1);
  expect(JSON.parse(nowhere.stdout)).toMatchObject({
    latency: { answered: 0, lossPercent: 100 },
    problems: [
      { measurement: "latency", problem: "there is no route to it" },
      { measurement: "mtu", problem: "there is no route to it" },
    ],
  });
  const silent = await probe(
    sandbox,
    "a",
    "10.7.0.9",
    "--only",
    "latency",
    "--count",
    "2",
    "--timeout-ms",
    "100",
  );
  expect(silent.exitCode).toBe(1);
  expect(silent.stdout).toContain("2 of 2 (100 %)");
  expect(silent.stdout).toContain("nothing came within 100 ms");
});

test("a firewall that drops is told, and everything ends in time", async () => {
  await using sandbox = await pair();
  const rules =
    "table inet f { chain c { type filter hook input priority 0; meta l4proto { tcp, udp } drop; }; }";
  await sandbox.text(["ip", "netns", "exec", "b", "nft", rules]);
  const { exitCode, stdout } = await probe(sandbox, "a", "b", ...BRIEF, "--timeout-ms", "150");
  expect(exitCode).toBe(1);
  expect(stdout).toMatch(/^loss +both +0 of 8/m);
  expect(stdout).toMatch(/^TCP +there +no TCP connection within 150 ms$/m);
  expect(stdout).toMatch(/^UDP +back +no UDP packet came within 150 ms$/m);
  expect(stdout).toMatch(/^stalls +there +no TCP connection within 150 ms$/m);
});

test("whoever names an end or a number that can't be meant is told what would be right", async () => {
  await using sandbox = await pair();
  for (const [words, code, told] of [
    [["a", "a"], 2, "a and a are the same namespace"],
    [["a", "nowhere"], 1, 'network namespace "/var/run/netns/nowhere" is missing'],
    [
      ["a", "b", "--address", "10.7.0.9"],
      2,
      'b has no address "10.7.0.9"; it has 10.7.0.2, 10.7.1.2, fd07::2',
    ],
    [["a", "10.7.0.2", "--address", "10.7.0.2"], 2, "the other end is an address"],
    [["a", "10.7.0.2", "--only", "tcp"], 2, "tcp needs somebody who answers"],
    [["a", "b", "--only", "speed"], 2, '--only knows latency, mtu, tcp, udp, stall, and not "speed"'],
    [["a", "b", "--count", "0"], 2, "expected a whole number from 1 to 10000"],
    [["a", "b", "--seconds", "61"], 2, "expected seconds from 0.1 to 60"],
    [["a", "b", "--rate", "fast"], 2, "expected bits a second from 1k to 100G, such as 20M"],
    [["host", "b", "--only", "latency", "--count", "1"], 1, "there is no route to it"],
    [["a", "host"], 1, "host has no address"],
  ] as const) {
    const { exitCode, stdout, stderr } = await probe(sandbox, ...words);
    expect([words, exitCode, stdout + stderr]).toEqual([words, code, expect.stringContaining(told)]);
  }
});
