// The plugin `ipvlan`: gives a container an interface of its own on a network card of the host, with the card's hardware
// address, for networks that allow but one on a port. Nothing of it is on the host, and it vanishes with the container's
// namespace at the latest. In a chain it can stand on the interface that the plugin before it has made.
import * as v from "valibot";
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
import { placeEntries, runtimeDns } from "../attachment/settings.ts";
import { CniError, ErrorCode, stateDiffers } from "../cni/error.ts";
import { shown } from "../cni/input.ts";
import { definePlugin } from "../cni/plugin.ts";
import type { Result } from "../cni/result.ts";
import { kernelObject } from "../ledger/attachments.ts";
import { connectHost } from "../net/connection.ts";
import { createIpvlan, type IpvlanModeName, ipvlanMode, ipvlanModeOf } from "../net/ipvlan.ts";
import { probeLinkDriver } from "../net/link-driver.ts";
import { proveWritable } from "../store/heartbeat.ts";

const KIND = { plugin: "ipvlan", kind: "ipvlan" } as const;

const config = v.object({
  ...masterEntries,
  mode: v.nullish(v.string()),
  runtimeConfig: v.nullish(v.object({ dns: runtimeDns })),
});

type Config = v.InferOutput<typeof config>;

/** What the config amounts to, worked out before the store or the kernel is touched. */
export interface Plan extends MasterPlan {
  readonly mode: IpvlanModeName;
}

/** Returns the plan of a config; throws CniError 7 naming the value that is wrong. */
export function planOf(config: Config): Plan {
  const text = config.mode ?? "";
  const mode = text === "" ? "l2" : ipvlanMode(text);
  if (mode === undefined) {
    const message = `unknown ipvlan mode: ${shown(text)}`;
    throw new CniError(ErrorCode.invalidConfig, message, "expected l2, l3 or l3s");
  }
  return { ...masterPlanOf(config), mode };
}

/** Returns the plan with the master that the plugin before in the chain has made; throws CniError 7 if that is not one. */
function behind(plan: Plan, previous: Result | undefined): Plan {
  if (plan.master !== undefined || previous === undefined) return plan;
  const [only, ...others] = previous.interfaces;
  if (only !== undefined && only.name !== "" && others.length === 0) return { ...plan, master: only.name };
  // clients know this message
  throw new CniError(
    ErrorCode.invalidConfig,
    "chained master failure. PrevResult lacks a single named interface",
    'name the interface as "master"',
  );
}

export const ipvlan = definePlugin({
  name: KIND.plugin,
  about:
    "Warren ipvlan: gives containers interfaces with addresses of their own on a network card of the host",
  config,
  cleanup: v.object(placeEntries),

  async add(call): Promise<Result> {
    const { previous } = call;
    const plan = behind(planOf(call.config), previous);
    const given = plan.ipamType === undefined && (previous?.ips.length ?? 0) > 0 ? previous : undefined;
    if (plan.ipamType === undefined && given === undefined) {
      throw new CniError(
        ErrorCode.invalidConfig,
        'ipvlan: "ipam" is missing, and no plugin before has given addresses: packets could not find the container',
        "add ipam",
      );
    }
    const { masterInside, mode, mtu } = plan;
    return addOwnInterface(call, KIND, (place) => {
      const master = masterFor(plan, place);
      const settings = { name: call.attachment.ifname, master, masterInside, mode, mtu };
      return {
        ...{ ...plan, given, objects: [kernelObject("master", master.name)] },
        make: (alias) => createIpvlan(place.inside, { ...settings, alias }),
      };
    });
  },

  del: (call) => endOwnInterface(call, KIND),

  async check(call): Promise<void> {
    const plan = planOf(call.config);
    await checkOwnInterface(call, KIND, plan, (link, place, objects) => {
      const master = plan.master ?? objects.find(({ kind }) => kind === "master")?.name;
      checkMaster({ ...plan, master }, place, link);
      const mode = ipvlanModeOf(link);
      if (mode === plan.mode) return;
      throw stateDiffers(`interface ${link.name} has the mode ${mode}, the config says ${plan.mode}`);
    });
  },

  async status({ config, delegate }): Promise<void> {
    const plan = planOf(config);
    await proveWritable(plan.dataDir);
    using host = connectHost();
    probeLinkDriver(host, "ipvlan");
    // in a chain the plugin before makes master and addresses, and there is no telling what they will be
    if (plan.ipamType === undefined) return;
    requireMaster(plan);
    await (await delegate(plan.ipamType)).status();
  },

  gc: (call) => collectOwnInterfaces(call, KIND),
});
