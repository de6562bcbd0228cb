// macspoofchk of bridge with frames that really carry somebody else's address: what a pod sends under its own gets
// through, and what it sends under another one does not, with and without a VLAN's tag.
import { succeed } from "../support/plugins.ts";
import { neighbourOf } from "../support/witness.ts";
import { add, answers, type Case, collect, ip, network, pod, same, traces } from "./case.ts";

const FORGED = "02:00:00:00:00:66";

export const SOURCE_CHECK_CASES: readonly Case[] = [
  {
    name: "macspoofchk drops what carries another source address, in a VLAN too, and goes without a trace",
    async run(host) {
      const config = network(host, "warren-bridge", {
        bridge: "br0",
        vlan: 100,
        vlanTrunk: [{ id: 200 }],
        macspoofchk: true,
      });
      const [liar, witness] = [await pod(host, "liar"), await pod(host, "witness")];
      const before = await traces(host, liar);
      const result = await add(host, [config], liar);
      await add(host, [config], witness);
      const own: string = result.interfaces[2].mac;
      /** Whether the witness answers, and under which hardware address it knows the liar then. */
      const heard = async (subnet: string) => [
        await answers(host, `${subnet}.3`, "liar"),
        await neighbourOf(host, `${subnet}.2`, "witness"),
      ];
      const pretend = (mac: string) => host.text(["ip", "-n", "liar", "link", "set", "eth0", "address", mac]);

      same(await heard("10.88.0"), [true, own]);
      await host.text(["ip", "-n", "witness", "neigh", "flush", "all"]);
      await pretend(FORGED);
      same(await heard("10.88.0"), [false, ""]);
      await pretend(own);
      same(await heard("10.88.0"), [true, own]);

      // the same in frames with a tag, of interfaces that the pods make on theirs
      const inVlan = (name: string, mac: string) =>
        ip(
          host,
          [
            "link add link eth0 name eth0.200 type vlan id 200",
            `link set eth0.200 address ${mac} up`,
            `addr add 10.2.0.${name === "liar" ? 2 : 3}/24 dev eth0.200`,
          ],
          name,
        );
      const [witnessLink] = (await host.json(["ip", "-n", "witness", "-json", "link", "show", "eth0"])) as {
        address: string;
      }[];
      await inVlan("liar", own);
      await inVlan("witness", witnessLink?.address ?? "");
      same(await heard("10.2.0"), [true, own]);
      await host.text(["ip", "-n", "witness", "neigh", "flush", "all"]);
      await host.text(["ip", "-n", "liar", "link", "set", "eth0.200", "address", FORGED]);
      same(await heard("10.2.0"), [false, ""]);

      await succeed(host, "CHECK", { ...config, prevResult: result }, liar);
      await succeed(host, "DEL", config, liar);
      await collect(host, [config]);
      const after = await traces(host, liar);
      same({ ...after, rules: withoutEmpty(after.rules) }, { ...before, links: ["br0"] });
    },
  },
];

/** The rule of the check and its sets stay, as the table does; only elements name pods. */
function withoutEmpty(rules: string): string {
  return /elements/.test(rules) ? rules : "";
}
