// The plugin `bridge`: ties a container to a bridge of the host by a pair of interfaces, gives it the addresses
// that its IPAM plugin hands out, and makes the bridge its gateway. Everything that it makes is written down
// before the kernel is touched, so that DEL and GC need nothing but the names of the attachment.
import * as v from "valibot";
import type { HostInterface } from "../attachment/addition.ts";
import {
  addressesFrom,
  checkGateways,
  ensureGateways,
  gatewayName,
  routesFrom,
} from "../attachment/bridge-gateways.ts";
import {
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
import { vlansOf } from "../attachment/port-vlans.ts";
import { confirmReservation, entryOf, leasedThrough, reserve } from "../attachment/reservation.ts";
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
import { shown } from "../cni/input.ts";
import { interfaceNameProblem, LONGEST_INTERFACE_NAME } from "../cni/names.ts";
import type { CheckCall } from "../cni/plugin.ts";
import { type Dns, dnsSchema, type Result } from "../cni/result.ts";
import { UndoList } from "../cni/undo.ts";
import { optionalFlag, optionalText } from "../cni/value.ts";
import { addressBytes } from "../ip/address.ts";
import { formatPrefix } from "../ip/prefix.ts";
import { type Entry, type KernelObject, kernelObject, listLivingEntries } from "../ledger/attachments.ts";
import { announceAddresses } from "../net/announcement.ts";
import { type BridgeSettings, ensureBridge, findBridge } from "../net/bridge.ts";
import { type Connection, connectHost, connectInside } from "../net/connection.ts";
import {
  bringUp,
  configureInterface,
  type InterfaceAddress,
  routeFrom,
  waitForAddresses,
} from "../net/interface.ts";
import { probeLinkDriver } from "../net/link-driver.ts";
import { ensureMasquerade, masqueradeName, missingMasquerade, probeMasquerade } from "../net/masquerade.ts";
import { openNetns } from "../net/netns.ts";
import { checkSource, isSourceChecked, probeSourceCheck } from "../net/spoof-check.ts";
import { createVeth, findLink, hardwareAddressFor, type Link, removeLink, waitForPort } from "../net/veth.ts";
import {
  ensureVlanGateway,
  filtersVlans,
  type PortVlans,
  probeVlanFilter,
  setPortVlans,
  UnfilteredBridgeError,
  vlanDifference,
  vlanGatewayName,
} from "../net/vlan-filter.ts";
import { proveWritable } from "../store/heartbeat.ts";
import { openStore } from "../store/sqlite.ts";

const PLUGIN = "bridge";
const DEFAULT_BRIDGE = "cni0";

const config = v.object({
  ...placeEntries,
  bridge: optionalText,
  isGateway: optionalFlag,
  isDefaultGateway: optionalFlag,
  forceAddress: optionalFlag,
  ipMasq: optionalFlag,
  ipMasqBackend: v.nullish(v.picklist(["", "iptables", "nftables"])),
  hairpinMode: optionalFlag,
  promiscMode: optionalFlag,
  portIsolation: optionalFlag,
  disableContainerInterface: optionalFlag,
  enabledad: optionalFlag,
  mtu: pairMtu,
  dns: v.nullish(dnsSchema),
  ...chainedEntries,
  runtimeConfig,
  args: v.nullish(v.object({ cni: v.nullish(v.object({ mac: optionalText })) })),
  vlan: v.nullish(v.number()),
  vlanTrunk: v.nullish(
    v.array(
      v.object({ minID: v.nullish(v.number()), maxID: v.nullish(v.number()), id: v.nullish(v.number()) }),
    ),
  ),
  preserveDefaultVlan: optionalFlag,
  macspoofchk: optionalFlag,
});

type Config = v.InferOutput<typeof config>;

/** What the config amounts to, worked out before the store or the kernel is touched. */
interface Plan {
  readonly bridge: BridgeSettings;
  readonly ipamType: string | undefined;
  readonly dataDir: string;
  readonly mtu: number | undefined;
  readonly hardwareAddress: string | undefined;
  readonly isGateway: boolean;
  readonly isDefaultGateway: boolean;
  readonly forceAddress: boolean;
  readonly masquerade: boolean;
  readonly hairpin: boolean;
  readonly isolated: boolean;
  readonly containerInterface: boolean;
  readonly detectDuplicates: boolean;
  /** The VLANs of the host's end; undefined if the bridge has none. */
  readonly vlans: PortVlans | undefined;
  /** The VLAN that the gateway stands in; 0 if it stands on the bridge itself. */
  readonly gatewayVlan: number;
  /** Drop frames of the pod that carry another hardware address than its own. */
  readonly sourceCheck: boolean;
  /** Replaces what the IPAM plugin says, if the config has the key with anything in it. */
  readonly dns: Dns | undefined;
}

/** Returns the plan of a config; throws CniError 7 (or 2 for what is not offered) naming the value. */
function planOf(config: Config, macArgument: string | undefined): Plan {
  const bridge = (config.bridge ?? "") === "" ? DEFAULT_BRIDGE : (config.bridge ?? DEFAULT_BRIDGE);
  const problem = interfaceNameProblem(bridge);
  if (problem !== undefined) {
    throw new CniError(
      ErrorCode.invalidConfig,
      `bridge ${shown(bridge)}: ${problem.message}`,
      problem.details,
    );
  }
  if (config.hairpinMode === true && config.promiscMode === true) {
    throw new CniError(
      ErrorCode.invalidConfig,
      "cannot set hairpin mode and promiscuous mode at the same time",
      "hairpinMode and promiscMode do the same in two ways: choose one",
    );
  }
  const ipamType = ipamTypeOf(config);
  if (config.disableContainerInterface === true && ipamType !== undefined) {
    throw new CniError(
      ErrorCode.invalidConfig,
      "cannot use IPAM when DisableContainerInterface flag is set",
      "an interface that stays down has no use for an address: remove ipam",
    );
  }
  const vlans = vlansOf(config);
  const isGateway = config.isGateway === true || config.isDefaultGateway === true;
  const gatewayVlan = isGateway ? (config.vlan ?? 0) : 0;
  if (gatewayVlan > 0 && vlanGatewayName(bridge, gatewayVlan).length > LONGEST_INTERFACE_NAME) {
    throw new CniError(
      ErrorCode.invalidConfig,
      `bridge ${shown(bridge)}: its gateway in VLAN ${gatewayVlan} would be called ${vlanGatewayName(bridge, gatewayVlan)}`,
      `an interface name has at most ${LONGEST_INTERFACE_NAME} characters: choose a shorter name for the bridge`,
    );
  }
  const mtu = config.mtu ?? 0;
  return {
    bridge: {
      name: bridge,
      mtu: mtu === 0 ? undefined : mtu,
      promiscuous: config.promiscMode === true,
      vlanFiltering: vlans !== undefined,
    },
    ipamType,
    dataDir: dataDirOf(config),
    mtu: mtu === 0 ? undefined : mtu,
    hardwareAddress: requestedHardwareAddress(config, macArgument),
    isGateway,
    isDefaultGateway: config.isDefaultGateway === true,
    forceAddress: config.forceAddress === true,
    masquerade: config.ipMasq === true && ipamType !== undefined,
    hairpin: config.hairpinMode === true,
    isolated: config.portIsolation === true,
    containerInterface: config.disableContainerInterface !== true,
    detectDuplicates: config.enabledad === true,
    vlans,
    gatewayVlan,
    sourceCheck: config.macspoofchk === true,
    dns: dnsOverride(config.dns),
  };
}

/** The interface that the gateway stands on: the bridge itself, or one that is in the network's VLAN. */
function gatewayLinkOf({ bridge: { name }, gatewayVlan }: Plan): string {
  return gatewayVlan > 0 ? vlanGatewayName(name, gatewayVlan) : name;
}

function interfacesOf(plan: Plan, hostLink: string): HostInterface[] {
  return [...new Set([plan.bridge.name, gatewayLinkOf(plan)])]
    .map((name): HostInterface => ({ name, role: "gateway" }))
    .concat({ name: hostLink, role: "port" });
}

/** What an attachment needs beside its pair; `source` is the host's end and the only address that may send to it. */
function objectsFor(
  plan: Plan,
  entry: Entry,
  addresses: readonly InterfaceAddress[],
  source: string,
): KernelObject[] {
  const chains = plan.masquerade ? subnetsOf(addresses) : [];
  const link = gatewayLinkOf(plan);
  const gateways = addresses.flatMap(({ prefix, gateway }) =>
    gateway === undefined ? [] : [formatPrefix({ address: gateway, length: prefix.length })],
  );
  return [
    ...(plan.isGateway ? gateways.map((prefix) => kernelObject("gateway", gatewayName(link, prefix))) : []),
    ...chains.map((subnet) => kernelObject("masquerade", masqueradeName(entry.network, subnet))),
    ...(plan.sourceCheck ? [kernelObject("source check", source)] : []),
  ];
}

/** The address that was asked for, or one that follows from the IPv4 address or, without one, the attachment. */
function containerHardwareAddress(plan: Plan, entry: Entry, addresses: readonly InterfaceAddress[]): string {
  const ipv4 = addresses.find(({ prefix }) => prefix.address.family === 4)?.prefix.address;
  return (
    plan.hardwareAddress ??
    hardwareAddressFor(attachmentHash(entry, 1), ipv4 === undefined ? undefined : addressBytes(ipv4))
  );
}

export const bridge = defineInterfacePlugin({
  name: PLUGIN,
  about: "Warren bridge: ties containers to a bridge of the host",
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
    const delegate = plan.ipamType === undefined ? undefined : await call.delegate(plan.ipamType);
    const isLate = delegate?.needsInterface === true;
    const undo = new UndoList();
    try {
      const reserved = await reserve(
        call,
        {
          plugin: PLUGIN,
          dataDir: plan.dataDir,
          ipam: delegate,
          additions,
          interfacesFor: (link) => interfacesOf(plan, link),
          objectsFor: (result, link) => {
            const addresses = addressesFrom(result, plan);
            const own = containerHardwareAddress(plan, entry, isLate ? [] : addresses);
            return objectsFor(plan, entry, addresses, `${link} ${own}`);
          },
        },
        (release) => undo.push("the reservation", release),
      );
      const { hostLink: hostName } = reserved;
      const early = reserved.leased === undefined ? undefined : addressesFrom(reserved.leased, plan);
      const hardwareAddress = containerHardwareAddress(plan, entry, early ?? []);

      // first what the store takes back: a bridge stays, also where the rest can't be made
      if (plan.masquerade && early !== undefined) ensureMasquerade(network, subnetsOf(early));
      if (plan.vlans !== undefined && findBridge(host, plan.bridge.name) === undefined) probeVlanFilter();
      const device = ensureBridge(host, plan.bridge);
      if (plan.vlans !== undefined && !filtersVlans(device)) throw new UnfilteredBridgeError(device.name);
      const gatewayLink =
        plan.gatewayVlan > 0 && plan.vlans !== undefined
          ? ensureVlanGateway(host, device, plan.vlans)
          : device;
      if (plan.isGateway && early !== undefined) await ensureGateways(host, gatewayLink, early, plan);

      // before it is there: a pair whose settings fail half way has to go, too
      undo.push(`interface ${hostName}`, () => removeLink(host, hostName));
      const hostLink = createVeth(host, netns, {
        hostName,
        hostAddress: hardwareAddressFor(attachmentHash(entry), undefined),
        alias: aliasOf(entry),
        containerName: attachment.ifname,
        containerAddress: hardwareAddress,
        mtu: plan.mtu,
        bridge: device,
        hairpin: plan.hairpin,
        isolated: plan.isolated,
      });
      if (plan.vlans !== undefined) setPortVlans(host, hostLink.index, plan.vlans);
      if (plan.sourceCheck) {
        checkSource({ link: hostName, hardwareAddress, comment: aliasOf(entry) ?? "" });
      }

      const made = findLink(inside, attachment.ifname);
      if (made === undefined) {
        throw stateDiffers(`interface ${attachment.ifname} is gone from ${attachment.netns}`);
      }
      const port = () => waitForPort(host, hostLink.index);
      const { leased, link } = await leasedThrough(inside, made, reserved, port);
      const addresses = early ?? addressesFrom(leased, plan);
      const routes = routesFrom(leased, addresses, plan);
      if (early === undefined) {
        if (plan.masquerade) ensureMasquerade(network, subnetsOf(addresses));
        if (plan.isGateway) await ensureGateways(host, gatewayLink, addresses, plan);
      }
      if (addresses.length > 0) {
        configureInterface(inside, netns, {
          name: attachment.ifname,
          index: link.index,
          addresses,
          routes: routes.map((route) => routeFrom(route, addresses)),
          detectDuplicates: plan.detectDuplicates,
        });
      } else if (plan.containerInterface) {
        bringUp(inside, link.index);
      }
      if (plan.containerInterface) port();
      if (plan.detectDuplicates) waitForAddresses(inside, link.index);
      await confirmReservation(entry, plan.dataDir, attachment.netns);
      if (addresses.length > 0) announceAddresses(inside, link);

      return await additions.make({
        interfaces: [
          { name: device.name, mac: device.address, mtu: device.mtu },
          { name: hostLink.name, mac: hostLink.address, mtu: hostLink.mtu },
          { name: link.name, mac: link.address, mtu: link.mtu, sandbox: attachment.netns },
          ...(gatewayLink === device
            ? []
            : [{ name: gatewayLink.name, mac: gatewayLink.address, mtu: gatewayLink.mtu }]),
        ],
        ips: spelledAddresses(addresses, 2),
        routes,
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
    using netns = openNetns(attachment.netns);
    using host = connectHost();
    using inside = connectInside(netns);
    const reported = reportedInterface(previous, attachment.ifname);
    const { addresses } = reported;

    const device = findBridge(host, plan.bridge.name);
    if (device === undefined) throw stateDiffers(`bridge ${plan.bridge.name} is gone`);
    if (!device.up) throw stateDiffers(`bridge ${device.name} is down`);
    if (plan.bridge.promiscuous && !device.promiscuous) {
      throw stateDiffers(`bridge ${device.name} is not promiscuous`);
    }
    const link = verifyInterface(inside, attachment.netns, {
      kind: "veth",
      reported,
      routes: (previous?.routes ?? []).map((route) => routeFrom(route, addresses)),
      // the container's end may have been given another one by a plugin behind us, such as tuning
      mtu: undefined,
      up: plan.containerInterface,
    });

    const hostLink = await recordedHostLink(host, plan, call);
    if (plan.vlans !== undefined) {
      const difference = vlanDifference(host, hostLink.index, plan.vlans);
      if (difference !== undefined) throw stateDiffers(`port ${hostLink.name}: ${difference}`);
    }
    if (plan.sourceCheck && !isSourceChecked({ link: hostLink.name, hardwareAddress: link.address })) {
      throw stateDiffers(`the source addresses of port ${hostLink.name} are not checked`);
    }
    checkHostLink(hostLink, {
      plan,
      bridgeIndex: device.index,
      peerIndex: link.index,
    });
    if (plan.isGateway) {
      const name = plan.gatewayVlan > 0 ? vlanGatewayName(device.name, plan.gatewayVlan) : device.name;
      const gatewayLink = findLink(host, name);
      if (gatewayLink === undefined)
        throw stateDiffers(`interface ${name}, where the gateway stands, is gone`);
      checkGateways(host, gatewayLink, addresses);
    }
    if (plan.masquerade) {
      const [subnet] = missingMasquerade(network, subnetsOf(addresses));
      if (subnet !== undefined) throw stateDiffers(`${formatPrefix(subnet)} is not masqueraded`);
    }
    if (plan.ipamType !== undefined) await (await call.delegate(plan.ipamType)).check();
  },

  async status({ network, config, delegate }): Promise<void> {
    const plan = planOf(config, undefined);
    await proveWritable(plan.dataDir);
    using host = connectHost();
    if (findBridge(host, plan.bridge.name) === undefined) {
      const living = await openStore(plan.dataDir).read((store) => listLivingEntries(store, network, PLUGIN));
      // an ADD that is under way is written down before it makes the bridge, and makes its pair after that
      const stranded = living.filter(({ objects }) =>
        objects.some(({ kind, name }) => kind === "link" && findLink(host, name) !== undefined),
      );
      if (stranded.length > 0 && findBridge(host, plan.bridge.name) === undefined) {
        throw new CniError(
          ErrorCode.limitedConnectivity,
          `bridge ${plan.bridge.name} is gone, and ${stranded.length} attachments of network ${network} depend on it`,
          "an ADD makes the bridge anew, but the containers have to be attached again",
        );
      }
    }
    probeLinkDriver(host, "bridge");
    probeLinkDriver(host, "veth");
    if (plan.masquerade) probeMasquerade();
    if (plan.sourceCheck) probeSourceCheck();
    if (plan.vlans !== undefined) probeVlanFilter();
    if (plan.ipamType !== undefined) await (await delegate(plan.ipamType)).status();
  },

  async gc(call): Promise<void> {
    await endStaleAttachments(call, PLUGIN);
  },
});

/** Returns the host's end of the pair by the name that was written down. */
async function recordedHostLink(host: Connection, plan: Plan, call: CheckCall<unknown>): Promise<Link> {
  const objects = await requireWritten(call, PLUGIN, plan.dataDir);
  const recorded = objects.find(({ kind }) => kind === "link");
  if (recorded === undefined) throw nothingWritten(entryOf(call, PLUGIN));
  const link = findLink(host, recorded.name);
  if (link === undefined) throw stateDiffers(`interface ${recorded.name} is gone from the host`);
  return link;
}

function checkHostLink(
  link: Link,
  {
    plan,
    bridgeIndex,
    peerIndex,
  }: { readonly plan: Plan; readonly bridgeIndex: number; readonly peerIndex: number },
): void {
  if (link.peerIndex !== peerIndex)
    throw stateDiffers(`interface ${link.name} is not the other end of the container's`);
  if (link.master !== bridgeIndex)
    throw stateDiffers(`interface ${link.name} is no port of bridge ${plan.bridge.name}`);
  if (!link.up) throw stateDiffers(`interface ${link.name} is down`);
  // the container's end may have been given another one by a plugin behind us, such as tuning
  if (plan.mtu !== undefined && link.mtu !== plan.mtu) {
    throw stateDiffers(`interface ${link.name} has the MTU ${link.mtu}, the config says ${plan.mtu}`);
  }
  if ((link.port?.hairpin ?? false) !== plan.hairpin) {
    throw stateDiffers(`hairpin mode of port ${link.name} is ${plan.hairpin ? "off" : "on"}`);
  }
  if ((link.port?.isolated ?? false) !== plan.isolated) {
    throw stateDiffers(`isolation of port ${link.name} is ${plan.isolated ? "off" : "on"}`);
  }
}
