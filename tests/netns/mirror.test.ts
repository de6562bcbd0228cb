// Mirroring on a real kernel: what passes an interface of a pod arrives at whoever is behind another one as well, and goes
// its own way as if nobody looked.
import { expect, test } from "bun:test";
import { parseAddress } from "../../src/ip/address.ts";
import { type Connection, connectInside } from "../../src/net/connection.ts";
import { ping } from "../../src/net/echo.ts";
import {
  formatMirror,
  isMirrored,
  type Mirror,
  MirrorError,
  parseMirror,
  probeMirroring,
  startMirror,
  stopMirror,
} from "../../src/net/mirror.ts";
import { openNetns } from "../../src/net/netns.ts";
import { findLink, type Link } from "../../src/net/veth.ts";
import { inSecondRun, shell } from "../support/second-run.ts";

const SET_UP = `
for name in pod peer tap; do ip netns add $name; ip -n $name link set lo up; done
ip -n pod link add eth0 type veth peer name eth0 netns peer
ip -n pod link add tap0 type veth peer name tap0 netns tap
ip -n pod link add tap1 type veth peer name tap1 netns tap
ip -n pod addr add 10.0.0.1/24 dev eth0
ip -n peer addr add 10.0.0.2/24 dev eth0
ip -n pod link set eth0 up
ip -n peer link set eth0 up
for n in 0 1; do
  ip -n pod link set tap$n addrgenmode none up
  ip -n tap link set tap$n addrgenmode none up
done
`;

const ECHOES = 5;

/** How many packets came out of a tap. */
function received(tap: string): number {
  const [link] = JSON.parse(shell(`ip -n tap -s -j link show ${tap}`));
  return link.stats64.rx.packets;
}

function filters(): string {
  return ["ingress", "egress"].map((side) => shell(`tc -n pod filter show dev eth0 ${side}`)).join("");
}

function inPod(work: (inside: Connection, tap0: Link, tap1: Link) => void): void {
  using pod = openNetns("/run/netns/pod");
  using inside = connectInside(pod);
  const [tap0, tap1] = [findLink(inside, "tap0"), findLink(inside, "tap1")];
  if (tap0 === undefined || tap1 === undefined) throw new Error("a tap is gone");
  work(inside, tap0, tap1);
}

/** Sends echoes from the pod and returns how many packets came out of a tap meanwhile. */
function copies(tap = "tap0"): number {
  using pod = openNetns("/run/netns/pod");
  const address = parseAddress("10.0.0.2");
  if (address === undefined) throw new Error("no address");
  ping(pod, address, { count: 1 });
  const before = received(tap);
  ping(pod, address, { count: ECHOES });
  return received(tap) - before;
}

inSecondRun(import.meta.path, "mirroring, in namespaces of its own", SET_UP, () => {
  for (const { direction, copied } of [
    { direction: "ingress", copied: ECHOES },
    { direction: "egress", copied: ECHOES },
    { direction: "both", copied: 2 * ECHOES },
  ] as const) {
    test(`S1-24 mirror:${direction}:eth0 copies that and nothing else, and is gone when it ends`, () => {
      const mirror: Mirror = { direction, of: "eth0" };
      inPod((inside, tap0) => {
        expect(isMirrored(inside, mirror, tap0.index)).toBe(false);
        startMirror(inside, mirror, tap0);
        expect(isMirrored(inside, mirror, tap0.index)).toBe(true);
      });
      expect(filters()).toContain("mirred (Egress Mirror to device tap0) continue");
      expect(copies()).toBe(copied);
      inPod((inside, tap0) => {
        stopMirror(inside, "eth0", tap0.index);
        stopMirror(inside, "eth0", tap0.index);
      });
      expect(filters()).toBe("");
      expect(shell("tc -n pod qdisc show dev eth0")).not.toContain("clsact");
      expect(copies()).toBe(0);
    });
  }

  test("two mirrors and a filter of somebody else's do not get into each other's way", () => {
    const other = "ingress prio 7 protocol all u32 match u32 0 0 action mirred egress mirror dev tap1";
    shell(`tc -n pod qdisc add dev eth0 clsact; tc -n pod filter add dev eth0 ${other}`);
    inPod((inside, tap0) => startMirror(inside, { direction: "both", of: "eth0" }, tap0));
    expect([copies("tap0"), copies("tap1")]).toEqual([2 * ECHOES, ECHOES]);
    inPod((inside, tap0) => stopMirror(inside, "eth0", tap0.index));
    expect(filters()).toContain("pref 7 u32");
    expect(copies("tap1")).toBe(ECHOES);
    shell("tc -n pod filter del dev eth0 ingress prio 7 protocol all u32");

    inPod((inside, tap0, tap1) => {
      startMirror(inside, { direction: "egress", of: "eth0" }, tap0);
      startMirror(inside, { direction: "egress", of: "eth0" }, tap1);
    });
    expect([copies("tap0"), copies("tap1")]).toEqual([ECHOES, ECHOES]);
    inPod((inside, tap0, tap1) => {
      stopMirror(inside, "eth0", tap0.index);
      expect(isMirrored(inside, { direction: "egress", of: "eth0" }, tap1.index)).toBe(true);
      stopMirror(inside, "eth0", tap1.index);
    });
    expect(filters()).toBe("");
  });

  test("what can't be copied is told, and nothing stays", () => {
    inPod((inside, tap0) => {
      expect(() => startMirror(inside, { direction: "both", of: "nope" }, tap0)).toThrow(
        new MirrorError('there is no interface "nope" to copy the traffic of'),
      );
      expect(() => startMirror(inside, { direction: "both", of: "tap0" }, tap0)).toThrow(MirrorError);
      shell("tc -n pod qdisc add dev eth0 ingress");
      expect(() => startMirror(inside, { direction: "egress", of: "eth0" }, tap0)).toThrow(
        "has a place for filters on what comes in alone (ingress)",
      );
      startMirror(inside, { direction: "ingress", of: "eth0" }, tap0);
    });
    expect(copies()).toBe(ECHOES);
    inPod((inside, tap0) => stopMirror(inside, "eth0", tap0.index));
    expect(filters()).toBe("");
    expect(shell("tc -n pod qdisc show dev eth0")).toContain("ingress");
    shell("tc -n pod qdisc del dev eth0 ingress");
    probeMirroring();
  });

  test("a mirror whose target went first is taken away, too", () => {
    inPod((inside, tap0) => startMirror(inside, { direction: "both", of: "eth0" }, tap0));
    shell("ip -n pod link del tap0");
    expect(filters()).toContain("mirred");
    using pod = openNetns("/run/netns/pod");
    using inside = connectInside(pod);
    stopMirror(inside, "eth0", undefined);
    expect(filters()).toBe("");
  });

  test("spelling", () => {
    for (const text of ["mirror:ingress:eth0", "mirror:egress:in1", "mirror:both:a.b-c"]) {
      const mirror = parseMirror(text);
      expect(mirror && formatMirror(mirror)).toBe(text);
    }
    for (const text of [
      "",
      "mirror",
      "mirror:both",
      "mirror:both:",
      "mirror:all:eth0",
      "mirror:both:eth0:x",
      "mirror:both:..",
      "mirror:both:a/b",
      "mirror:both:averylonginterface",
      " mirror:both:eth0",
      "mirror:both:eth0\n",
    ]) {
      expect(parseMirror(text)).toBeUndefined();
    }
  });
});
