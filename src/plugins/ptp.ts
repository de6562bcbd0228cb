// The plugin `ptp`: ties a container to the host by a pair of interfaces with no bridge in between. The host routes:
// its end of the pair has the gateway's address, and whatever the container sends goes there, so that containers of
// one subnet meet on the host as well.
import * as v from "valibot";
import {
  addressesIn,
  refuseTakenName,
  reportedInterface,
  spelledAddresses,
  subnetsOf,
  verifyInterface,
} from "../attachment/container-interface.ts";
import { endPair, endStaleAttachments } from "../attachment/end.ts";
import {
  chainedCleanupEntries,
  chainedEntries,
  defineInterfacePlugin,
  runtimeConfig,
} from "../attachment/fused.ts";
import { aliasOf, attachmentHash } from "../attachment/identity.ts";
import { confirmReservation, entryOf, refuseThroughInterface, reserve } from "../attachment/reservation.ts";
import {
  dataDirOf,
  dnsOverride,
  ipamTypeOf,
  pairMtu,
  placeEntries,
  requestedHardwareAddress,
  withRuntimeDns,
} from "../attachment/settings.ts";
import { nothingWritten, requireWritten } from "../attachment/written.ts";
import { CniError, ErrorCode, stateDiffers } from "../cni/error.ts";
import { type Dns, dnsSchema, type Result } from "../cni/result.ts";
import { UndoList } from "../cni/undo.ts";
import { addressBytes, sameAddress } from "../ip/address.ts";
import { formatPrefix } from "../ip/prefix.ts";
import { type KernelObject, kernelObject } from "../ledger/attachments.ts";
import { announceAddresses } from "../net/announcement.ts";
import { connectHost, connectInside } from "../net/connection.ts";
import { enableForwarding, forwards } from "../net/forwarding.ts";
import { configureInterface, type InterfaceAddress, routeFrom } from "../net/interface.ts";
import { probeLinkDriver } from "../net/link-driver.ts";
import { ensureMasquerade, masqueradeName, missingMasquerade, probeMasquerade } from "../net/masquerade.ts";
import { openNetns } from "../net/netns.ts";
import { findPeer } from "../net/peer.ts";
import {
  configureHostEnd,
  missingAtHostEnd,
  type PointToPointAddress,
  pointToPointRoutes,
} from "../net/point-to-point.ts";
import { createVeth, findLink, hardwareAddressFor, removeLink, waitForCarrier } from "../net/veth.ts";
import { proveWritable } from "../store/heartbeat.ts";

const PLUGIN = "ptp";

const config = v.object({
  ...placeEntries,
  ipMasq: v.nullish(v.boolean()),
  ipMasqBackend: v.nullish(v.picklist(["", "iptables", "nftables"])),
  mtu: pairMtu,
  dns: v.nullish(dnsSchema),
  ...chainedEntries,
  runtimeConfig,
  args: v.nullish(v.object({ cni: v.nullish(v.object({ mac: v.nullish(v.string()) })) })),
});

type Config = v.InferOutput<typeof config>;

/** What the config amounts to, worked out before the store or the kernel is touched. */
export interface Plan {
  readonly ipamType: string;
  readonly dataDir: string;
  readonly masquerade: boolean;
  /** Undefined is the kernel's own. */
  readonly mtu: number | undefined;
  readonly hardwareAddress: string | undefined;
  /** Replaces what the IPAM plugin says. */
  readonly dns: Dns | undefined;
}

/** Returns the plan of a config; throws CniError 7 naming the value that is wrong. */
export function planOf(config: Config, macArgument: string | undefined): Plan {
  const ipamType = ipamTypeOf(config);
  if (ipamType === undefined) {
    throw new CniError(
      ErrorCode.invalidConfig,
      'ptp: "ipam" is missing: without addresses nothing can be routed to the container',
      "add ipam, or use bridge or macvlan, which work on layer 2",
    );
  }
  return {
    ipamType,
    dataDir: dataDirOf(config),
    masquerade: config.ipMasq === true,
    mtu: config.mtu === 0 ? undefined : (config.mtu ?? undefined),
    hardwareAddress: requestedHardwareAddress(config, macArgument),
    dns: dnsOverride(config.dns),
  };
}

/** Returns the addresses with their gateways; throws CniError 7 for one that nothing could be routed by. */
export function pointToPointAddresses(addresses: readonly InterfaceAddress[]): PointToPointAddress[] {
  return addresses.map(({ prefix, gateway }) => {
    if (gateway !== undefined && !sameAddress(gateway, prefix.address)) return { prefix, gateway };
    throw new CniError(
      ErrorCode.invalidConfig,
      gateway === undefined
        ? `ptp: the address ${formatPrefix(prefix)} has no gateway`
        : `ptp: the address ${formatPrefix(prefix)} is its own gateway`,
      "give each range or address of ipam a gateway: it becomes the address of the host's end",
    );
  });
}

function masqueradeObjects(network: string, addresses: readonly PointToPointAddress[]): KernelObject[] {
  return subnetsOf(addresses).map((subnet) => kernelObject("masquerade", masqueradeName(network, subnet)));
}

