// Fills a store with leases, by Warren's own code: `fill.ts DATADIR NETWORK SUBNET NETNS < addresses`. It is a process
// of its own, so that the store is closed when it is measured; an open one is quicker to open a second time.

import { parseAddress } from "../src/ip/address.ts";
import { lease } from "../src/ipam/leases.ts";
import { parseRangeSets } from "../src/ipam/pool.ts";
import { holderOf } from "../src/ledger/owner.ts";
import { openStore } from "../src/store/sqlite.ts";

const [dataDir = "", network = "", subnet = "", netns = ""] = process.argv.slice(2);
const addresses = (await Bun.stdin.text()).split("\n");
const sets = parseRangeSets({ ranges: [[{ subnet }]] });
await openStore(dataDir).transaction(async (store) => {
  for (const [index, text] of addresses.entries()) {
    const address = parseAddress(text);
    if (address === undefined) throw new Error(`${JSON.stringify(text)} is no address`);
    const holder = holderOf(network, { containerId: `filler-${index}`, ifname: "eth0", netns }, {});
    await lease(store, holder, {
      sets,
      requested: [address],
      fixed: [],
      order: "round-robin",
      cooldownMs: 0,
    });
  }
});
