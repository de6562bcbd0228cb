// The plugin `mesh`: says in STATUS whether this node's part of the network between nodes is there, so that a runtime
// sends no pod where none could reach the others. It is a key of the plugin that ties pods to the bridge, and needs no
// process of its own; behind the plugin of another suite it stands in the chain, and lets ADD pass.
import * as v from "valibot";
import { defineChained, requirePrevious } from "../attachment/addition.ts";
import { CniError, ErrorCode } from "../cni/error.ts";
import { optionalPath } from "../cni/value.ts";
import { parsePrefix } from "../ip/prefix.ts";
import { KeyFileError } from "../mesh/key.ts";
import { type NodeNetwork, planFor } from "../mesh/node-network.ts";
import type { MeshPlan } from "../mesh/plan.ts";
import { DEFAULT_CONFIG, readMeshSettings } from "../mesh/settings.ts";
import { findingText, inspect, probe } from "../mesh/topology.ts";
import { MissingFeatureError } from "../net/feature.ts";

const PLUGIN = "mesh";

const config = v.object({
  config: optionalPath,
  nodeCIDRs: v.pipe(
    v.array(
      v.pipe(
        v.string(),
        v.check((text) => parsePrefix(text) !== undefined, "a subnet, such as 10.244.1.0/24"),
      ),
    ),
    v.check((list) => list.length > 0, "at least one"),
  ),
  dataDir: optionalPath,
});

type Config = v.InferOutput<typeof config>;

/** Throws CniError 50 unless all of the mesh is there on this node, and 7 for a configuration that is wrong. */
async function requireMesh({ config: file, nodeCIDRs }: Config): Promise<void> {
  const configFile = file ?? DEFAULT_CONFIG;
  const network: NodeNetwork = { settings: readMeshSettings(configFile), configFile };
  const blocks = nodeCIDRs.map(parsePrefix).filter((block) => block !== undefined);
  let plan: MeshPlan;
  try {
    plan = await planFor(network, { blocks });
    probe(plan);
  } catch (error) {
    throw notReady(error);
  }
  const [finding, ...others] = inspect(plan);
  if (finding === undefined) return;
  const more =
    others.length === 0 ? "" : `, and of ${others.length} other pieces of the mesh something is wrong, too`;
  throw new CniError(
    ErrorCode.notReady,
    `${findingText(finding)}${more}`,
    `bring this node up: warren node up --config ${configFile}`,
  );
}

/** Returns what keeps the mesh from being here as the STATUS that it is: a kernel, a key, or a way to others. */
function notReady(error: unknown): unknown {
  if (error instanceof MissingFeatureError || error instanceof KeyFileError) {
    return new CniError(ErrorCode.notReady, error.message, error.cure, { cause: error });
  }
  if (!(error instanceof CniError)) return error;
  return new CniError(ErrorCode.notReady, error.message, error.details, { cause: error });
}

export const mesh = defineChained({
  name: PLUGIN,
  about: "Warren mesh: tells whether this node's part of the network between nodes is there",
  statusOnly: true,
  config,
  cleanup: v.object({ dataDir: optionalPath }),
  additionOf: () => undefined,
  async del(): Promise<void> {},
  async check({ previous }): Promise<void> {
    requirePrevious(previous);
  },
  async status(call): Promise<void> {
    await requireMesh(call.config);
  },
});
