// The plugin `macvlan`: gives a container an interface of its own on a network card of the host, with a hardware
// address of its own, so that it is a neighbour of everybody on that network. Nothing of it is on the host, and it
// vanishes with the container's namespace at the latest.
import * as v from "valibot";
import {
  addressesIn,
  openContainer,
  type RecordedContainer,
  refuseTakenName,
  reportedInterface,
  spelledAddresses,
  verifyInterface,
} from "../attachment/container-interface.ts";
import { endAttachment, endStaleAttachments, writtenAttachment } from "../attachment/end.ts";
import {
  chainedCleanupEntries,
  chainedEntries,
  defineInterfacePlugin,
  runtimeConfig,
} from "../attachment/fused.ts";
import { aliasOf } from "../attachment/identity.ts";
import { confirmReservation, entryOf, reserve } from "../attachment/reservation.ts";
import {
  dataDirOf,
  dnsOverride,
  ipamTypeOf,
  placeEntries,
  requestedHardwareAddress,
  withRuntimeDns,
} from "../attachment/settings.ts";
import { CniError, ErrorCode, stateDiffers } from "../cni/error.ts";
import { shown } from "../cni/input.ts";
import { interfaceNameProblem } from "../cni/names.ts";
import { type Dns, dnsSchema, type Result } from "../cni/result.ts";
import { UndoList } from "../cni/undo.ts";
import { describeOwner, type Owner } from "../ledger/owner.ts";
import { announceAddresses } from "../net/announcement.ts";
import { type Connection, connectHost, connectInside } from "../net/connection.ts";
import { bringUp, configureInterface, routeFrom } from "../net/interface.ts";
import { probeLinkDriver } from "../net/link-driver.ts";
import {
  createMacvlan,
  findMaster,
  finishMacvlan,
  type MacvlanModeName,
  macvlanOf,
  removeMacvlan,
  standsOn,
  UnfitMasterError,
} from "../net/macvlan.ts";
import { openNetns } from "../net/netns.ts";
import { findLink, type Link, removeLink } from "../net/veth.ts";
import { beat } from "../store/heartbeat.ts";
import { openStore } from "../store/sqlite.ts";

const PLUGIN = "macvlan";
const LARGEST_QUEUE = 0xffff_ffff;

const config = v.object({
  ...placeEntries,
  master: v.nullish(v.string()),
  mode: v.nullish(v.string()),
  mtu: v.nullish(v.pipe(v.number(), v.integer())),
  mac: v.nullish(v.string()),
  linkInContainer: v.nullish(v.boolean()),
  bcqueuelen: v.nullish(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(LARGEST_QUEUE))),
  dns: v.nullish(dnsSchema),
  ...chainedEntries,
  runtimeConfig,
  args: v.nullish(v.object({ cni: v.nullish(v.object({ mac: v.nullish(v.string()) })) })),
});

type Config = v.InferOutput<typeof config>;

/** What the config amounts to, worked out before the store or the kernel is touched. */
export interface Plan {
  /** Undefined for the interface that the default route leads out of. */
  readonly master: string | undefined;
  readonly masterInside: boolean;
  readonly mode: MacvlanModeName;
  /** Undefined is the master's. */
  readonly mtu: number | undefined;
  readonly hardwareAddress: string | undefined;
  readonly broadcastQueueLength: number | undefined;
  readonly ipamType: string | undefined;
  readonly dataDir: string;
  /** Replaces what the IPAM plugin says. */
  readonly dns: Dns | undefined;
}

/** Returns the plan of a config; throws CniError 7 naming the value that is wrong. */
export function planOf(config: Config, macArgument: string | undefined): Plan {
  const master = (config.master ?? "") === "" ? undefined : (config.master ?? undefined);
  const problem = master === undefined ? undefined : interfaceNameProblem(master);
  if (problem !== undefined) {
    throw new CniError(
      ErrorCode.invalidConfig,
      `master ${shown(master)}: ${problem.message}`,
      problem.details,
    );
  }
  if ((config.bandwidth ?? config.runtimeConfig?.bandwidth ?? null) !== null) {
    throw new CniError(
      ErrorCode.invalidConfig,
      'macvlan: "bandwidth" is set, and only pairs (bridge, ptp) have an end on the host that can be shaped',
      "remove bandwidth, also from the capabilities",
    );
  }
  const mtu = config.mtu ?? 0;
  if (mtu < 0) throw mtuError(mtu);
  return {
    master,
    masterInside: config.linkInContainer === true,
    mode: modeOf(config.mode ?? ""),
    mtu: mtu === 0 ? undefined : mtu,
    hardwareAddress: requestedHardwareAddress(config, macArgument),
    broadcastQueueLength: config.bcqueuelen === 0 ? undefined : (config.bcqueuelen ?? undefined),
    ipamType: ipamTypeOf(config),
    dataDir: dataDirOf(config),
    dns: dnsOverride(config.dns),
  };
}

