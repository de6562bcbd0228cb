// The plugin `tap`: gives a container an interface whose other end is a program in it, such as a virtual machine. It is made
// in the container, can be a port of a bridge there, and vanishes with the container's namespace at the latest.
import * as v from "valibot";
import {
  addOwnInterface,
  checkOwnInterface,
  collectOwnInterfaces,
  endOwnInterface,
} from "../attachment/own-interface.ts";
import {
  type NetworkPlan,
  networkPlanOf,
  placeEntries,
  requestedHardwareAddress,
  runtimeDns,
} from "../attachment/settings.ts";
import { CniError, ErrorCode, stateDiffers } from "../cni/error.ts";
import { shown } from "../cni/input.ts";
import { definePlugin } from "../cni/plugin.ts";
import { dnsSchema, type Result } from "../cni/result.ts";
import type { Connection } from "../net/connection.ts";
import { createTap, probeTap, type TapAccess, tapAccessOf } from "../net/tap.ts";
import { findLink, type Link } from "../net/veth.ts";
import { proveWritable } from "../store/heartbeat.ts";

const KIND = { plugin: "tap", kind: "tun" } as const;
const LARGEST_32_BITS = 0xffff_ffff;
/** What the kernel takes (drivers/net/tun.c). */
const LARGEST_MTU = 65_521;

const number = (largest: number) =>
  v.nullish(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(largest)));

const config = v.object({
  ...placeEntries,
  multiQueue: v.nullish(v.boolean()),
  mtu: number(LARGEST_MTU),
  mac: v.nullish(v.string()),
  owner: number(LARGEST_32_BITS),
  group: number(LARGEST_32_BITS),
  selinuxContext: v.nullish(v.string()),
  bridge: v.nullish(v.string()),
  dns: v.nullish(dnsSchema),
  runtimeConfig: v.nullish(v.object({ mac: v.nullish(v.string()), dns: runtimeDns })),
  args: v.nullish(v.object({ cni: v.nullish(v.object({ mac: v.nullish(v.string()) })) })),
});

type Config = v.InferOutput<typeof config>;

/** What the config amounts to, worked out before the store or the kernel is touched. */
export interface Plan extends NetworkPlan {
  readonly access: TapAccess;
  /** Undefined is the kernel's own. */
  readonly mtu: number | undefined;
  readonly hardwareAddress: string | undefined;
  /** The name of a bridge in the container. */
  readonly bridge: string | undefined;
}

/** Returns the plan of a config; throws CniError 7 naming the value that is wrong, and 2 for what is not done. */
export function planOf(config: Config, macArgument: string | undefined): Plan {
  if ((config.selinuxContext ?? "") !== "") {
    throw new CniError(
      ErrorCode.unsupportedField,
      'tap: "selinuxContext" is not supported',
      "a process can't take another label on without starting a program: label Warren's executable instead",
    );
  }
  return {
    access: {
      owner: config.owner ?? undefined,
      group: config.group ?? undefined,
      multiQueue: config.multiQueue === true,
    },
    mtu: config.mtu === 0 ? undefined : (config.mtu ?? undefined),
    hardwareAddress: requestedHardwareAddress(config, macArgument),
    bridge: (config.bridge ?? "") === "" ? undefined : (config.bridge ?? undefined),
    ...networkPlanOf(config),
  };
}

/** Returns the bridge in the container; throws CniError 7 if it is not there, or no bridge. */
function bridgeIn(inside: Connection, name: string | undefined): Link | undefined {
  if (name === undefined) return undefined;
  const link = findLink(inside, name);
  if (link?.kind === "bridge") return link;
  throw new CniError(
    ErrorCode.invalidConfig,
    `failed to get bridge ${shown(name)}: ${link === undefined ? "there is none" : "it is no bridge"}`,
    "it has to be in the container before the tap comes",
  );
}

export const tap = definePlugin({
  name: KIND.plugin,
  about: "Warren tap: gives containers interfaces whose other end is a program",
  config,
  cleanup: v.object(placeEntries),

  async add(call): Promise<Result> {
    const plan = planOf(call.config, call.args.MAC);
    const { access, mtu, hardwareAddress: address } = plan;
    return addOwnInterface(call, KIND, ({ netns, inside }) => {
      const settings = { name: call.attachment.ifname, ...access, mtu, address };
      const bridge = bridgeIn(inside, plan.bridge);
      return { ...plan, make: (alias) => createTap(netns, inside, { ...settings, bridge, alias }) };
    });
  },

  del: (call) => endOwnInterface(call, KIND),

  async check(call): Promise<void> {
    const plan = planOf(call.config, undefined);
    await checkOwnInterface(call, KIND, plan, (link, { inside }) => {
      const found = tapAccessOf(link);
      for (const key of ["owner", "group", "multiQueue"] as const) {
        const wanted = plan.access[key];
        if (wanted === undefined || found?.[key] === wanted) continue;
        throw stateDiffers(`${key} of interface ${link.name} is ${found?.[key] ?? "not set"}, not ${wanted}`);
      }
      if (plan.bridge !== undefined && findLink(inside, plan.bridge)?.index !== link.master) {
        throw stateDiffers(`interface ${link.name} is no port of ${plan.bridge}`);
      }
    });
  },

  async status({ config, delegate }): Promise<void> {
    const plan = planOf(config, undefined);
    await proveWritable(plan.dataDir);
    probeTap();
    if (plan.ipamType !== undefined) await (await delegate(plan.ipamType)).status();
  },

  gc: (call) => collectOwnInterfaces(call, KIND),
});
