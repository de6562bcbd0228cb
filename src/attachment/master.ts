// The master of a container's interface, as configs name it: which one it is, whether it is fit for an ADD, and what
// CHECK and STATUS say of it. A master is on the host, or with `linkInContainer` in the container itself.
import * as v from "valibot";
import { CniError, ErrorCode, stateDiffers } from "../cni/error.ts";
import { shown } from "../cni/input.ts";
import { interfaceNameProblem } from "../cni/names.ts";
import { dnsSchema } from "../cni/result.ts";
import { type Connection, connectHost } from "../net/connection.ts";
import { findMaster, standsOn } from "../net/master.ts";
import type { Link } from "../net/veth.ts";
import { type NetworkPlan, networkPlanOf, placeEntries } from "./settings.ts";

/** The schema of the keys of a plugin whose interfaces stand on a master. */
export const masterEntries = {
  ...placeEntries,
  master: v.nullish(v.string()),
  mtu: v.nullish(v.pipe(v.number(), v.integer())),
  linkInContainer: v.nullish(v.boolean()),
  dns: v.nullish(dnsSchema),
};

/** What those keys amount to. */
export interface MasterPlan extends NetworkPlan {
  /** Undefined for the interface that the default route leads out of. */
  readonly master: string | undefined;
  readonly masterInside: boolean;
  /** Undefined is the master's. */
  readonly mtu: number | undefined;
}

/** Returns what the keys amount to; throws CniError 7 naming the value that is wrong. */
export function masterPlanOf(
  config: v.InferOutput<v.ObjectSchema<typeof masterEntries, undefined>>,
): MasterPlan {
  const master = (config.master ?? "") === "" ? undefined : (config.master ?? undefined);
  const problem = master === undefined ? undefined : interfaceNameProblem(master);
  if (problem !== undefined) {
    throw new CniError(
      ErrorCode.invalidConfig,
      `master ${shown(master)}: ${problem.message}`,
      problem.details,
    );
  }
  const mtu = config.mtu ?? 0;
  if (mtu < 0) throw mtuError(mtu);
  return {
    ...networkPlanOf(config),
    ...{ master, masterInside: config.linkInContainer === true, mtu: mtu === 0 ? undefined : mtu },
  };
}

function mtuError(mtu: number, master?: Link): CniError {
  return new CniError(
    ErrorCode.invalidConfig,
    `invalid MTU ${mtu}, must be [0, master MTU${master === undefined ? "" : `(${master.mtu})`}]`,
    "0 takes the master's",
  );
}

/** ADD: returns the master, fit for the plan; throws CniError 7 if it is not there, or has a smaller MTU. */
export function masterFor(plan: MasterPlan, { host, inside }: MasterPlace): Link {
  return lookedUp(plan, plan.masterInside ? inside : host, ErrorCode.invalidConfig);
}

/** Returns the master; throws CniError of this code if it is not there, and 7 for the MTU. */
function lookedUp(plan: MasterPlan, where: Connection, code: number): Link {
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

/** Both places that a master can be in. */
export interface MasterPlace {
  readonly host: Connection;
  readonly inside: Connection;
}

/** CHECK: throws CniError 103 unless the link stands on the master of the plan, and that is up. */
export function checkMaster(plan: MasterPlan, { host, inside }: MasterPlace, link: Link): void {
  const master = findMaster(plan.masterInside ? inside : host, plan.master);
  if (master === undefined) throw stateDiffers(`master ${plan.master ?? "by the default route"} is gone`);
  if (!master.up) throw stateDiffers(`master ${master.name} is down`);
  if (!standsOn(inside, link, master, plan.masterInside)) {
    throw stateDiffers(`interface ${link.name} is no ${link.kind} of ${master.name}`);
  }
}

/** STATUS: throws CniError 50 unless the master is there and up, and 7 for the MTU. */
export function requireMaster(plan: MasterPlan): void {
  // one that is in each container can't be looked at before there is one
  if (plan.masterInside) return;
  using host = connectHost();
  const master = lookedUp(plan, host, ErrorCode.notReady);
  if (master.up) return;
  throw new CniError(
    ErrorCode.notReady,
    `master ${shown(master.name)} is down`,
    `bring it up: ip link set ${master.name} up`,
  );
}