function modeOf(text: string): MacvlanModeName {
  switch (text) {
    case "":
      return "bridge";
    case "bridge":
    case "private":
    case "vepa":
    case "passthru":
      return text;
    default:
      throw new CniError(
        ErrorCode.invalidConfig,
        `unknown macvlan mode: ${shown(text)}`,
        "expected bridge, private, vepa or passthru",
      );
  }
}

function mtuError(mtu: number, master?: Link): CniError {
  return new CniError(
    ErrorCode.invalidConfig,
    `invalid MTU ${mtu}, must be [0, master MTU${master === undefined ? "" : `(${master.mtu})`}]`,
    "0 takes the master's",
  );
}

/** Returns the master, fit for the plan; throws CniError of this code if it is not there, and 7 for the MTU. */
function masterFor(plan: Plan, where: Connection, code: number): Link {
  const master = findMaster(where, plan.master);
  if (master === undefined) {
    const place = plan.masterInside ? "in the container" : "on the host";
    throw plan.master === undefined
      ? new CniError(code, `no default route interface found ${place}`, 'name the interface as "master"')
      : new CniError(
          code,
          `failed to lookup master ${shown(plan.master)}: there is no such interface ${place}`,
          plan.masterInside ? "linkInContainer looks there" : "name another master, or make it",
        );
  }
  if (plan.mtu !== undefined && plan.mtu > master.mtu) throw mtuError(plan.mtu, master);
  return master;
}

/** A master that carries no macvlan, as a runtime gets to see it. */
function asMasterError(error: unknown): unknown {
  if (!(error instanceof UnfitMasterError)) return error;
  return new CniError(ErrorCode.kernelRefused, error.message, error.cure, { cause: error });
}

/**
 * Removes the attachment's macvlan from its container, if both are still there. One without an alias is ours only if
 * the attachment is written down: its ADD may have been killed before it could tag the link.
 */
function removeFrom(container: RecordedContainer, owner: Owner, isWritten: boolean): void {
  using netns = openContainer(container);
  if (netns === undefined) return;
  using inside = connectInside(netns);
  const link = findLink(inside, owner.ifname);
  if (link === undefined || macvlanOf(link) === undefined) return;
  if (link.alias === aliasOf(owner) || (link.alias === "" && isWritten)) removeMacvlan(inside, link.index);
}

