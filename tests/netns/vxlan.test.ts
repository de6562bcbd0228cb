// A vxlan between pods of two pretended nodes, of which each has its own namespace: made by our own code, witnessed by ip,
// and by packets that pass in one piece or don't.
import { expect, test } from "bun:test";
import { type Address, parseAddress } from "../../src/ip/address.ts";
import { parsePrefix } from "../../src/ip/prefix.ts";
import { type Connection, connectInside } from "../../src/net/connection.ts";
import { ping, UnreachableError } from "../../src/net/echo.ts";
import { configureInterface } from "../../src/net/interface.ts";
import { probeLinkDriver } from "../../src/net/link-driver.ts";
import { openNetns } from "../../src/net/netns.ts";
import { findLink, type Link, removeLink } from "../../src/net/veth.ts";
import {
  createVxlan,
  VniTakenError,
  type VxlanSettings,
  vxlanOf,
  vxlanOverhead,
} from "../../src/net/vxlan.ts";
import { dumpLinks } from "../../src/netlink/link.ts";
import { inSecondRun, shell } from "../support/second-run.ts";

const SET_UP = `
for name in node1 node2 pod1 pod2; do ip netns add $name; ip -n $name link set lo up; done
ip -n node1 link add eth0 type veth peer name eth0 netns node2
for n in 1 2; do
  ip -n node$n addr add 10.0.0.$n/24 dev eth0
  ip -n node$n addr add fd00::$n/64 dev eth0 nodad
  ip -n node$n link set eth0 up
done
`;

interface Shown {
  readonly ifname: string;
  readonly mtu: number;
  readonly ifalias?: string;
  readonly linkinfo: { readonly info_data: Readonly<Record<string, unknown>> };
}

function shown(netns: string, name: string): Shown | undefined {
  const links: Shown[] = JSON.parse(shell(`ip -n ${netns} -d -j link`));
  return links.find(({ ifname }) => ifname === name);
}

function address(text: string): Address {
  const parsed = parseAddress(text);
  if (parsed === undefined) throw new Error(`${text} is no address`);
  return parsed;
}

/** Makes a pod's end of the vxlan and gives it an address. */
function attach(node: string, pod: string, settings: Omit<VxlanSettings, "parent">, inner: string): void {
  using nodeNetns = openNetns(`/run/netns/${node}`);
  using podNetns = openNetns(`/run/netns/${pod}`);
  using host = connectInside(nodeNetns);
  using inside = connectInside(podNetns);
  const link = createVxlan(host, podNetns, inside, { ...settings, parent: parentOf(host) });
  const prefix = parsePrefix(inner);
  if (prefix === undefined) throw new Error(`${inner} is no prefix`);
  configureInterface(inside, podNetns, {
    ...{ name: link.name, index: link.index },
    addresses: [{ prefix, gateway: undefined }],
    routes: [],
    detectDuplicates: false,
  });
}

function parentOf(host: Connection) {
  const parent = findLink(host, "eth0");
  if (parent === undefined) throw new Error("the node has no eth0");
  return parent;
}

function vxlansWith(inside: Connection, vni: number): Link[] {
  return inside.dump(dumpLinks({ kind: "vxlan" })).filter((link) => vxlanOf(link)?.vni === vni);
}

function detach(pod: string, vni: number): void {
  using netns = openNetns(`/run/netns/${pod}`);
  using inside = connectInside(netns);
  for (const { name } of vxlansWith(inside, vni)) removeLink(inside, name);
  expect(vxlansWith(inside, vni)).toEqual([]);
}

function passes(from: string, to: string, payloadBytes: number): boolean {
  using netns = openNetns(`/run/netns/${from}`);
  try {
    ping(netns, address(to), { count: 1, payloadBytes, unfragmented: true });
    return true;
  } catch (error) {
    if (error instanceof UnreachableError && error.message.includes("too long")) return false;
    throw error;
  }
}

inSecondRun(import.meta.path, "vxlans between two nodes, in namespaces of their own", SET_UP, () => {
  for (const { over, ends, mtu } of [
    { over: "IPv4", ends: ["10.0.0.1", "10.0.0.2"], mtu: 1450 },
    { over: "IPv6", ends: ["fd00::1", "fd00::2"], mtu: 1430 },
  ] as const) {
    test(`S1-08 over ${over} pods of two nodes reach each other, with what the MTU of the parent leaves`, () => {
      const [one, two] = ends;
      const settings = { name: "link0", vni: 11, alias: "warren lab pod1 eth0" };
      attach("node1", "pod1", { ...settings, remote: address(two) }, "192.168.2.100/24");
      // the name of the parent on the node does not stand in the way of the same name in the pod
      attach(
        "node2",
        "pod2",
        { ...settings, name: "eth0", remote: address(one), local: address(two) },
        "192.168.2.101/24",
      );
      expect(shown("pod1", "link0")).toMatchObject({
        mtu,
        ifalias: "warren lab pod1 eth0",
        linkinfo: { info_kind: "vxlan", info_data: { id: 11, port: 4789, learning: false } },
      });
      expect(shown("node1", "link0")).toBeUndefined();
      using netns = openNetns("/run/netns/pod1");
      using inside = connectInside(netns);
      const [seen] = vxlansWith(inside, 11);
      expect(seen && vxlanOf(seen)).toEqual({
        ...{ vni: 11, port: 4789, remote: two },
        ...{ local: "", learns: false },
      });
      expect(mtu + vxlanOverhead(over === "IPv4" ? 4 : 6)).toBe(1500);

      // 20 bytes of IP and 8 of ICMP
      expect(passes("pod1", "192.168.2.101", mtu - 28)).toBe(true);
      expect(passes("pod2", "192.168.2.100", mtu - 28)).toBe(true);
      expect(passes("pod1", "192.168.2.101", mtu - 26)).toBe(false);
      detach("pod1", 11);
      detach("pod2", 11);
      expect(shown("pod1", "link0")).toBeUndefined();
    });
  }

  test("a VNI that the node has already, or a name that the pod has, is told, and nothing is made", () => {
    const settings = { name: "link0", vni: 12, remote: address("10.0.0.2") };
    attach("node1", "pod1", { ...settings, mtu: 1300 }, "192.168.2.100/24");
    expect(shown("pod1", "link0")?.mtu).toBe(1300);
    expect(() => attach("node1", "pod2", settings, "192.168.2.101/24")).toThrow(VniTakenError);
    expect(() => attach("node1", "pod1", { ...settings, vni: 13 }, "192.168.3.1/24")).toThrow("EEXIST");
    expect(shown("pod2", "link0")).toBeUndefined();
    detach("pod1", 12);
  });

  test("the driver is found without making anything", () => {
    using netns = openNetns("/run/netns/node1");
    using host = connectInside(netns);
    probeLinkDriver(host, "vxlan");
    expect(shown("node1", "warren-probe")).toBeUndefined();
  });
});