export const ptp = defineInterfacePlugin({
  name: PLUGIN,
  about: "Warren ptp: ties containers to the host by routed pairs of interfaces",
  config,
  cleanup: v.object({ ...placeEntries, ...chainedCleanupEntries }),

  async add(call, additions): Promise<Result> {
    const { network, attachment, note } = call;
    const plan = planOf(call.config, call.args.MAC);
    const entry = entryOf(call, PLUGIN);
    using netns = openNetns(attachment.netns);
    using host = connectHost();
    using inside = connectInside(netns);
    refuseTakenName(inside, attachment.ifname, attachment.netns);
    const ipam = await call.delegate(plan.ipamType);
    refuseThroughInterface(ipam, PLUGIN);
    const undo = new UndoList();
    try {
      const reserved = await reserve(
        call,
        {
          plugin: PLUGIN,
          dataDir: plan.dataDir,
          ipam,
          additions,
          interfacesFor: (name) => [{ name, role: "pair" }],
          objectsFor: (result) => {
            const addresses = pointToPointAddresses(addressesIn(result.ips));
            return plan.masquerade ? masqueradeObjects(network, addresses) : [];
          },
        },
        (release) => undo.push("the reservation", release),
      );
      const { hostLink: hostName } = reserved;
      const leased = reserved.leased ?? (await reserved.lease());
      const addresses = pointToPointAddresses(addressesIn(leased.ips));
      const ipv4 = addresses.find(({ prefix }) => prefix.address.family === 4)?.prefix.address;
      for (const { gateway } of addresses) enableForwarding(gateway.family);
      if (plan.masquerade) ensureMasquerade(network, subnetsOf(addresses));

      // before it is there: a pair whose settings fail half way has to go, too
      undo.push(`interface ${hostName}`, () => removeLink(host, hostName));
      const hostEnd = createVeth(host, netns, {
        hostName,
        hostAddress: hardwareAddressFor(attachmentHash(entry), undefined),
        alias: aliasOf(entry),
        containerName: attachment.ifname,
        containerAddress:
          plan.hardwareAddress ??
          hardwareAddressFor(attachmentHash(entry, 1), ipv4 === undefined ? undefined : addressBytes(ipv4)),
        mtu: plan.mtu,
      });
      configureHostEnd(host, hostEnd, addresses);

      const link = findLink(inside, attachment.ifname);
      if (link === undefined) {
        throw stateDiffers(`interface ${attachment.ifname} is gone from ${attachment.netns}`);
      }
      configureInterface(inside, netns, {
        name: link.name,
        index: link.index,
        addresses,
        routes: [
          ...pointToPointRoutes(addresses),
          ...leased.routes.map((route) => routeFrom(route, addresses)),
        ],
        detectDuplicates: false,
        withoutSubnetRoutes: true,
      });
      waitForCarrier(host, hostEnd.index);
      await confirmReservation(entry, plan.dataDir, attachment.netns);
      announceAddresses(inside, link);

      return await additions.make({
        interfaces: [
          { name: hostEnd.name, mac: hostEnd.address, mtu: hostEnd.mtu },
          { name: link.name, mac: link.address, mtu: link.mtu, sandbox: attachment.netns },
        ],
        ips: spelledAddresses(addresses, 1),
        routes: leased.routes,
        dns: withRuntimeDns(plan.dns ?? leased.dns, call.config),
      });
    } catch (error) {
      await undo.run(note);
      throw error;
    }
  },

  async del(call, parts): Promise<void> {
    await endPair(call, PLUGIN, parts);
  },

  async check(call): Promise<void> {
    const { network, attachment, previous } = call;
    const plan = planOf(call.config, undefined);
    const reported = reportedInterface(previous, attachment.ifname);
    const addresses = pointToPointAddresses(reported.addresses);
    using netns = openNetns(attachment.netns);
    using host = connectHost();
    using inside = connectInside(netns);
    const link = verifyInterface(inside, attachment.netns, {
      kind: "veth",
      reported,
      routes: [
        ...pointToPointRoutes(addresses),
        ...(previous?.routes ?? []).map((route) => routeFrom(route, addresses)),
      ],
      // the container's end may have been given another one by a plugin behind us, such as tuning
      mtu: undefined,
    });

    const hostEnd = findPeer(host, netns, link);
    if (hostEnd === undefined) throw stateDiffers(`the other end of ${link.name} is not on the host`);
    const objects = await requireWritten(call, PLUGIN, plan.dataDir);
    const written = objects.find(({ kind }) => kind === "link");
    if (written === undefined) throw nothingWritten(entryOf(call, PLUGIN));
    if (written.name !== hostEnd.name) {
      throw stateDiffers(`the host's end of ${link.name} is ${hostEnd.name}, ADD made ${written.name}`);
    }
    if (!hostEnd.up) throw stateDiffers(`interface ${hostEnd.name} is down`);
    if (plan.mtu !== undefined && hostEnd.mtu !== plan.mtu) {
      throw stateDiffers(`interface ${hostEnd.name} has the MTU ${hostEnd.mtu}, the config says ${plan.mtu}`);
    }
    const lacking = missingAtHostEnd(host, hostEnd, addresses);
    if (lacking !== undefined) throw stateDiffers(`interface ${hostEnd.name} lacks ${lacking}`);
    const still = addresses.find(({ gateway }) => !forwards(gateway.family));
    if (still !== undefined) throw stateDiffers(`the host does not forward IPv${still.gateway.family}`);
    if (plan.masquerade) {
      const [subnet] = missingMasquerade(network, subnetsOf(addresses));
      if (subnet !== undefined) throw stateDiffers(`${formatPrefix(subnet)} is not masqueraded`);
    }
    await (await call.delegate(plan.ipamType)).check();
  },

  async status({ config, delegate }): Promise<void> {
    const plan = planOf(config, undefined);
    await proveWritable(plan.dataDir);
    using host = connectHost();
    probeLinkDriver(host, "veth");
    if (plan.masquerade) probeMasquerade();
    const ipam = await delegate(plan.ipamType);
    refuseThroughInterface(ipam, PLUGIN);
    await ipam.status();
  },

  async gc(call): Promise<void> {
    await endStaleAttachments(call, PLUGIN);
  },
});
