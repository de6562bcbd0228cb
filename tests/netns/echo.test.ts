// The reachability probe against real interfaces. The tests run in a second `bun test` of this same file, started by
// unshare in network and mount namespaces of its own, so that nothing here can touch the machine's own.
import { beforeAll, expect, test } from "bun:test";
import { readlinkSync } from "node:fs";
import { tools } from "../../scripts/tools.ts";
import { parseAddress } from "../../src/ip/address.ts";
import { type PingOptions, ping, UnreachableError } from "../../src/net/echo.ts";
import { openNetns } from "../../src/net/netns.ts";
import { isRoot, testWith } from "../support/sandbox.ts";

const OUTSIDE = process.env.WARREN_TEST_OUTSIDE_NETNS;
const POD = "/run/netns/pod";

const SET_UP = `
set -e
mount -t tmpfs tmpfs /run
ip link set lo up
ip netns add pod
ip link add host0 type veth peer name eth0 netns pod
ip address add 10.7.0.1/24 dev host0
ip address add fd07::1/64 dev host0 nodad
ip link set host0 up
ip -n pod address add 10.7.0.2/24 dev eth0
ip -n pod address add fd07::2/64 dev eth0 nodad
ip -n pod link set eth0 up
ip -n pod link set lo up
ip -n pod route add unreachable 10.8.0.0/16
ip -n pod route add prohibit 10.9.0.0/16
# one question and not three, so that a missing neighbour is known after a second
ip netns exec pod sh -c 'echo 1 > /proc/sys/net/ipv4/neigh/eth0/mcast_solicit'
ip netns exec pod sh -c 'echo 1 > /proc/sys/net/ipv6/neigh/eth0/mcast_solicit'
`;

if (OUTSIDE === undefined) {
  testWith(tools.program("ip"))(
    "the probe against real interfaces, in namespaces of its own",
    async () => {
      const flags = ["--net", "--mount", ...(isRoot ? [] : ["--map-root-user"])];
      const bun = [process.execPath, "--config=/dev/null", "test", import.meta.path];
      const { exitCode, stdout, stderr } = Bun.spawnSync(["unshare", ...flags, ...bun], {
        env: { ...process.env, WARREN_TEST_OUTSIDE_NETNS: readlinkSync("/proc/self/ns/net") },
      });
      if (exitCode !== 0) throw new Error(`${stdout}${stderr}`);
    },
    60_000,
  );
} else {
  // before anything else: this process must not be in the namespace that started it
  if (readlinkSync("/proc/thread-self/ns/net") === OUTSIDE) throw new Error("not in a namespace of its own");
  echoTests();
}

function pingFrom(path: string | undefined, address: string, options?: PingOptions): number[] {
  const destination = parseAddress(address);
  if (destination === undefined) throw new Error(`${address} is no address`);
  using netns = path === undefined ? undefined : openNetns(path);
  return ping(netns, destination, options);
}

function failureOf(path: string | undefined, address: string, options?: PingOptions): string {
  try {
    return `answered after ${pingFrom(path, address, options)} ms`;
  } catch (error) {
    if (error instanceof UnreachableError) return error.message;
    throw error;
  }
}

function echoTests(): void {
  beforeAll(() => {
    const { exitCode, stderr } = Bun.spawnSync(["sh", "-c", SET_UP]);
    if (exitCode !== 0) throw new Error(stderr.toString());
  });

  for (const [from, address] of [
    [POD, "10.7.0.1"],
    [POD, "fd07::1"],
    [undefined, "10.7.0.2"],
    [undefined, "fd07::2"],
    // on the way to oneself a raw socket hears the question as well as the answer
    [POD, "10.7.0.2"],
    [POD, "127.0.0.1"],
    [POD, "::1"],
  ] as const) {
    test(`${address} answers ${from ?? "the host"}`, () => {
      const home = readlinkSync("/proc/thread-self/ns/net");
      const timesMs = pingFrom(from, address, { count: 2 });
      expect(timesMs).toHaveLength(2);
      for (const timeMs of timesMs) expect(timeMs).toBeGreaterThan(0);
      expect(readlinkSync("/proc/thread-self/ns/net")).toBe(home);
    });
  }

  for (const [address, timeoutMs, reason] of [
    ["10.250.0.1", 300, "there is no route to it"],
    ["fd99::1", 300, "there is no route to it"],
    ["10.8.0.1", 300, "nobody on its network has the address"],
    ["10.9.0.1", 300, "it is refused on the way (EACCES)"],
    ["10.7.0.9", 200, "nothing came within 200 ms"],
    ["fd07::9", 200, "nothing came within 200 ms"],
    ["10.7.0.10", 5000, "nobody on its network has the address"],
    ["fd07::10", 5000, "nobody on its network has the address"],
    ["fe80::1", 300, "a link-local address needs an interface, which a probe can't name"],
  ] as const) {
    test(`${address} does not answer within ${timeoutMs} ms, and the reason is told`, () => {
      expect(failureOf(POD, address, { timeoutMs })).toBe(`${address} does not answer: ${reason}`);
    }, 10_000);
  }
}
