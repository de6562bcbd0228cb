// The plugin `ipvlan`: gives a container an interface of its own on a network card of the host, with the card's hardware
// address, for networks that allow but one on a port. Nothing of it is on the host, and it vanishes with the container's
// namespace at the latest. In a chain it can stand on the interface that the plugin before it has made.
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
import { shown } from "../cni/input.ts";
import { definePlugin } from "../cni/plugin.ts";
import { type Dns, dnsSchema, type Result } from "../cni/result.ts";
import { kernelObject } from "../ledger/attachments.ts";
import { connectHost, connectInside } from "../net/connection.ts";
import { routeFrom } from "../net/interface.ts";
import { createIpvlan, type IpvlanModeName, ipvlanMode, ipvlanModeOf } from "../net/ipvlan.ts";
import { probeLinkDriver } from "../net/link-driver.ts";
import { openNetns } from "../net/netns.ts";
import { beat } from "../store/heartbeat.ts";
import { openStore } from "../store/sqlite.ts";

const KIND = { plugin: "ipvlan", kind: "ipvlan" } as const;

const config = v.object({
  ...placeEntries,
  ...masterEntries,
  mode: v.nullish(v.string()),
  dns: v.nullish(dnsSchema),
  runtimeConfig: v.nullish(v.object({ dns: runtimeDns })),
});

type Config = v.InferOutput<typeof config>;

/** What the config amounts to, worked out before the store or the kernel is touched. */
export interface Plan extends MasterPlan {
  readonly mode: IpvlanModeName;
  readonly ipamType: string | undefined;
  readonly dataDir: string;
  /** Replaces what the IPAM plugin says. */
  readonly dns: Dns | undefined;
}

/** Returns the plan of a config; throws CniError 7 naming the value that is wrong. */
export function planOf(config: Config): Plan {
  const text = config.mode ?? "";
  const mode = text === "" ? "l2" : ipvlanMode(text);
  if (mode === undefined) {
    const message = `unknown ipvlan mode: ${shown(text)}`;
    throw new CniError(ErrorCode.invalidConfig, message, "expected l2, l3 or l3s");
  }
  return {
    ...masterPlanOf(config),
    mode,
    ipamType: ipamTypeOf(config),
    dataDir: dataDirOf(config),
    dns: dnsOverride(config.dns),
  };
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
    const { attachment, previous } = call;
    const plan = behind(planOf(call.config), previous);
    const given = plan.ipamType === undefined && (previous?.ips.length ?? 0) > 0 ? previous : undefined;
    if (plan.ipamType === undefined && given === undefined) {
      throw new CniError(
        ErrorCode.invalidConfig,
        'ipvlan: "ipam" is missing, and no plugin before has given addresses: packets could not find the container',
        "add ipam",
      );
    }
    using netns = openNetns(attachment.netns);
    using host = connectHost();
    using inside = connectInside(netns);
    refuseTakenName(inside, attachment.ifname, attachment.netns);
    const { masterInside, mode, mtu } = plan;
    const master = masterFor(plan, masterInside ? inside : host, ErrorCode.invalidConfig);
    return await addOwnInterface(
      call,
      KIND,
      { netns, inside },
      {
        ...plan,
        given,
        objects: [kernelObject("master", master.name)],
        make: (alias) =>
          createIpvlan(inside, { name: attachment.ifname, master, masterInside, mode, mtu, alias }),
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
    const objects = await requireWritten(call, KIND.plugin, plan.dataDir);
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
    const master = plan.master ?? objects.find(({ kind }) => kind === "master")?.name;
    checkMaster({ ...plan, master }, { host, inside }, link);
    const mode = ipvlanModeOf(link);
    if (mode !== plan.mode) {
      throw stateDiffers(`interface ${link.name} has the mode ${mode}, the config says ${plan.mode}`);
    }
    if (plan.ipamType !== undefined) await (await call.delegate(plan.ipamType)).check();
  },

  async status({ config, delegate }): Promise<void> {
    const plan = planOf(config);
    await openStore(plan.dataDir).transaction(beat);
    using host = connectHost();
    probeLinkDriver(host, "ipvlan");
    // in a chain the plugin before makes master and addresses, and there is no telling what they will be
    if (plan.ipamType === undefined) return;
    requireMaster(plan);
    await (await delegate(plan.ipamType)).status();
  },

  async gc(call): Promise<void> {
    await collectOwnInterfaces(call, KIND);
  },
});
