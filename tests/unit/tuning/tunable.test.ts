// Keys of settings become paths that stay below /proc/sys/net, whatever is written into a config.
import { describe, expect, test } from "bun:test";
import {
  isAllowed,
  isOfInterface,
  isSameValue,
  rehearsedPath,
  TunableKeyError,
  tunablePath,
} from "../../../src/net/tunable.ts";

describe("keys", () => {
  test.each([
    ["net.core.somaxconn", "eth0", "core/somaxconn"],
    ["net/core/somaxconn", "eth0", "core/somaxconn"],
    ["net.ipv4.conf.IFNAME.arp_filter", "eth0", "ipv4/conf/eth0/arp_filter"],
    ["net.ipv4.conf.IFNAME.arp_filter", "eth0.100", "ipv4/conf/eth0.100/arp_filter"],
    ["net.ipv4.conf.IFNAME.arp_filter", "$&", "ipv4/conf/$&/arp_filter"],
    ["net..core//somaxconn", "eth0", "core/somaxconn"],
  ])("%s of %s is %s", (key, ifname, path) => {
    expect(tunablePath(key, ifname)).toBe(path);
  });

  test.each([
    ["kernel.shmmax", "eth0"],
    ["net", "eth0"],
    ["net.", "eth0"],
    ["", "eth0"],
    ["/net", "eth0"],
    ["network.x", "eth0"],
    ["net.IFNAME.kernel.shmmax", ".."],
    ["net.core.a\0b", "eth0"],
  ])("%j of %s is refused", (key, ifname) => {
    expect(() => tunablePath(key, ifname)).toThrow(TunableKeyError);
  });

  test("what looks like a way up leads down", () => {
    expect(tunablePath("net/../kernel/shmmax", "eth0")).toBe("kernel/shmmax");
  });

  test("a namespace without the interface has the setting for its loopback", () => {
    expect(rehearsedPath("net.ipv4.conf.IFNAME.arp_filter")).toBe("ipv4/conf/lo/arp_filter");
    expect(rehearsedPath("net.ipv6.conf.eth0.accept_ra")).toBe("ipv6/conf/lo/accept_ra");
    expect(rehearsedPath("net.ipv4.conf.all.rp_filter")).toBe("ipv4/conf/lo/rp_filter");
    expect(rehearsedPath("net.core.somaxconn")).toBe("core/somaxconn");
    expect([isOfInterface("net.ipv4.conf.IFNAME.x"), isOfInterface("net.core.x")]).toEqual([true, false]);
  });
});

test("values are the same when the kernel reads them alike", () => {
  expect(isSameValue("4096 87380 6291456", "4096\t87380\t6291456")).toBe(true);
  expect(isSameValue("0x10", "16")).toBe(true);
  expect(isSameValue("010", "8")).toBe(true);
  expect(isSameValue("010", "10")).toBe(false);
  expect(isSameValue(" 1\n", "1")).toBe(true);
  expect(isSameValue("cubic", "cubic")).toBe(true);
  expect(isSameValue("1 2", "1 3")).toBe(false);
  expect(isSameValue("", "0")).toBe(false);
});

test("expressions of the allowlist match anywhere in the key", () => {
  expect(isAllowed("net.ipv4.conf.IFNAME.arp_filter", ["arp_.ilter"])).toBe(true);
  expect(isAllowed("net.ipv4.ip_forward", ["^net\\.ipv4\\.conf\\."])).toBe(false);
  expect(isAllowed("net.ipv4.ip_forward", [])).toBe(false);
  expect(() => isAllowed("net.core.x", ["["])).toThrow(SyntaxError);
});
