// `warren pair --vlan`: the test host's kernel has no vlans.

import type { Printed } from "../support/printed.ts";
import { type Sandbox, WARREN } from "../support/sandbox.ts";
import { seenLink } from "../support/witness.ts";
import { answers, type Case, ip, pod, same } from "./case.ts";

/** Runs `warren pair` with these words. */
async function pair(host: Sandbox, words: string): Promise<void> {
  await host.text([WARREN, "pair", ...words.split(" ")]);
}

export const DIRECT_LINK_CASES: readonly Case[] = [
  {
    name: "S1-23 links of every kind tied by hand under names that the host has, and vlans carry their VLAN's frames alone",
    async run(host) {
      for (const name of ["a", "b", "c"]) await pod(host, name);
      // two cards on one wire, and in the pods links with the name of a card, as on every host
      await ip(host, ["link add eth0 up type veth peer name eth1", "link set eth1 up"]);
      await pair(host, "-n a,eth0,10.0.0.1/24 -V eth0,5");
      await pair(host, "-n b,eth0,10.0.0.2/24,fd00::2/64 --vlan eth1,5 --mtu 1400");
      await pair(host, "-n c,eth0,10.0.0.3/24 -V eth1,6");
      const link = await seenLink(host, "eth0", "b");
      const { id } = (link?.linkinfo?.info_data ?? {}) as Printed;
      same([link?.linkinfo?.info_kind, id, link?.mtu], ["vlan", 5, 1400]);
      same(await Promise.all(["10.0.0.2", "10.0.0.3"].map((address) => answers(host, address, "a"))), [
        true,
        false,
      ]);
      const taken = await host.run([WARREN, "pair", "-n", "a,eth9", "-V", "eth0,5"]);
      same([taken.exitCode, (await seenLink(host, "eth9", "a")) === undefined], [1, true], taken.stderr);
      // the other kinds, whose names are on the host as well
      for (const name of ["a", "b", "c"]) await pair(host, `--delete -n ${name},eth0`);
      await pair(host, "-n a,eth0,10.0.0.1/24 -M eth0,bridge");
      await pair(host, "-n b,eth0,10.0.0.2/24 -M eth1,private");
      await pair(host, "-n a,eth1,10.1.0.1/24 -n b,eth1,10.1.0.2/24");
      await ip(host, ["addr add 10.2.0.1/24 dev eth0"]);
      await pair(host, "-n c,eth0,10.3.0.1/24 -x eth0,10.2.0.2,5");
      same(await Promise.all(["10.0.0.2", "10.1.0.2"].map((address) => answers(host, address, "a"))), [
        true,
        true,
      ]);
      await pair(host, "--delete -n b,eth1");
      for (const name of ["a", "b", "c"]) {
        await pair(host, `--delete -n ${name},eth0`);
        same(await seenLink(host, "eth0", name), undefined);
      }
    },
  },
];
