// The plugin `bridge`: ties a container to a bridge of the host by a pair of interfaces, gives it the addresses
// that its IPAM plugin hands out, and makes the bridge its gateway. Everything that it makes is written down
// before the kernel is touched, so that DEL and GC need nothing but the names of the attachment.
import * as v from "valibot";
import { collectAttachments } from "../attachment/collection.ts";
import { aliasOf, attachmentHash, hostLinkName } from "../attachment/identity.ts";
import { entryOf, release, reserve } from "../attachment/reservation.ts";
import { CniError, ErrorCode, Failures } from "../cni/error.ts";
import { shown } from "../cni/input.ts";
import { interfaceNameProblem } from "../cni/names.ts";
import { type Delegate, definePlugin } from "../cni/plugin.ts";
import { type Dns, dnsOf, dnsSchema, type Interface, type Result, type Route } from "../cni/result.ts";
import { UndoList } from "../cni/undo.ts";
import { addressBytes, formatAddress, parseAddress } from "../ip/address.ts";
import { isAssignable, parseHardwareAddress } from "../ip/hardware-address.ts";
import { defaultGateway, formatPrefix, networkOf, type Prefix, parsePrefix } from "../ip/prefix.ts";
import {
  countAttachments,
  type Entry,
  findAttachment,
  type KernelObject,
  kernelObject,
  listObjects,
} from "../ledger/attachments.ts";
import { describeOwner } from "../ledger/owner.ts";
import {
  addressesOf,
  type BridgeSettings,
  ensureBridge,
  ensureGateway,
  findBridge,
  GatewayConflictError,
  NotABridgeError,
} from "../net/bridge.ts";
import { type Connection, connectHost, connectInside } from "../net/connection.ts";
import { enableForwarding, forwards } from "../net/forwarding.ts";
import {
  bringUp,
  configureInterface,
  type InterfaceAddress,
  missingAddresses,
  missingRoutes,
  routeFrom,
  waitForAddresses,
} from "../net/interface.ts";
import { ensureMasquerade, masqueradeName, missingMasquerade, probeMasquerade } from "../net/masquerade.ts";
import { openNetns } from "../net/netns.ts";
import {
  createVeth,
  findLink,
  hardwareAddressFor,
  type Link,
  normalHardwareAddress,
  removeLink,
  waitForPort,
} from "../net/veth.ts";
import { beat } from "../store/heartbeat.ts";
import { DEFAULT_DATA_DIR, openStore, storeExists } from "../store/sqlite.ts";

const PLUGIN = "bridge";
const DEFAULT_BRIDGE = "cni0";
/** The largest MTU that a veth takes (drivers/net/veth.c). */
const LARGEST_MTU = 65_535;

const flag = v.nullish(v.boolean());
const absolutePath = v.pipe(
  v.string(),
  v.check((path) => path.startsWith("/") && !path.includes("\0"), "an absolute path"),
);
const ipamReference = v.nullish(v.object({ type: v.nullish(v.string()), dataDir: v.nullish(absolutePath) }));

const config = v.object({
  bridge: v.nullish(v.string()),
  isGateway: flag,
  isDefaultGateway: flag,
  forceAddress: flag,
  ipMasq: flag,
  ipMasqBackend: v.nullish(v.picklist(["", "iptables", "nftables"])),
  hairpinMode: flag,
  promiscMode: flag,
  portIsolation: flag,
  disableContainerInterface: flag,
  enabledad: flag,
  mtu: v.nullish(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(LARGEST_MTU))),
  dns: v.nullish(dnsSchema),
  ipam: ipamReference,
  dataDir: v.nullish(absolutePath),
  runtimeConfig: v.nullish(v.object({ mac: v.nullish(v.string()) })),
  args: v.nullish(v.object({ cni: v.nullish(v.object({ mac: v.nullish(v.string()) })) })),
  vlan: v.nullish(v.number()),
  vlanTrunk: v.nullish(v.array(v.unknown())),
  macspoofchk: flag,
});

const cleanup = v.object({ ipam: ipamReference, dataDir: v.nullish(absolutePath) });

