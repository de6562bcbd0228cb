// What the config of a network with links says of the node itself: where the store is, by which way other nodes are
// reached, and which numbers its links may have.
import * as v from "valibot";
import { dataDirOf, type PlaceKeys, pairMtu, storeEntries } from "../attachment/settings.ts";
import { CniError, ErrorCode, type ErrorCodeNumber } from "../cni/error.ts";
import { shown } from "../cni/input.ts";
import { interfaceNameProblem } from "../cni/names.ts";
import { type Address, formatAddress, parseAddress } from "../ip/address.ts";
import type { Connection } from "../net/connection.ts";
import { findUnderlay, NoUnderlayError, type Underlay, type UnderlayWish } from "../net/underlay.ts";
import { LARGEST_VNI } from "../net/vxlan.ts";
import type { Transport } from "./ends.ts";
import type { NodePlan } from "./links.ts";

const vni = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(LARGEST_VNI));

/** The schema of these keys. */
export const nodeEntries = {
  ...storeEntries,
  parent_interface: v.nullish(v.string()),
  parent_address: v.nullish(v.string()),
  vniRange: v.nullish(v.strictObject({ first: v.nullish(vni), last: v.nullish(vni) })),
  port: v.nullish(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535))),
  mtu: pairMtu,
};

/**
 * Keys of ratchet, whose configs many have. They are accepted and mean nothing here: there is no etcd, and no second
 * program.
 */
export const INEFFECTIVE_KEYS = ["etcd_host", "etcd_port", "child_path", "use_labels", "cniDir"] as const;

/** The keys as a config has them. */
export type NodeKeys = PlaceKeys & v.InferOutput<v.ObjectSchema<typeof nodeEntries, undefined>>;

/** The first number that the original gave out. */
const FIRST_VNI = 11;

/** What the config amounts to, worked out before the store or the kernel is touched. */
export interface NodeSettings {
  readonly dataDir: string;
  readonly vnis: NodePlan["vnis"];
  readonly port: number | undefined;
  /** Undefined is the kernel's own. */
  readonly mtu: number | undefined;
  readonly wish: UnderlayWish;
}

/** Returns what the config says; throws CniError 7 naming the value that is wrong. */
export function nodeSettings(config: NodeKeys): NodeSettings {
  const said = config.parent_address ?? "";
  const address = said === "" ? undefined : parseAddress(said);
  if (said !== "" && address === undefined) {
    throw new CniError(
      ErrorCode.invalidConfig,
      `pair: "parent_address" is ${shown(said)}`,
      "expected the address at which other nodes reach this one, such as 10.0.0.1",
    );
  }
  const first = config.vniRange?.first ?? FIRST_VNI;
  const last = config.vniRange?.last ?? LARGEST_VNI;
  if (first > last) {
    throw new CniError(
      ErrorCode.invalidConfig,
      `pair: "vniRange" goes from ${first} to ${last}`,
      "expected a first number that is not above the last",
    );
  }
  const interfaceName = config.parent_interface ?? "";
  const problem = interfaceName === "" ? undefined : interfaceNameProblem(interfaceName);
  if (problem !== undefined) {
    throw new CniError(
      ErrorCode.invalidConfig,
      `pair: "parent_interface" is ${shown(interfaceName)}: ${problem.message}`,
      problem.details,
    );
  }
  return {
    dataDir: dataDirOf(config),
    vnis: { first, last },
    port: config.port ?? undefined,
    mtu: config.mtu === 0 ? undefined : (config.mtu ?? undefined),
    wish: { interfaceName: interfaceName === "" ? undefined : interfaceName, address },
  };
}

/** Returns the way to other nodes; throws CniError `code` if there is none. */
export function underlayOf(
  host: Connection,
  { wish }: NodeSettings,
  code: ErrorCodeNumber = ErrorCode.invalidConfig,
): Underlay {
  try {
    return findUnderlay(host, wish);
  } catch (error) {
    if (!(error instanceof NoUnderlayError)) throw error;
    throw new CniError(
      code,
      `pair: ${error.message}`,
      'name the interface to other nodes as "parent_interface"',
      { cause: error },
    );
  }
}

/** Returns the node as the store knows it: only one that has a way to others, said in its config, has an address. */
export function nodePlan(host: Connection, settings: NodeSettings): NodePlan {
  const { wish, vnis } = settings;
  let address: Address | undefined = wish.address;
  if (address === undefined && wish.interfaceName !== undefined) address = underlayOf(host, settings).address;
  return { parentAddress: address === undefined ? "" : formatAddress(address), vnis };
}

/** Returns by what packets of links to other nodes leave. Throws CniError 7 where there is no way. */
export function transportOf(host: Connection, settings: NodeSettings): Transport {
  const { link, address } = underlayOf(host, settings);
  return { host, parent: link, parentAddress: address, port: settings.port };
}
