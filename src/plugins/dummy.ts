// The plugin `dummy`: gives a container addresses of its own on an interface that leads nowhere, so that programs can listen
// on them whatever becomes of the other interfaces. It vanishes with the container's namespace at the latest.
import * as v from "valibot";
import {
  addOwnInterface,
  checkOwnInterface,
  collectOwnInterfaces,
  endOwnInterface,
} from "../attachment/own-interface.ts";
import { refuseThroughInterface } from "../attachment/reservation.ts";
import {
  type NetworkPlan,
  networkPlanOf,
  type PlaceKeys,
  placeEntries,
  runtimeDns,
} from "../attachment/settings.ts";
import { CniError, ErrorCode } from "../cni/error.ts";
import { definePlugin } from "../cni/plugin.ts";
import type { Result } from "../cni/result.ts";
import { connectHost } from "../net/connection.ts";
import { createDummy } from "../net/dummy.ts";
import { probeLinkDriver } from "../net/link-driver.ts";
import { proveWritable } from "../store/heartbeat.ts";

const KIND = { plugin: "dummy", kind: "dummy" } as const;

const config = v.object({
  ...placeEntries,
  runtimeConfig: v.nullish(v.object({ dns: runtimeDns })),
});

/** Returns what the config says of the network; throws CniError 7 if there is no IPAM plugin. */
function planOf(config: PlaceKeys): NetworkPlan & { readonly ipamType: string } {
  const plan = networkPlanOf(config);
  if (plan.ipamType !== undefined) return { ...plan, ipamType: plan.ipamType };
  // clients know this message
  const message = "dummy interface requires an IPAM configuration";
  throw new CniError(ErrorCode.invalidConfig, message, "add ipam: without addresses it is good for nothing");
}

export const dummy = definePlugin({
  name: KIND.plugin,
  about: "Warren dummy: gives containers addresses on an interface that leads nowhere",
  config,
  cleanup: v.object(placeEntries),

  async add(call): Promise<Result> {
    const plan = planOf(call.config);
    refuseThroughInterface(await call.delegate(plan.ipamType), KIND.plugin);
    return addOwnInterface(call, KIND, ({ inside }) => ({
      ...plan,
      make: (alias) => createDummy(inside, call.attachment.ifname, alias),
    }));
  },

  del: (call) => endOwnInterface(call, KIND),

  async check(call): Promise<void> {
    await checkOwnInterface(call, KIND, planOf(call.config));
  },

  async status({ config, delegate }): Promise<void> {
    const { ipamType, dataDir } = planOf(config);
    const ipam = await delegate(ipamType);
    refuseThroughInterface(ipam, KIND.plugin);
    await proveWritable(dataDir);
    using host = connectHost();
    probeLinkDriver(host, "dummy");
    await ipam.status();
  },

  gc: (call) => collectOwnInterfaces(call, KIND),
});
