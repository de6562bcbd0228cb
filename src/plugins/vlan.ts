// The plugin `vlan`: gives a container the tagged frames of one VLAN on a network card of the host, as an interface of its
// own. Nothing of it is on the host, and it vanishes with the container's namespace at the latest.
import * as v from "valibot";
import { refuseTakenName, reportedInterface, verifyInterface } from "../attachment/container-interface.ts";
import {
  checkMaster,
  type MasterPlan,
  masterEntries,
  masterFor,
  masterPlanOf,
  requireMaster,
} from "../attachment/master.ts";
import { addOwnInterface, collectOwnInterfaces, endOwnInterface } from "../attachment/own-interface.ts";
import { dataDirOf, dnsOverride, ipamTypeOf, placeEntries, runtimeDns } from "../attachment/settings.ts";
import { requireWritten } from "../attachment/written.ts";
import { CniError, ErrorCode, stateDiffers } from "../cni/error.ts";
import { definePlugin } from "../cni/plugin.ts";
import { type Dns, dnsSchema, type Result } from "../cni/result.ts";
import { connectHost, connectInside } from "../net/connection.ts";
import { routeFrom } from "../net/interface.ts";
import { probeLinkDriver } from "../net/link-driver.ts";
import { openNetns } from "../net/netns.ts";
import { createVlan, LARGEST_VLAN, vlanIdOf } from "../net/vlan.ts";
import { beat } from "../store/heartbeat.ts";
import { openStore } from "../store/sqlite.ts";

const KIND = { plugin: "vlan", kind: "vlan" } as const;

const config = v.object({
  ...placeEntries,
  ...masterEntries,
  vlanId: v.nullish(v.pipe(v.number(), v.integer())),
  dns: v.nullish(dnsSchema),
  runtimeConfig: v.nullish(v.object({ dns: runtimeDns })),
});

type Config = v.InferOutput<typeof config>;

/** What the config amounts to, worked out before the store or the kernel is touched. */
export interface Plan extends MasterPlan {
  readonly id: number;
  readonly ipamType: string | undefined;
  readonly dataDir: string;
  /** Replaces what the IPAM plugin says. */
  readonly dns: Dns | undefined;
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
  return {
    ...plan,
    id,
    ipamType: ipamTypeOf(config),
    dataDir: dataDirOf(config),
    dns: dnsOverride(config.dns),
  };
}

export const vlan = definePlugin({
  name: KIND.plugin,
  about: "Warren vlan: gives containers the tagged frames of a VLAN on a network card of the host",
  config,
  cleanup: v.object(placeEntries),

  async add(call): Promise<Result> {
    const { attachment } = call;
    const plan = planOf(call.config);
    using netns = openNetns(attachment.netns);
    using host = connectHost();
    using inside = connectInside(netns);
    refuseTakenName(inside, attachment.ifname, attachment.netns);
    const { masterInside: parentInside, id, mtu } = plan;
    const parent = masterFor(plan, parentInside ? inside : host, ErrorCode.invalidConfig);
    return await addOwnInterface(
      call,
      KIND,
      { netns, inside },
      {
        ...plan,
        make: (alias) =>
          createVlan(inside, { name: attachment.ifname, parent, parentInside, id, mtu, alias }),
      },
    );
  },

  async del(call): Promise<void> {
    await endOwnInterface(call, KIND);
  },

  async check(call): Promise<void> {
    const { attachment, previous } = call;
    const plan = planOf(call.config);
    const reported = reportedInterface(previous, attachment.ifname);
    using netns = openNetns(attachment.netns);
    using host = connectHost();
    using inside = connectInside(netns);
    const link = verifyInterface(inside, attachment.netns, {
      kind: KIND.kind,
      reported,
      routes: (previous?.routes ?? []).map((route) => routeFrom(route, reported.addresses)),
      // a plugin behind us, such as tuning, may have given it another one
      mtu: reported.one.mtu ?? plan.mtu,
    });
    checkMaster(plan, { host, inside }, link);
    const id = vlanIdOf(link);
    if (id !== plan.id) {
      throw stateDiffers(`interface ${link.name} is of VLAN ${id}, the config says ${plan.id}`);
    }
    await requireWritten(call, KIND.plugin, plan.dataDir);
    if (plan.ipamType !== undefined) await (await call.delegate(plan.ipamType)).check();
  },

  async status({ config, delegate }): Promise<void> {
    const plan = planOf(config);
    await openStore(plan.dataDir).transaction(beat);
    using host = connectHost();
    probeLinkDriver(host, "vlan");
    requireMaster(plan);
    if (plan.ipamType !== undefined) await (await delegate(plan.ipamType)).status();
  },

  async gc(call): Promise<void> {
    await collectOwnInterfaces(call, KIND);
  },
});
