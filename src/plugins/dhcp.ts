// The plugin `dhcp`: has an address for a container by DHCP, from a server that the container's own interface reaches, with
// the configs of the reference plugin of that name. A daemon keeps what it gets, for an address has to be renewed as long as
// the container lives; where it is away, DEL and GC give addresses back by themselves.

import { knownArguments } from "../cni/arguments.ts";
import { CniError, describeError, ErrorCode, stateDiffers } from "../cni/error.ts";
import { definePlugin } from "../cni/plugin.ts";
import type { Result } from "../cni/result.ts";
import { dnsOf, routesOf } from "../cni/result.ts";
import { cleanupSchema, configSchema, type DhcpPlace, optionsFor, placeOf } from "../dhcp/config.ts";
import { type DhcpLeaseRow, LeaseTable } from "../dhcp/lease-table.ts";
import { encodeOptions } from "../dhcp/option.ts";
import { type Answer, ask, HungUpError, NoDaemonError } from "../dhcp/protocol.ts";
import { giveBack } from "../dhcp/release.ts";
import { lockLeases } from "../dhcp/store-lock.ts";
import { requireIpam } from "../ipam/request.ts";
import { describeOwner, netnsIsGone, type Owner } from "../ledger/owner.ts";
import { storeExists } from "../store/sqlite.ts";

const PLUGIN = "dhcp";

/** How often a daemon that hung up is asked again to release something, and the pause in between. */
const TRIES = 20;
const PAUSE_MS = 50;

function ownerOf({
  network,
  attachment,
}: {
  readonly network: string;
  readonly attachment: { readonly containerId: string; readonly ifname: string };
}): Owner {
  return { network, containerId: attachment.containerId, ifname: attachment.ifname };
}

/** Returns what the daemon said that is leased, with the metric that the config wants; undefined for nothing. */
function resultIn({ result }: Answer, priority: number | null | undefined): Result | undefined {
  if (result === undefined) return undefined;
  const metric = (priority ?? 0) === 0 ? {} : { priority: priority ?? 0 };
  return {
    interfaces: [],
    ips: result.ips.map(({ address, gateway }) => ({
      address,
      ...(gateway === undefined ? {} : { gateway }),
    })),
    routes: routesOf(result.routes).map((route) => ({ ...route, ...metric })),
    dns: dnsOf(result.dns),
  };
}

export const dhcp = definePlugin({
  name: PLUGIN,
  about: "Warren dhcp: has addresses by DHCP, which a daemon renews",
  givesAddresses: true,
  needsInterface: true,
  // the config says which keys of CNI_ARGS there are
  readsArguments: false,
  config: configSchema,
  cleanup: cleanupSchema,

  async add(call): Promise<Result> {
    const { config, attachment, argumentText } = call;
    const ipam = requireIpam(config.ipam);
    const owner = ownerOf(call);
    const options = encodeOptions(optionsFor(config, { ...owner, argumentText })).toHex();
    const { K8S_POD_NAMESPACE: podNamespace = null, K8S_POD_NAME: podName = null } =
      knownArguments(argumentText);
    const { netns } = attachment;
    const { socketPath } = placeOf(config);
    const answer = ask(socketPath, { verb: "add", ...owner, netns, podNamespace, podName, options });
    const result = resultIn(answer, ipam.priority);
    if (result !== undefined) return result;
    throw new CniError(
      ErrorCode.internal,
      `the DHCP daemon at ${socketPath} answered without an address`,
      "see its log",
    );
  },

  async del(call): Promise<void> {
    const place = placeOf(call.config);
    const owner = ownerOf(call);
    await byDaemonOrAlone(
      place,
      call.note,
      () => ask(place.socketPath, { verb: "del", ...owner }),
      (row) =>
        row.network === owner.network && row.containerId === owner.containerId && row.ifname === owner.ifname,
    );
  },

  async check(call): Promise<void> {
    const { config, previous } = call;
    const owner = ownerOf(call);
    const answer = ask(placeOf(config).socketPath, { verb: "check", ...owner });
    const held = resultIn(answer, undefined)?.ips ?? [];
    const [address] = held.map((ip) => ip.address);
    if (address === undefined) throw stateDiffers(`no address is leased by DHCP to ${describeOwner(owner)}`);
    if (answer.lost !== undefined)
      throw stateDiffers(`${describeOwner(owner)} has lost ${address}: ${answer.lost}`);
    const reported = (previous?.ips ?? []).map((ip) => ip.address);
    if (previous === undefined || reported.includes(address)) return;
    throw stateDiffers(
      `${describeOwner(owner)} holds the address ${address}, and its result has ${reported.join(", ") || "none"}`,
    );
  },

  async status({ config, network }): Promise<void> {
    requireIpam(config.ipam);
    // options that are wrong fail every ADD
    optionsFor(config, { network, containerId: "", ifname: "", argumentText: "" });
    ask(placeOf(config).socketPath, { verb: "status" });
  },

  async gc({ config, network, valid, note }): Promise<void> {
    if (valid === undefined) {
      note(
        `warren-${PLUGIN}: no list of valid attachments came for network ${network}: nothing is collected`,
      );
      return;
    }
    const place = placeOf(config);
    const isValid = new Set(valid.map(({ containerId, ifname }) => `${containerId}/${ifname}`));
    const list = valid.map(({ containerId, ifname }) => ({ containerId, ifname }));
    const answer = await byDaemonOrAlone(
      place,
      note,
      () => ask(place.socketPath, { verb: "gc", network, valid: list }),
      (row) => row.network === network && !isValid.has(`${row.containerId}/${row.ifname}`),
    );
    for (const owner of answer?.released ?? [])
      note(`warren-${PLUGIN}: released the lease of ${describeOwner(owner)}`);
  },
});

/** Has the daemon do something or, where there is none, releases by itself what is meant. */
async function byDaemonOrAlone(
  place: DhcpPlace,
  note: (text: string) => void,
  byDaemon: () => Answer,
  isMeant: (row: DhcpLeaseRow) => boolean,
): Promise<Answer | undefined> {
  for (let tries = 1; ; tries++) {
    try {
      return byDaemon();
    } catch (error) {
      if (error instanceof NoDaemonError) {
        await releaseAlone(place.dataDir, note, isMeant, error);
        return undefined;
      }
      // one that was killed takes questions until the kernel has closed its socket
      if (!(error instanceof HungUpError) || tries === TRIES) throw error;
      await Bun.sleep(PAUSE_MS);
    }
  }
}

async function releaseAlone(
  dataDir: string,
  note: (text: string) => void,
  isMeant: (row: DhcpLeaseRow) => boolean,
  reason: NoDaemonError,
): Promise<void> {
  // what was never written down is not held
  if (!storeExists(dataDir)) return;
  const table = new LeaseTable(dataDir);
  if (!(await table.all()).some(isMeant)) return;
  using _ = await lockLeases(dataDir, undefined);
  note(`warren-${PLUGIN}: ${describeError(reason)}; releasing without it`);
  for (const row of (await table.all()).filter(isMeant)) {
    // one that was lost may be somebody else's by now
    if (row.lost === "") {
      note(`warren-${PLUGIN}: ${describeOwner(row)}: ${giveBack(row, netnsIsGone(row) ? "" : row.netns)}`);
    }
    await table.remove(row);
  }
}
