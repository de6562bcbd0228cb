// Announcing addresses: a neighbour that remembers another hardware address for what a container is given has the new
// one when ADD returns, and nobody had to wait for that.
import { expect, test } from "bun:test";
import { type Config, succeed } from "../support/plugins.ts";
import { Sandbox } from "../support/sandbox.ts";
import { neighbourOf, type SeenLink, seenLink } from "../support/witness.ts";

const OLD = "02:00:00:00:00:99";
const NEW = "02:00:00:00:00:01";

function ipam(sandbox: Sandbox): Config {
  return {
    type: "warren-ipam",
    dataDir: `${sandbox.directory}/store`,
    ranges: [
      [{ subnet: "10.88.0.0/24", rangeStart: "10.88.0.10" }],
      [{ subnet: "fd00:88::/64", rangeStart: "fd00:88::10" }],
    ],
  };
}

/** A namespace that is on the network already, and remembers somebody else under the addresses that come next. */
async function remember(sandbox: Sandbox, netns: string, device: string, last: string): Promise<void> {
  for (const address of [`10.88.0.${last}`, `fd00:88::${last}`]) {
    const entry = [address, "lladdr", OLD, "dev", device, "nud", "reachable"];
    await sandbox.text(["ip", "-netns", netns, "neigh", "replace", ...entry]);
    expect(await neighbourOf(sandbox, address, netns)).toBe(OLD);
  }
}

/** True if the interface is up and has finished looking for others with its own addresses. */
function hears(link: SeenLink | undefined): boolean {
  const linkLocal = link?.addr_info.find(({ scope }) => scope === "link");
  return link?.operstate === "UP" && linkLocal !== undefined && linkLocal.tentative !== true;
}

test("a neighbour on the bridge is corrected at once, in both families", async () => {
  await using sandbox = await Sandbox.create();
  await sandbox.addNetns("pod1");
  await sandbox.addNetns("pod2");
  const network: Config = {
    cniVersion: "1.1.0",
    name: "lab",
    type: "warren-bridge",
    bridge: "br0",
    isGateway: true,
    ipam: ipam(sandbox),
  };
  await succeed(sandbox, "ADD", network, { containerId: "first", netns: "pod1" });
  await remember(sandbox, "pod1", "eth0", "11");
  const answer = await succeed(
    sandbox,
    "ADD",
    { ...network, runtimeConfig: { mac: NEW } },
    { containerId: "second", netns: "pod2" },
  );
  expect(answer.document.ips.map(({ address }: { address: string }) => address)).toEqual([
    "10.88.0.11/24",
    "fd00:88::11/64",
  ]);
  expect(await neighbourOf(sandbox, "10.88.0.11", "pod1")).toBe(NEW);
  expect(await neighbourOf(sandbox, "fd00:88::11", "pod1")).toBe(NEW);
});

test.each(["bridge", "private", "vepa", "passthru"])(
  "a neighbour on the wire is corrected by a macvlan in mode %s",
  async (mode) => {
    await using sandbox = await Sandbox.create();
    await sandbox.addNetns("pod1");
    await sandbox.addNetns("wire");
    await sandbox.text(["ip", "link", "add", "card0", "up", "type", "veth", "peer", "far0", "netns", "wire"]);
    for (const address of ["10.88.0.1/24", "fd00:88::1/64"]) {
      const nodad = address.includes(":") ? ["nodad"] : [];
      await sandbox.text(["ip", "-netns", "wire", "addr", "add", address, "dev", "far0", ...nodad]);
    }
    await sandbox.text(["ip", "-netns", "wire", "link", "set", "far0", "up"]);
    // whoever is to hear an announcement has been on the wire for longer than the container
    for (let link = await seenLink(sandbox, "far0", "wire"); !hears(link); ) {
      link = await seenLink(sandbox, "far0", "wire");
    }
    await remember(sandbox, "wire", "far0", "10");
    const network: Config = {
      cniVersion: "1.1.0",
      name: "lab",
      type: "warren-macvlan",
      master: "card0",
      mode,
      mac: NEW,
      ipam: ipam(sandbox),
    };
    await succeed(sandbox, "ADD", network, { containerId: "one", netns: "pod1" });
    expect(await neighbourOf(sandbox, "10.88.0.10", "wire")).toBe(NEW);
    expect(await neighbourOf(sandbox, "fd00:88::10", "wire")).toBe(NEW);
  },
);

test("the host hears of every address at the other end of a ptp pair", async () => {
  await using sandbox = await Sandbox.create();
  await sandbox.addNetns("pod1");
  // the host's end is born with the pair, so nothing can be remembered there: what arrives is counted
  await sandbox.text(["nft", "-f", "-"], {
    stdin: `
table arp seen {
  chain input {
    type filter hook input priority 0
    arp saddr ip 10.88.0.10 arp daddr ip 10.88.0.10 counter
  }
}
table ip6 seen {
  chain prerouting {
    type filter hook prerouting priority 0
    ip6 saddr fd00:88::10 ip6 daddr ff02::1 icmpv6 type nd-neighbor-advert counter
  }
}`,
  });
  const network: Config = { cniVersion: "1.1.0", name: "lab", type: "warren-ptp", ipam: ipam(sandbox) };
  await succeed(sandbox, "ADD", network, { containerId: "one", netns: "pod1" });
  const counted = await sandbox.text(["nft", "list", "ruleset"]);
  expect([...counted.matchAll(/packets (\d+)/g)].map(([, packets]) => Number(packets) > 0)).toEqual([
    true,
    true,
  ]);
});
