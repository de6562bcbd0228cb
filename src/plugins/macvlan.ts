// The plugin `macvlan`: gives a container an interface of its own on a network card of the host, with a hardware
// address of its own, so that it is a neighbour of everybody on that network. Nothing of it is on the host, and it
// vanishes with the container's namespace at the latest.
import * as v from "valibot";
import { refuseTakenName, reportedInterface, verifyInterface } from "../attachment/container-interface.ts";
import {
  chainedCleanupEntries,
  chainedEntries,
  defineInterfacePlugin,
  runtimeConfig,
} from "../attachment/fused.ts";
import {
  checkMaster,
  type MasterPlan,
  masterEntries,
  masterFor,
  masterPlanOf,
  requireMaster,
} from "../attachment/master.ts";
import { addOwnInterface, collectOwnInterfaces, endOwnInterface } from "../attachment/own-interface.ts";
import {
  dataDirOf,
  dnsOverride,
  ipamTypeOf,
  placeEntries,
  requestedHardwareAddress,
} from "../attachment/settings.ts";
import { requireWritten } from "../attachment/written.ts";
import { CniError, ErrorCode, stateDiffers } from "../cni/error.ts";
import { shown } from "../cni/input.ts";
import { type Dns, dnsSchema, type Result } from "../cni/result.ts";
import { connectHost, connectInside } from "../net/connection.ts";
import { routeFrom } from "../net/interface.ts";
import { probeLinkDriver } from "../net/link-driver.ts";
import { createMacvlan, finishMacvlan, type MacvlanModeName, macvlanOf } from "../net/macvlan.ts";
import { openNetns } from "../net/netns.ts";
import { beat } from "../store/heartbeat.ts";
import { openStore } from "../store/sqlite.ts";

const KIND = { plugin: "macvlan", kind: "macvlan" } as const;
const LARGEST_QUEUE = 0xffff_ffff;

const config = v.object({
  ...placeEntries,
  ...masterEntries,
  mode: v.nullish(v.string()),
  mac: v.nullish(v.string()),
  bcqueuelen: v.nullish(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(LARGEST_QUEUE))),
  dns: v.nullish(dnsSchema),
  ...chainedEntries,
  runtimeConfig,
  args: v.nullish(v.object({ cni: v.nullish(v.object({ mac: v.nullish(v.string()) })) })),
});

type Config = v.InferOutput<typeof config>;

/** What the config amounts to, worked out before the store or the kernel is touched. */
export interface Plan extends MasterPlan {
  readonly mode: MacvlanModeName;
  readonly hardwareAddress: string | undefined;
  readonly broadcastQueueLength: number | undefined;
  readonly ipamType: string | undefined;
  readonly dataDir: string;
  /** Replaces what the IPAM plugin says. */
  readonly dns: Dns | undefined;
}

/** Returns the plan of a config; throws CniError 7 naming the value that is wrong. */
export function planOf(config: Config, macArgument: string | undefined): Plan {
  if ((config.bandwidth ?? config.runtimeConfig?.bandwidth ?? null) !== null) {
    throw new CniError(
      ErrorCode.invalidConfig,
      'macvlan: "bandwidth" is set, and only pairs (bridge, ptp) have an end on the host that can be shaped',
      "remove bandwidth, also from the capabilities",
    );
  }
  return {
    ...masterPlanOf(config),
    mode: modeOf(config.mode ?? ""),
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

export const macvlan = defineInterfacePlugin({
  name: KIND.plugin,
  about: "Warren macvlan: gives containers interfaces of their own on a network card of the host",
  config,
  cleanup: v.object({ ...placeEntries, ...chainedCleanupEntries }),

  async add(call, additions): Promise<Result> {
    const { attachment } = call;
    const plan = planOf(call.config, call.args.MAC);
    using netns = openNetns(attachment.netns);
    using host = connectHost();
    using inside = connectInside(netns);
    refuseTakenName(inside, attachment.ifname, attachment.netns);
    const { masterInside, mode, mtu, hardwareAddress: address, broadcastQueueLength } = plan;
    const master = masterFor(plan, masterInside ? inside : host, ErrorCode.invalidConfig);
    return await addOwnInterface(
      call,
      KIND,
      { netns, inside },
      {
        ...plan,
        additions,
        make: (alias) => {
          const own = { name: attachment.ifname, alias, address, mtu };
          const settings = { ...own, master, masterInside, mode, broadcastQueueLength };
          return finishMacvlan(inside, createMacvlan(inside, settings), settings);
        },
      },
    );
  },

  async del(call): Promise<void> {
    await endOwnInterface(call, KIND);
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
    checkMaster(plan, { host, inside }, link);
    const own = macvlanOf(link);
    if (own?.mode !== plan.mode) {
      throw stateDiffers(`interface ${link.name} has the mode ${own?.mode}, the config says ${plan.mode}`);
    }
    if (plan.broadcastQueueLength !== undefined && own.broadcastQueueLength !== plan.broadcastQueueLength) {
      throw stateDiffers(
        `interface ${link.name} has the bcqueuelen ${own.broadcastQueueLength}, the config says ${plan.broadcastQueueLength}`,
      );
    }
    await requireWritten(call, KIND.plugin, plan.dataDir);
    if (plan.ipamType !== undefined) await (await call.delegate(plan.ipamType)).check();
  },

  async status({ config, delegate }): Promise<void> {
    const plan = planOf(config, undefined);
    await openStore(plan.dataDir).transaction(beat);
    using host = connectHost();
    probeLinkDriver(host, "macvlan");
    requireMaster(plan);
    if (plan.ipamType !== undefined) await (await delegate(plan.ipamType)).status();
  },

  async gc(call): Promise<void> {
    await collectOwnInterfaces(call, KIND);
  },
});