export const macvlan = defineInterfacePlugin({
  name: PLUGIN,
  about: "Warren macvlan: gives containers interfaces of their own on a network card of the host",
  config,
  cleanup: v.object({ ...placeEntries, ...chainedCleanupEntries }),

  async add(call, additions): Promise<Result> {
    const { attachment, note } = call;
    const plan = planOf(call.config, call.args.MAC);
    const entry = entryOf(call, PLUGIN);
    using netns = openNetns(attachment.netns);
    using host = connectHost();
    using inside = connectInside(netns);
    refuseTakenName(inside, attachment.ifname, attachment.netns);
    const master = masterFor(plan, plan.masterInside ? inside : host, ErrorCode.invalidConfig);
    const ipam = plan.ipamType === undefined ? undefined : await call.delegate(plan.ipamType);
    const undo = new UndoList();
    try {
      const { leased } = await reserve(
        call,
        {
          plugin: PLUGIN,
          dataDir: plan.dataDir,
          ipam,
          pair: false,
          additions,
          interfacesFor: () => [],
          objectsFor: () => [],
        },
        (release) => undo.push("the reservation", release),
      );
      const addresses = addressesIn(leased.ips);

      const settings = {
        name: attachment.ifname,
        master,
        masterInside: plan.masterInside,
        mode: plan.mode,
        mtu: plan.mtu,
        address: plan.hardwareAddress,
        alias: aliasOf(entry),
        broadcastQueueLength: plan.broadcastQueueLength,
      };
      // before it is there: one that can't be looked at after its birth has to go, too; the name was free
      undo.push(`interface ${attachment.ifname}`, () => removeLink(inside, attachment.ifname));
      const made = createMacvlan(inside, settings);
      const link = finishMacvlan(inside, made, settings);
      if (addresses.length === 0) bringUp(inside, link.index);
      else {
        configureInterface(inside, netns, {
          name: link.name,
          index: link.index,
          addresses,
          routes: leased.routes.map((route) => routeFrom(route, addresses)),
          detectDuplicates: false,
        });
      }
      await confirmReservation(entry, plan.dataDir, attachment.netns);
      if (addresses.length > 0) announceAddresses(inside, link);

      return await additions.make({
        interfaces: [{ name: link.name, mac: link.address, mtu: link.mtu, sandbox: attachment.netns }],
        ips: spelledAddresses(addresses, 0),
        routes: leased.routes,
        dns: withRuntimeDns(plan.dns ?? leased.dns, call.config),
      });
    } catch (error) {
      await undo.run(note);
      throw asMasterError(error);
    }
  },

  async del(call): Promise<void> {
    const { attachment } = call;
    await endAttachment(call, PLUGIN, ({ row }) => {
      // where it was made, and where the runtime says that it is: either may be forgotten, or be another one by now
      for (const netns of new Set([row?.netns ?? "", attachment.netns])) {
        const container = { netns, netnsInode: row?.netnsInode ?? null };
        removeFrom(container, entryOf(call, PLUGIN), row !== undefined);
      }
    });
  },

  async check(call): Promise<void> {
    const { attachment, previous } = call;
    const plan = planOf(call.config, undefined);
    const reported = reportedInterface(previous, attachment.ifname);
    using netns = openNetns(attachment.netns);
    using host = connectHost();
    using inside = connectInside(netns);
    const link = verifyInterface(inside, attachment.netns, {
      kind: "macvlan",
      reported,
      routes: (previous?.routes ?? []).map((route) => routeFrom(route, reported.addresses)),
      // a plugin behind us, such as tuning, may have given it another one
      mtu: reported.one.mtu ?? plan.mtu,
    });
    const master = findMaster(plan.masterInside ? inside : host, plan.master);
    if (master === undefined) throw stateDiffers(`master ${plan.master ?? "by the default route"} is gone`);
    if (!master.up) throw stateDiffers(`master ${master.name} is down`);
    if (!standsOn(inside, link, master, plan.masterInside)) {
      throw stateDiffers(`interface ${link.name} is no macvlan of ${master.name}`);
    }
    const own = macvlanOf(link);
    if (own?.mode !== plan.mode) {
      throw stateDiffers(`interface ${link.name} has the mode ${own?.mode}, the config says ${plan.mode}`);
    }
    if (plan.broadcastQueueLength !== undefined && own.broadcastQueueLength !== plan.broadcastQueueLength) {
      throw stateDiffers(
        `interface ${link.name} has the bcqueuelen ${own.broadcastQueueLength}, the config says ${plan.broadcastQueueLength}`,
      );
    }
    const { row } = await writtenAttachment(call, PLUGIN, plan.dataDir);
    if (row === undefined) {
      throw stateDiffers(`nothing is written down about ${describeOwner(entryOf(call, PLUGIN))}`);
    }
    if (plan.ipamType !== undefined) await (await call.delegate(plan.ipamType)).check();
  },

  async status({ config, delegate }): Promise<void> {
    const plan = planOf(config, undefined);
    await openStore(plan.dataDir).transaction(beat);
    using host = connectHost();
    probeLinkDriver(host, "macvlan");
    // a master that is in each container can't be looked at before there is one
    if (!plan.masterInside) {
      const master = masterFor(plan, host, ErrorCode.notReady);
      if (!master.up) {
        throw new CniError(
          ErrorCode.notReady,
          `master ${shown(master.name)} is down`,
          `bring it up: ip link set ${master.name} up`,
        );
      }
    }
    if (plan.ipamType !== undefined) await (await delegate(plan.ipamType)).status();
  },

  async gc(call): Promise<void> {
    await endStaleAttachments(call, PLUGIN, {
      removeInside: ({ owner, netns, netnsInode }) => removeFrom({ netns, netnsInode }, owner, true),
    });
  },
});
