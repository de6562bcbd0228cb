// Kinds of links that the test host's kernel has no modules for. This one loads each when its first link is asked for, and
// what our netlink says and hears of such a link is what ip sees.
import { readFileSync } from "node:fs";
import { createLink, getLink, type LinkSettings, setLink } from "../../src/netlink/link.ts";
import type { LinkDevice } from "../../src/netlink/link-message.ts";
import { NetlinkSocket } from "../../src/netlink/socket.ts";
import { OpenFlag, openFile } from "../../src/sys/files.ts";
import { inNetworkNamespace } from "../../src/sys/namespace.ts";
import type { Sandbox } from "../support/sandbox.ts";
import { seenLink } from "../support/witness.ts";
import { type Case, holds, same } from "./case.ts";

/** Links as we ask for them, on top of `dum0` where they need one beneath, and what ip says of them. */
const KINDS: readonly (readonly [device: LinkDevice, shown: Readonly<Record<string, unknown>>])[] = [
  [{ kind: "dummy" }, {}],
  [{ kind: "ipvlan", data: { mode: 0 } }, { mode: "l2" }],
  [{ kind: "ipvlan", data: { mode: 1 } }, { mode: "l3" }],
  [
    { kind: "vlan", data: { id: 7 } },
    { id: 7, protocol: "802.1Q" },
  ],
  [{ kind: "vrf", data: { table: 1234 } }, { table: 1234 }],
  [{ kind: "wireguard" }, {}],
];
const ON_ANOTHER: readonly string[] = ["ipvlan", "vlan"];

/** The modules of the kinds, as the kernel calls them. */
const MODULES = ["dummy", "ipvlan", "8021q", "vrf", "wireguard"];

/** Opens a socket in the network namespace of a host. */
function socketIn(host: Sandbox): NetlinkSocket {
  using namespace = openFile(`/proc/${host.pid}/ns/net`, OpenFlag.readOnly);
  return inNetworkNamespace(namespace.fd, "host of the case", () => NetlinkSocket.open("route"));
}

export const LINK_KIND_CASES: readonly Case[] = [
  {
    name: "modules dummy, ipvlan, 8021q, vrf and wireguard come when a link is asked for, which ip and we see alike",
    async run(host) {
      using socket = socketIn(host);
      socket.execute([createLink("dum0", { kind: "dummy" }, { up: true })]);
      const find = (name: string) => {
        const [{ replies }] = socket.execute([getLink(name)]);
        const [link] = replies;
        if (link === undefined) throw new Error(`no ${name}`);
        return link;
      };
      const parent = find("dum0").index;
      for (const [number, [asked, shown]] of KINDS.entries()) {
        const name = `link${number}`;
        const settings: LinkSettings = ON_ANOTHER.includes(asked.kind) ? { parent } : {};
        socket.execute([createLink(name, asked, settings)]);
        const { kind, device, index } = find(name);
        same(kind, asked.kind);
        holds(device?.data, { ...asked.data }, kind);
        const link = await seenLink(host, name);
        same([link?.ifindex, link?.linkinfo?.info_kind], [index, kind]);
        holds(link?.linkinfo?.info_data, shown, kind);
      }
      // a vrf takes ports as a bridge does
      const vrf = find("link4").index;
      socket.execute([setLink(parent, { master: vrf })]);
      same(find("dum0").master, vrf);
      same(find("link5").address, "");
      const states = MODULES.map((name) => readFileSync(`/sys/module/${name}/initstate`, "utf8").trim());
      same(
        states,
        MODULES.map(() => "live"),
      );
    },
  },
];
