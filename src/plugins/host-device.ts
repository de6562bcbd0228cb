// The plugin `host-device`: lets a container have a device of the host, such as a network card, for itself. It is moved
// in, and DEL and GC give it back under its old name and up or down as it was. What it was is written down first, and a
// tag on the device itself says whose it is, wherever it turns up.
import * as v from "valibot";
import {
  deviceObject,
  devicesIn,
  giveBack,
  giveForeignBack,
  reclaimFrom,
  settleStrays,
  tagFor,
} from "../attachment/borrowed-device.ts";
import {
  addressesIn,
  bringUpWith,
  refuseTakenName,
  reportedInterface,
  spelledAddresses,
  verifyInterface,
} from "../attachment/container-interface.ts";
import { endAttachment, endStaleAttachments } from "../attachment/end.ts";
import { deviceFromTag, deviceTagOf } from "../attachment/identity.ts";
import { confirmReservation, entryOf, leasedThrough, reserve } from "../attachment/reservation.ts";
import {
  type NetworkPlan,
  networkPlanOf,
  placeEntries,
  runtimeDns,
  withRuntimeDns,
} from "../attachment/settings.ts";
import { requireWritten, type WrittenAttachment } from "../attachment/written.ts";
import { CniError, ErrorCode, Failures, stateDiffers } from "../cni/error.ts";
import { shown } from "../cni/input.ts";
import { interfaceNameProblem } from "../cni/names.ts";
import { definePlugin } from "../cni/plugin.ts";
import { dnsSchema, type Result } from "../cni/result.ts";
import { UndoList } from "../cni/undo.ts";
import { formatHardwareAddress, parseHardwareAddress } from "../ip/hardware-address.ts";
import { claimantsOf } from "../ledger/attachments.ts";
import { describeOwner } from "../ledger/owner.ts";
import { type Connection, connectHost, connectInside } from "../net/connection.ts";
import {
  type DeviceChoice,
  findDevice,
  isInUserspace,
  lendDevice,
  listTaggedDevices,
  placeOfDevice,
} from "../net/device.ts";
import { routeFrom } from "../net/interface.ts";
import { openNetns } from "../net/netns.ts";
import type { Link } from "../net/veth.ts";
import { proveWritable } from "../store/heartbeat.ts";
import { inExistingStore } from "../store/sqlite.ts";

const PLUGIN = "host-device";
const HARDWARE = "/sys/devices/";

const config = v.object({
  ...placeEntries,
  device: v.nullish(v.string()),
  hwaddr: v.nullish(v.string()),
  kernelpath: v.nullish(v.string()),
  pciBusID: v.nullish(v.string()),
  useInterfaceNetwork: v.nullish(v.boolean()),
  dns: v.nullish(dnsSchema),
  capabilities: v.nullish(v.looseObject({ deviceID: v.nullish(v.boolean()) })),
  runtimeConfig: v.nullish(
    v.object({
      deviceID: v.nullish(v.string()),
      dns: runtimeDns,
    }),
  ),
});

type Config = v.InferOutput<typeof config>;

/** What the config amounts to, worked out before the store, the kernel or sysfs is looked at. */
export interface Plan extends NetworkPlan {
  /** Undefined where only the hardware's number tells it, or where the runtime has yet to choose one. */
  readonly choice: DeviceChoice | undefined;
  /** The number of the hardware on its bus; the runtime's before the config's. */
  readonly id: string | undefined;
}

/** Returns the plan of a config; throws CniError 7 naming the value that is wrong, and 2 for what is not done. */
export function planOf(config: Config): Plan {
  if (config.useInterfaceNetwork === true) {
    throw new CniError(
      ErrorCode.unsupportedField,
      'host-device: "useInterfaceNetwork" is not supported',
      "give the addresses and routes by ipam, such as warren-static",
    );
  }
  const id = idOf(config);
  const choice = choiceOf(config);
  // a runtime chooses the device with every ADD, and says nothing of it to STATUS
  if (choice === undefined && id === undefined && config.capabilities?.deviceID !== true) {
    // clients know this message
    throw new CniError(
      ErrorCode.invalidConfig,
      'specify either "device", "hwaddr", "kernelpath" or "pciBusID"',
      'or declare the capability "deviceID"',
    );
  }
  return {
    choice,
    id,
    ...networkPlanOf(config),
  };
}

function said(text: string | null | undefined): string | undefined {
  return text === null || text === "" ? undefined : text;
}