type Config = v.InferOutput<typeof config>;
type Cleanup = v.InferOutput<typeof cleanup>;

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
  refuseUnsupported(config);
  const mtu = config.mtu ?? 0;
  return {
    bridge: { name: bridge, mtu: mtu === 0 ? undefined : mtu, promiscuous: config.promiscMode === true },
    ipamType,
    dataDir: dataDirOf(config),
    mtu: mtu === 0 ? undefined : mtu,
    hardwareAddress: requestedHardwareAddress(config, macArgument),
    isGateway: config.isGateway === true || config.isDefaultGateway === true,
    isDefaultGateway: config.isDefaultGateway === true,
    forceAddress: config.forceAddress === true,
    masquerade: config.ipMasq === true && ipamType !== undefined,
    hairpin: config.hairpinMode === true,
    isolated: config.portIsolation === true,
    containerInterface: config.disableContainerInterface !== true,
    detectDuplicates: config.enabledad === true,
    dns: hasAnyDnsKey(config.dns) ? dnsOf(config.dns) : undefined,
  };
}

function ipamTypeOf(config: Cleanup): string | undefined {
  const type = config.ipam?.type ?? "";
  return type === "" ? undefined : type;
}

function dataDirOf(config: Cleanup): string {
  return config.dataDir ?? config.ipam?.dataDir ?? DEFAULT_DATA_DIR;
}

/** An empty list counts as said, as in the reference plugin. */
function hasAnyDnsKey(dns: Config["dns"]): boolean {
  return Object.values(dns ?? {}).some((value) => value !== null && value !== undefined && value !== "");
}

/** Keys of the reference plugin that would be promised and not kept. */
function refuseUnsupported(config: Config): void {
  const unsupported = [
    (config.vlan ?? 0) === 0 ? undefined : "vlan",
    (config.vlanTrunk ?? []).length === 0 ? undefined : "vlanTrunk",
    config.macspoofchk === true ? "macspoofchk" : undefined,
  ].find((key) => key !== undefined);
  if (unsupported === undefined) return;
  throw new CniError(
    ErrorCode.unsupportedField,
    `bridge: "${unsupported}" is not supported`,
    "remove the key, or use the reference bridge plugin for this network",
  );
}

/** The capability wins over `args`, and that over CNI_ARGS. */
function requestedHardwareAddress(config: Config, macArgument: string | undefined): string | undefined {
  const sources = [config.runtimeConfig?.mac, config.args?.cni?.mac, macArgument];
  const text = sources.find((source) => (source ?? "") !== "");
  if (text === undefined || text === null) return undefined;
  const bytes = parseHardwareAddress(text);
  if (bytes === undefined || !isAssignable(bytes)) {
    throw new CniError(
      ErrorCode.invalidConfig,
      `mac ${shown(text)} can't be given to an interface`,
      "expected six bytes, not all zero and no group address, such as 0a:58:0a:01:00:02",
    );
  }
  return normalHardwareAddress(text);
}

/** The addresses that the IPAM plugin gave, with the gateway that a gateway bridge has where it named none. */
function addressesFrom(leased: Result, plan: Plan): InterfaceAddress[] {
  return leased.ips.map(({ address, gateway }) => {
    const prefix = parsePrefix(address);
    if (prefix === undefined) {
      throw new CniError(ErrorCode.decodingFailure, `the IPAM plugin gave the address ${shown(address)}`);
    }
    const named = gateway === undefined ? undefined : parseAddress(gateway);
    return { prefix, gateway: named ?? (plan.isGateway ? defaultGateway(prefix) : undefined) };
  });
}

/** The routes that the IPAM plugin gave, and the default ones that a default gateway adds where it gave none. */
function routesFrom(leased: Result, addresses: readonly InterfaceAddress[], plan: Plan): Route[] {
  const routes = [...leased.routes];
  if (!plan.isDefaultGateway) return routes;
  for (const { gateway } of addresses) {
    if (gateway === undefined) continue;
    const dst = gateway.family === 4 ? "0.0.0.0/0" : "::/0";
    if (routes.some((route) => route.dst === dst && route.gw !== undefined)) continue;
    routes.push({ dst, gw: formatAddress(gateway) });
  }
  return routes;
}

