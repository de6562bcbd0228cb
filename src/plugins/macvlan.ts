// The plugin `macvlan`: gives a container an interface of its own on a network card of the host, with a hardware
// address of its own, so that it is a neighbour of everybody on that network. Nothing of it is on the host, and it
// vanishes with the container's namespace at the latest.
import * as v from "valibot";
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
import {
  addOwnInterface,
  checkOwnInterface,
  collectOwnInterfaces,
  endOwnInterface,
} from "../attachment/own-interface.ts";
import { placeEntries, requestedHardwareAddress } from "../attachment/settings.ts";
import { CniError, ErrorCode, stateDiffers } from "../cni/error.ts";
import { shown } from "../cni/input.ts";
import type { Result } from "../cni/result.ts";
import { connectHost } from "../net/connection.ts";
import { probeLinkDriver } from "../net/link-driver.ts";
import { createMacvlan, finishMacvlan, type MacvlanModeName, macvlanOf } from "../net/macvlan.ts";
import { proveWritable } from "../store/heartbeat.ts";

const KIND = { plugin: "macvlan", kind: "macvlan" } as const;
const LARGEST_QUEUE = 0xffff_ffff;

const config = v.object({
  ...masterEntries,
  mode: v.nullish(v.string()),
  mac: v.nullish(v.string()),
  bcqueuelen: v.nullish(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(LARGEST_QUEUE))),
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
    const plan = planOf(call.config, call.args.MAC);
    const { masterInside, mode, mtu, hardwareAddress: address, broadcastQueueLength } = plan;
    return addOwnInterface(call, KIND, (place) => {
      const master = masterFor(plan, place);
      const own = { name: call.attachment.ifname, address, mtu };
      return {
        ...{ ...plan, additions },
        make: (alias) => {
          const settings = { ...own, alias, master, masterInside, mode, broadcastQueueLength };
          return finishMacvlan(place.inside, createMacvlan(place.inside, settings), settings);
        },
      };
    });
  },

  del: (call) => endOwnInterface(call, KIND),

  async check(call): Promise<void> {
    const plan = planOf(call.config, undefined);
    await checkOwnInterface(call, KIND, plan, (link, place) => {
      checkMaster(plan, place, link);
      const own = macvlanOf(link);
      if (own?.mode !== plan.mode) {
        throw stateDiffers(`interface ${link.name} has the mode ${own?.mode}, the config says ${plan.mode}`);
      }
      const { broadcastQueueLength: wanted } = plan;
      if (wanted === undefined || own.broadcastQueueLength === wanted) return;
      throw stateDiffers(
        `interface ${link.name} has the bcqueuelen ${own.broadcastQueueLength}, the config says ${wanted}`,
      );
    });
  },

  async status({ config, delegate }): Promise<void> {
    const plan = planOf(config, undefined);
    await proveWritable(plan.dataDir);
    using host = connectHost();
    probeLinkDriver(host, "macvlan");
    requireMaster(plan);
    if (plan.ipamType !== undefined) await (await delegate(plan.ipamType)).status();
  },

  gc: (call) => collectOwnInterfaces(call, KIND),
});