function choiceOf(config: Config): DeviceChoice | undefined {
  const refuse = (key: string, value: string, expected: string): never => {
    throw new CniError(ErrorCode.invalidConfig, `"${key}" is ${shown(value)}`, `expected ${expected}`);
  };
  const name = said(config.device);
  if (name !== undefined) {
    const problem = interfaceNameProblem(name);
    if (problem !== undefined) refuse("device", name, `the name of an interface: ${problem.message}`);
    return { by: "name", value: name };
  }
  const address = said(config.hwaddr);
  if (address !== undefined) {
    // an Ethernet card has six bytes, others have eight or twenty
    const bytes = parseHardwareAddress(address);
    if (bytes === undefined && !/^[0-9a-f]{2}([:-][0-9a-f]{2})+$/i.test(address)) {
      refuse("hwaddr", address, "bytes such as 0a:58:0a:01:00:02");
    }
    const spelled = bytes === undefined ? address.replaceAll("-", ":") : formatHardwareAddress(bytes);
    return { by: "hardware address", value: spelled.toLowerCase() };
  }
  const place = said(config.kernelpath);
  if (place === undefined) return undefined;
  if (!place.startsWith(HARDWARE) || place.split("/").includes("..") || place.includes("\0")) {
    refuse("kernelpath", place, `a folder below ${HARDWARE}`);
  }
  return { by: "place", value: place };
}

function idOf({ pciBusID, runtimeConfig }: Config): string | undefined {
  const id = said(runtimeConfig?.deviceID) ?? said(pciBusID);
  if (id === undefined || (!/[/\0]/.test(id) && id !== "." && id !== "..")) return id;
  throw new CniError(
    ErrorCode.invalidConfig,
    `"${id === pciBusID ? "pciBusID" : "runtimeConfig.deviceID"}" is ${shown(id)}`,
    "expected the number of a device on its bus, such as 0000:00:1f.6",
  );
}

/** A program has the hardware: there is no interface that could be moved. */
const IN_USERSPACE = "in userspace";

/** Returns the device of the plan; throws CniError of this code, naming who has it, if it is not on the host. */
async function deviceFor(plan: Plan, host: Connection, code: number): Promise<Link | typeof IN_USERSPACE> {
  const { choice, id } = plan;
  const place = id === undefined ? undefined : placeOfDevice(id);
  if (id !== undefined && place === undefined) {
    throw new CniError(
      code,
      `failed to find host device: no PCI or auxiliary device ${shown(id)}`,
      "see /sys/bus/pci/devices and /sys/bus/auxiliary/devices",
    );
  }
  if (place !== undefined && isInUserspace(place)) return IN_USERSPACE;
  const wanted = choice ?? (place === undefined ? undefined : ({ by: "place", value: place } as const));
  if (wanted === undefined) {
    throw new CniError(
      code,
      "failed to find host device: the runtime chose none",
      'it has to hand one over by the capability "deviceID"',
    );
  }
  const link = findDevice(host, wanted);
  if (link?.name === "lo") {
    throw new CniError(
      code,
      "device lo can't be moved: it is the host's loopback, and a container has its own",
      "choose another device",
    );
  }
  if (link !== undefined) return link;
  const what =
    wanted.by === "place" ? `at ${id ?? wanted.value}` : `with the ${wanted.by} ${shown(wanted.value)}`;
  throw new CniError(
    code,
    `failed to find host device: there is none ${what}`,
    await whereIs(plan.dataDir, host, wanted),
  );
}

/** What became of a device that is not where it should be, as far as anybody knows. */
async function whereIs(dataDir: string, host: Connection, { by, value }: DeviceChoice): Promise<string> {
  if (by === "name") {
    for (const { name, alias } of listTaggedDevices(host)) {
      const tag = deviceFromTag(alias);
      if (tag?.device === value) return `${name} was it: DEL or GC of ${describeOwner(tag.owner)} renames it`;
    }
    const [holder] = await inExistingStore(
      dataDir,
      async (store) => (store === undefined ? [] : claimantsOf(store, { kind: "device", name: value })),
      "read",
    );
    if (holder !== undefined) return `${describeOwner(holder)} has it`;
  }
  return "see: ip link";
}