function subnetsOf(addresses: readonly InterfaceAddress[]): Prefix[] {
  const distinct = new Map(
    addresses.map(({ prefix }) => [formatPrefix(networkOf(prefix)), networkOf(prefix)]),
  );
  return [...distinct.values()];
}

function masqueradeObjects(network: string, addresses: readonly InterfaceAddress[]): KernelObject[] {
  return subnetsOf(addresses).map((subnet) => kernelObject("masquerade", masqueradeName(network, subnet)));
}

function refuseTaken(inside: Connection, entry: Entry, netns: string): void {
  const taken = findLink(inside, entry.ifname);
  if (taken === undefined) return;
  throw new CniError(
    ErrorCode.nameTaken,
    `container interface ${shown(entry.ifname)} already exists in ${netns}`,
    `it is a ${taken.kind || "physical"} interface; DEL the attachment first, or choose another CNI_IFNAME`,
  );
}

/** Errors of the host's bridge as a runtime gets to see them. */
function asBridgeError(error: unknown): unknown {
  if (error instanceof NotABridgeError) {
    return new CniError(
      ErrorCode.nameTaken,
      error.message,
      `it is a ${error.link.kind || "physical"} interface: choose another "bridge"`,
      { cause: error },
    );
  }
  if (error instanceof GatewayConflictError) {
    return new CniError(
      ErrorCode.nameTaken,
      error.message,
      `it has ${formatPrefix(error.present)}: set forceAddress to replace it, or choose another bridge`,
      { cause: error },
    );
  }
  return error;
}

function differs(message: string, details = "DEL the attachment, and ADD it again"): CniError {
  return new CniError(ErrorCode.stateDiffers, message, details);
}

/** The container's interface in a result: the one of that name with a sandbox. */
function containerInterface(
  result: Result,
  ifname: string,
): { readonly index: number; readonly one: Interface } {
  const index = result.interfaces.findIndex((one) => one.name === ifname && (one.sandbox ?? "") !== "");
  const one = result.interfaces[index];
  if (one === undefined) {
    throw new CniError(
      ErrorCode.invalidConfig,
      `prevResult has no interface ${shown(ifname)} with a sandbox`,
      "expected the result of this attachment's ADD",
    );
  }
  return { index, one };
}

