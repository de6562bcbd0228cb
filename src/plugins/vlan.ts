// The plugin `vlan`: gives a container the tagged frames of one VLAN on a network card of the host, as an interface of its
// own. Nothing of it is on the host, and it vanishes with the container's namespace at the latest.
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
import { definePlugin } from "../cni/plugin.ts";
import type { Result } from "../cni/result.ts";
import { connectHost } from "../net/connection.ts";
import { probeLinkDriver } from "../net/link-driver.ts";
import { createVlan, LARGEST_VLAN, vlanIdOf } from "../net/vlan.ts";
import { proveWritable } from "../store/heartbeat.ts";

const KIND = { plugin: "vlan", kind: "vlan" } as const;

const config = v.object({
  ...masterEntries,
  vlanId: v.nullish(v.pipe(v.number(), v.integer())),
  runtimeConfig: v.nullish(v.object({ dns: runtimeDns })),
});

type Config = v.InferOutput<typeof config>;

/** What the config amounts to, worked out before the store or the kernel is touched. */
export interface Plan extends MasterPlan {
  readonly id: number;
}

/** Returns the plan of a config; throws CniError 7 naming the value that is wrong. */
export function planOf(config: Config): Plan {
  const plan = masterPlanOf(config);
  const refuse = (message: string, details: string): never => {
    throw new CniError(ErrorCode.invalidConfig, message, details);
  };
  if (plan.master === undefined) {
    // clients know this message
    refuse(
      '"master" field is required. It specifies the host interface name to create the VLAN for',
      "name the interface that carries the tagged frames",
    );
  }
  // the reference takes frames with a priority and no VLAN where nothing is said
  const id = config.vlanId ?? 0;
  if (id < 0 || id > LARGEST_VLAN) {
    refuse(`invalid VLAN ID ${id} (must be between 0 and ${LARGEST_VLAN} inclusive)`, "correct vlanId");
  }
  return { ...plan, id };
}

export const vlan = definePlugin({
  name: KIND.plugin,
  about: "Warren vlan: gives containers the tagged frames of a VLAN on a network card of the host",
  config,
  cleanup: v.object(placeEntries),

  async add(call): Promise<Result> {
    const plan = planOf(call.config);
    const { masterInside: parentInside, id, mtu } = plan;
    return addOwnInterface(call, KIND, (place) => {
      const parent = masterFor(plan, place);
      const settings = { name: call.attachment.ifname, parent, parentInside, id, mtu };
      return { ...plan, make: (alias) => createVlan(place.inside, { ...settings, alias }) };
    });
  },

  del: (call) => endOwnInterface(call, KIND),

  async check(call): Promise<void> {
    const plan = planOf(call.config);
    await checkOwnInterface(call, KIND, plan, (link, place) => {
      checkMaster(plan, place, link);
      const id = vlanIdOf(link);
      if (id === plan.id) return;
      throw stateDiffers(`interface ${link.name} is of VLAN ${id}, the config says ${plan.id}`);
    });
  },

  async status({ config, delegate }): Promise<void> {
    const plan = planOf(config);
    await proveWritable(plan.dataDir);
    using host = connectHost();
    probeLinkDriver(host, "vlan");
    requireMaster(plan);
    if (plan.ipamType !== undefined) await (await delegate(plan.ipamType)).status();
  },

  gc: (call) => collectOwnInterfaces(call, KIND),
});