export const hostDevice = definePlugin({
  name: PLUGIN,
  about: "Warren host-device: lets containers have devices of the host",
  config,
  cleanup: v.object(placeEntries),

  async add(call): Promise<Result> {
    const { attachment, note } = call;
    const plan = planOf(call.config);
    const entry = entryOf(call, PLUGIN);
    using netns = openNetns(attachment.netns);
    using host = connectHost();
    using inside = connectInside(netns);
    refuseTakenName(inside, attachment.ifname, attachment.netns);
    const device = await deviceFor(plan, host, ErrorCode.invalidConfig);
    const objects = device === IN_USERSPACE ? [] : [deviceObject(device)];
    const tag = device === IN_USERSPACE ? "" : tagFor(entry, device);
    const ipam = plan.ipamType === undefined ? undefined : await call.delegate(plan.ipamType);
    const undo = new UndoList();
    try {
      const reserved = await reserve(
        call,
        { plugin: PLUGIN, dataDir: plan.dataDir, ipam, pair: false, objectsFor: () => objects },
        (release) => undo.push("the reservation", release),
      );
      let { leased } = reserved;
      let link: Link | undefined;
      if (device !== IN_USERSPACE) {
        // by the connections that are open: the path may be gone by then
        undo.push(`device ${device.name}`, () => reclaimFrom(host, inside, entry, devicesIn(objects)));
        const lent = lendDevice(host, inside, netns, { device, name: attachment.ifname, tag });
        ({ leased, link } = await leasedThrough(inside, lent, reserved));
      }
      leased ??= await reserved.lease();
      const addresses = addressesIn(leased.ips);
      if (link !== undefined) bringUpWith(inside, netns, link, addresses, leased.routes);
      await confirmReservation(entry, plan.dataDir, attachment.netns);
      const one = { name: attachment.ifname, sandbox: attachment.netns };
      return {
        interfaces: [link === undefined ? one : { ...one, mac: link.address, mtu: link.mtu }],
        ips: spelledAddresses(addresses, 0),
        routes: leased.routes,
        dns: withRuntimeDns(plan.dns ?? leased.dns, call.config),
      };
    } catch (error) {
      await undo.run(note);
      throw error;
    }
  },

  async del(call): Promise<void> {
    const { attachment } = call;
    const remove = ({ row, objects }: WrittenAttachment) => {
      // where it was moved to, and where the runtime says that it is: either may be forgotten, or be another one by now
      const paths = new Set([row?.netns ?? "", attachment.netns]);
      const netnsInode = row?.netnsInode ?? null;
      const containers = [...paths].map((netns) => ({ netns, netnsInode }));
      giveBack(entryOf(call, PLUGIN), objects, containers);
      if (row === undefined) giveForeignBack(attachment, call.remembered());
    };
    await endAttachment(call, PLUGIN, remove, { givesBack: true });
  },

  async check(call): Promise<void> {
    const { attachment, previous } = call;
    const { dataDir, ipamType } = planOf({ ...call.config, capabilities: { deviceID: true } });
    const entry = entryOf(call, PLUGIN);
    const reported = reportedInterface(previous, attachment.ifname);
    const [device] = devicesIn(await requireWritten(call, PLUGIN, dataDir));
    if (device !== undefined) {
      using netns = openNetns(attachment.netns);
      using inside = connectInside(netns);
      const link = verifyInterface(inside, attachment.netns, {
        kind: undefined,
        reported,
        routes: (previous?.routes ?? []).map((route) => routeFrom(route, reported.addresses)),
        mtu: reported.one.mtu,
      });
      if (link.alias !== deviceTagOf(entry, device.name)) {
        throw stateDiffers(`interface ${link.name} is not the device ${device.name} that ADD moved in`);
      }
    }
    if (ipamType !== undefined) await (await call.delegate(ipamType)).check();
  },

  async status({ config, delegate }): Promise<void> {
    const plan = planOf(config);
    await proveWritable(plan.dataDir);
    if (plan.choice !== undefined || plan.id !== undefined) {
      using host = connectHost();
      await deviceFor(plan, host, ErrorCode.notReady);
    }
    if (plan.ipamType !== undefined) await (await delegate(plan.ipamType)).status();
  },

  async gc(call): Promise<void> {
    const { network, valid } = call;
    const failures = new Failures();
    await failures.collect(() =>
      endStaleAttachments(call, PLUGIN, {
        removeInside: ({ owner, objects, ...container }) => giveBack(owner, objects, [container]),
      }),
    );
    await failures.collect(() => settleStrays(network, valid));
    failures.rethrow(`GC of network ${network}`);
  },
});
