// Links between pods on a kernel that does not echo new links, and on which a link that is born inside a pod must not have
// the name of one of the host.
import { succeed } from "../support/plugins.ts";
import { seenLink } from "../support/witness.ts";
import { answers, type Case, collect, IPV4, ip, network, pod, same } from "./case.ts";

const PRIMARY = {
  "warren.pair": "true",
  "warren.pair.pod_name": "one",
  "warren.pair.primary": "true",
  "warren.pair.pair_name": "two",
  "warren.pair.local_ip": "192.168.2.100,fd00:2::1",
  "warren.pair.pair_ip": "192.168.2.101,fd00:2::2",
};
const PAIR = { "warren.pair": "true", "warren.pair.pod_name": "two" };

export const PAIR_CASES: readonly Case[] = [
  {
    name: "S1-05 S1-24 two pods are linked under names that the host has, with a mirror, and unlinked by every verb",
    async run(host) {
      const [one, two] = [await pod(host, "one"), await pod(host, "two")];
      await ip(host, ["link add eth9 up type veth peer name eth8"]);
      const config = (labels: Readonly<Record<string, string>>) => {
        const boot = network(host, "warren-bridge", { isGateway: true });
        return network(host, "warren-pair", { boot_network: boot, args: { cni: { labels } } });
      };
      const names = { "warren.pair.local_ifname": "eth9", "warren.pair.pair_ifname": "eth8" };
      const primary = config({ ...PRIMARY, ...names, "warren.pair.mirror": "mirror:both:eth0" });
      const pair = config(PAIR);
      await succeed(host, "STATUS", pair);
      const first = await succeed(host, "ADD", primary, one);
      const second = await succeed(host, "ADD", pair, two);
      await succeed(host, "CHECK", { ...primary, prevResult: first.document }, one);
      await succeed(host, "CHECK", { ...pair, prevResult: second.document }, two);
      for (const address of ["192.168.2.101", "fd00:2::2"]) same(await answers(host, address, "one"), true);
      const received = async () => {
        const counter = "/sys/class/net/eth8/statistics/rx_packets";
        return Number(await host.text(["ip", "netns", "exec", "two", "cat", counter]));
      };
      const before = await received();
      same(await answers(host, "10.88.0.1", "one"), true);
      same((await received()) - before >= 2, true, "copies of a question and its answer");
      await succeed(host, "DEL", pair, two);
      same(await seenLink(host, "eth9", "one"), undefined);
      await collect(host, [primary]);
      same(await seenLink(host, "eth0", "one"), undefined);
    },
  },
  {
    name: "S1-08 an end of a vxlan has the name of its parent on the host",
    async run(host) {
      const target = await pod(host, "one");
      await ip(host, [
        "link add eth0 up type veth peer name wire",
        "link set wire up",
        "addr add 10.9.0.1/24 dev eth0",
      ]);
      const names = { "warren.pair.local_ifname": "eth0", "warren.pair.pair_ifname": "eth0" };
      const labels = { ...PRIMARY, ...names, "warren.pair.pair_parent_address": "10.9.0.2" };
      const config = network(host, "warren-pair", {
        ipam: IPV4,
        parent_interface: "eth0",
        args: { cni: { labels } },
      });
      const { document } = await succeed(host, "ADD", config, target);
      const link = await seenLink(host, "eth0", "one");
      same(
        [link?.linkinfo?.info_kind, link?.mtu, link?.address],
        ["vxlan", 1450, document.interfaces[0].mac],
      );
      await succeed(host, "CHECK", { ...config, prevResult: document }, target);
      await succeed(host, "DEL", config, target);
      same(await seenLink(host, "eth0", "one"), undefined);
    },
  },
];
