// Drivers of the links that Warren makes: modules that a kernel may lack. The kernel is asked for a link that it must
// refuse, but only after it has found, or loaded, the driver, so that nothing is ever made.
import { createLink, deleteLink, veth } from "../netlink/link.ts";
import { IpvlanMode, type LinkDevice, MacvlanMode } from "../netlink/link-message.ts";
import { isNetlinkError } from "../netlink/message.ts";
import type { Connection } from "./connection.ts";
import { MissingFeatureError } from "./feature.ts";

const PROBE = "warren-probe";
/** A group's address, which no link may have: the driver itself says so. */
const REFUSED_ADDRESS = "01:00:00:00:00:00";

const DEVICES = {
  bridge: { kind: "bridge" },
  veth: veth({ name: `${PROBE}-peer` }),
  macvlan: { kind: "macvlan", data: { mode: MacvlanMode.bridge } },
  dummy: { kind: "dummy" },
  vrf: { kind: "vrf", data: { table: 1 } },
  vxlan: { kind: "vxlan", data: { id: 1 } },
  vlan: { kind: "vlan", data: { id: 1 } },
  ipvlan: { kind: "ipvlan", data: { mode: IpvlanMode.l2 } },
} satisfies Readonly<Record<string, LinkDevice>>;

/** Where the module has another name. */
const MODULES: Readonly<Record<string, string>> = { vlan: "8021q" };

/** Throws MissingFeatureError if the kernel has no links of this kind, NetlinkError for what else is wrong. */
export function probeLinkDriver(host: Connection, kind: keyof typeof DEVICES): void {
  const [{ error }] = host.attempt([createLink(PROBE, DEVICES[kind], { address: REFUSED_ADDRESS })]);
  // no kernel known does that
  if (error === undefined) host.attempt([deleteLink(PROBE)]);
  if (error === undefined || isNetlinkError(error, "EADDRNOTAVAIL", "EINVAL")) return;
  if (!isNetlinkError(error, "EOPNOTSUPP")) throw error;
  throw new MissingFeatureError(kind, `load the module ${MODULES[kind] ?? kind}`, { cause: error });
}
