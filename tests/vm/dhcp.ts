// Addresses by DHCP for kinds of interfaces that the test host's kernel lacks: an ipvlan, which hears nothing but broadcasts as
// long as it has no address, and a VLAN.
import { batch, DhcpSite, network } from "../support/dhcp.ts";
import { type Config, succeed } from "../support/plugins.ts";
import { globalAddressesOf, seenLink } from "../support/witness.ts";
import { type Case, same } from "./case.ts";

const POD = { containerId: "pod-1", netns: "pod1" };

/** Takes a pod through the verbs, and expects the server to think as the node does. */
async function walkBy(site: DhcpSite, config: Config): Promise<void> {
  const { host } = site;
  await succeed(host, "STATUS", config);
  const { document } = await succeed(host, "ADD", config, POD);
  const address: string = document.ips[0].address;
  same(globalAddressesOf(await seenLink(host, "eth0", "pod1")), [address]);
  await site.reaches("pod1", "10.67.0.1");
  await succeed(host, "CHECK", { ...config, prevResult: document }, POD);
  await succeed(host, "DEL", config, POD);
  const view = await site.serverHas(({ held }) => held.length === 0);
  same(view.held, [], "held after DEL");
  same(view.released.includes(address.split("/")[0] ?? ""), true, "released after DEL");
  same(await site.leases(), []);
}

export const DHCP_CASES: readonly Case[] = [
  {
    name: "an ipvlan and a VLAN have addresses of a DHCP server on the wire, and give them back",
    async run(host) {
      await using site = await DhcpSite.on(host);
      await site.keep();
      await site.serve();
      await walkBy(site, network({ type: "warren-ipvlan", mode: "l2" }));
      await site.silence();
      const address = "10.67.0.1/24";
      const lines = [`addr del ${address} dev far0`, "link add link far0 name far0.100 type vlan id 100"];
      await batch(host, [...lines, `addr add ${address} dev far0.100`, "link set far0.100 up"], "wire");
      await site.serve(["interface far0.100"]);
      await walkBy(site, network({ type: "warren-vlan", vlanId: 100 }));
    },
  },
];