export const bridge = definePlugin({
  name: PLUGIN,
  about: "Warren bridge: ties containers to a bridge of the host",
  config,
  cleanup,

  async add(call): Promise<Result> {
    const { network, attachment, note } = call;
    const plan = planOf(call.config, call.args.MAC);
    const entry = entryOf(call, PLUGIN);
    using netns = openNetns(attachment.netns);
    using host = connectHost();
    using inside = connectInside(netns);
    refuseTaken(inside, entry, attachment.netns);
    const delegate = plan.ipamType === undefined ? undefined : await call.delegate(plan.ipamType);
    const undo = new UndoList();
    try {
      const { hostLink: hostName, leased } = await reserve(
        call,
        {
          plugin: PLUGIN,
          dataDir: plan.dataDir,
          ipam: delegate,
          objectsFor: (result) =>
            plan.masquerade ? masqueradeObjects(network, addressesFrom(result, plan)) : [],
        },
        () => undo.push("the reservation", () => release(entry, plan.dataDir, delegate)),
      );
      const addresses = addressesFrom(leased, plan);
      const routes = routesFrom(leased, addresses, plan);
      const ipv4 = addresses.find(({ prefix }) => prefix.address.family === 4)?.prefix.address;

      const device = ensureBridge(host, plan.bridge);
      if (plan.isGateway) {
        for (const { prefix, gateway } of addresses) {
          if (gateway === undefined) continue;
          ensureGateway(host, device, { address: gateway, length: prefix.length }, plan.forceAddress);
          enableForwarding(gateway.family);
        }
      }
      if (plan.masquerade) ensureMasquerade(network, subnetsOf(addresses));

      const hostLink = createVeth(host, netns, {
        hostName,
        hostAddress: hardwareAddressFor(attachmentHash(entry), undefined),
        alias: aliasOf(entry),
        containerName: attachment.ifname,
        containerAddress:
          plan.hardwareAddress ??
          hardwareAddressFor(attachmentHash(entry, 1), ipv4 === undefined ? undefined : addressBytes(ipv4)),
        mtu: plan.mtu,
        bridge: device,
        hairpin: plan.hairpin,
        isolated: plan.isolated,
      });
      undo.push(`interface ${hostName}`, () => removeLink(host, hostName));

      const link = findLink(inside, attachment.ifname);
      if (link === undefined)
        throw differs(`interface ${attachment.ifname} is gone from ${attachment.netns}`);
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
      if (plan.containerInterface) waitForPort(host, hostLink.index);
      if (plan.detectDuplicates) waitForAddresses(inside, link.index);

      return {
        interfaces: [
          { name: device.name, mac: device.address, mtu: device.mtu },
          { name: hostLink.name, mac: hostLink.address, mtu: hostLink.mtu },
          { name: link.name, mac: link.address, mtu: link.mtu, sandbox: attachment.netns },
        ],
        ips: addresses.map(({ prefix, gateway }) => ({
          interface: 2,
          address: formatPrefix(prefix),
          ...(gateway === undefined ? {} : { gateway: formatAddress(gateway) }),
        })),
        routes,
        dns: plan.dns ?? leased.dns,
      };
    } catch (error) {
      await undo.run(note);
      throw asBridgeError(error);
    }
  },

  async del({ network, config, attachment, delegate }): Promise<void> {
    const entry = entryOf({ network, attachment }, PLUGIN);
    const dataDir = dataDirOf(config);
    const failures = new Failures();
    await failures.collect(async () => {
      using host = connectHost();
      const objects = storeExists(dataDir)
        ? await openStore(dataDir).transaction((store) => listObjects(store, entry))
        : [];
      const names = objects.filter(({ kind }) => kind === "link").map(({ name }) => name);
      // a store that was lost knows nothing, but the name follows from the attachment
      for (const name of names.length === 0 ? [hostLinkName(entry)] : names) removeLink(host, name);
    });
    await failures.collect(async () => {
      const type = ipamTypeOf(config);
      await release(entry, dataDir, type === undefined ? undefined : await delegate(type));
    });
    failures.rethrow(`DEL of ${describeOwner(entry)}`);
  },

  async check(call): Promise<void> {
    const { network, attachment, previous } = call;
    if (previous === undefined) throw new CniError(ErrorCode.invalidConfig, "Required prevResult missing");
    const plan = planOf(call.config, undefined);
    const entry = entryOf(call, PLUGIN);
    using netns = openNetns(attachment.netns);
    using host = connectHost();
    using inside = connectInside(netns);
    const { index, one } = containerInterface(previous, attachment.ifname);
    const addresses = addressesFrom(
      { ...previous, ips: previous.ips.filter((ip) => ip.interface === index) },
      plan,
    );

    const device = findBridge(host, plan.bridge.name);
    if (device === undefined) throw differs(`bridge ${plan.bridge.name} is gone`);
    if (!device.up) throw differs(`bridge ${device.name} is down`);
    if (plan.bridge.promiscuous && !device.promiscuous)
      throw differs(`bridge ${device.name} is not promiscuous`);

    const link = findLink(inside, attachment.ifname);
    if (link === undefined) throw differs(`interface ${attachment.ifname} is gone from ${attachment.netns}`);
    if (link.kind !== "veth") throw differs(`interface ${link.name} is a ${link.kind}, not a veth`);
    if (one.mac !== undefined && one.mac !== "" && one.mac.toLowerCase() !== link.address) {
      throw differs(`interface ${link.name} has the address ${link.address}, its result says ${one.mac}`);
    }
    if (plan.containerInterface && !link.up) throw differs(`interface ${link.name} is down`);
    if (plan.mtu !== undefined && link.mtu !== plan.mtu) {
      throw differs(`interface ${link.name} has the MTU ${link.mtu}, the config says ${plan.mtu}`);
    }
    checkHostLink(await recordedHostLink(host, plan, entry), {
      plan,
      bridgeIndex: device.index,
      peerIndex: link.index,
    });

    const wanted = addresses.map(({ prefix }) => prefix);
    const [address] = missingAddresses(inside, link.index, wanted);
    if (address !== undefined)
      throw differs(`interface ${link.name} lacks the address ${formatPrefix(address)}`);
    const routes = previous.routes.map((route) => routeFrom(route, addresses));
    const [route] = missingRoutes(inside, link.index, routes);
    if (route !== undefined) {
      throw differs(`interface ${link.name} lacks the route to ${formatPrefix(route.destination)}`);
    }
    if (plan.isGateway) checkGateways(host, device.index, device.name, addresses);
    if (plan.masquerade) {
      const [subnet] = missingMasquerade(network, subnetsOf(addresses));
      if (subnet !== undefined) throw differs(`${formatPrefix(subnet)} is not masqueraded`);
    }
    if (plan.ipamType !== undefined) await (await call.delegate(plan.ipamType)).check();
  },

  async status({ network, config, delegate }): Promise<void> {
    const plan = planOf(config, undefined);
    const attached = await openStore(plan.dataDir).transaction(async (store) => {
      await beat(store);
      return countAttachments(store, network, PLUGIN);
    });
    using host = connectHost();
    const device = findBridge(host, plan.bridge.name);
    if (device === undefined && attached > 0) {
      throw new CniError(
        ErrorCode.limitedConnectivity,
        `bridge ${plan.bridge.name} is gone, and ${attached} attachments of network ${network} depend on it`,
        "an ADD makes the bridge anew, but the containers have to be attached again",
      );
    }
    if (plan.masquerade) probeMasquerade();
    if (plan.ipamType !== undefined) await (await delegate(plan.ipamType)).status();
  },

  async gc({ network, config, valid, delegate, note }): Promise<void> {
    if (valid === undefined) {
      note(`warren-bridge: no list of valid attachments came for network ${network}: nothing is collected`);
      return;
    }
    const dataDir = dataDirOf(config);
    const type = ipamTypeOf(config);
    const failures = new Failures();
    let ipam: Delegate | undefined;
    await failures.collect(async () => {
      ipam = type === undefined ? undefined : await delegate(type);
    });
    await collectAttachments({ network, dataDir, plugin: PLUGIN, valid, ipam, failures, note });
    await failures.collect(async () => ipam?.gc());
    failures.rethrow(`GC of network ${network}`);
  },
});

/** Returns the host's end of the pair by the name that was written down. */
async function recordedHostLink(host: Connection, plan: Plan, entry: Entry): Promise<Link> {
  const [recorded] = storeExists(plan.dataDir)
    ? await openStore(plan.dataDir).transaction(async (store) => {
        if ((await findAttachment(store, entry)) === undefined) return [];
        return (await listObjects(store, entry)).filter(({ kind }) => kind === "link");
      })
    : [];
  if (recorded === undefined) throw differs(`nothing is written down about ${describeOwner(entry)}`);
  const link = findLink(host, recorded.name);
  if (link === undefined) throw differs(`interface ${recorded.name} is gone from the host`);
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
    throw differs(`interface ${link.name} is not the other end of the container's`);
  if (link.master !== bridgeIndex)
    throw differs(`interface ${link.name} is no port of bridge ${plan.bridge.name}`);
  if (!link.up) throw differs(`interface ${link.name} is down`);
  if (plan.mtu !== undefined && link.mtu !== plan.mtu) {
    throw differs(`interface ${link.name} has the MTU ${link.mtu}, the config says ${plan.mtu}`);
  }
  if ((link.port?.hairpin ?? false) !== plan.hairpin) {
    throw differs(`hairpin mode of port ${link.name} is ${plan.hairpin ? "off" : "on"}`);
  }
  if ((link.port?.isolated ?? false) !== plan.isolated) {
    throw differs(`isolation of port ${link.name} is ${plan.isolated ? "off" : "on"}`);
  }
}

function checkGateways(
  host: Connection,
  bridgeIndex: number,
  bridgeName: string,
  addresses: readonly InterfaceAddress[],
): void {
  const present = new Set(addressesOf(host, bridgeIndex).map(formatPrefix));
  for (const { prefix, gateway } of addresses) {
    if (gateway === undefined) continue;
    const wanted = formatPrefix({ address: gateway, length: prefix.length });
    if (!present.has(wanted)) throw differs(`bridge ${bridgeName} lacks the gateway address ${wanted}`);
    if (!forwards(gateway.family)) throw differs(`the host does not forward IPv${gateway.family}`);
  }
}
