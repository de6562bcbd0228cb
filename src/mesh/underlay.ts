// The node's own network as the mesh finds it: where other nodes reach this one, and which networks it is in already, which
// nothing of the mesh may overlap with.
import { CniError, ErrorCode } from "../cni/error.ts";
import type { Prefix } from "../ip/prefix.ts";
import { connectHost } from "../net/connection.ts";
import { allLinks, knownAddresses } from "../net/link-shape.ts";
import { findUnderlay, NoUnderlayError } from "../net/underlay.ts";
import type { MeshNames, MeshUnderlay } from "./plan.ts";
import { type MeshSettings, refuseOwnNetworks } from "./settings.ts";

/** What helps, whether the configuration says an address already or not. */
const CURE =
  'say where other nodes reach this one: "address" in the configuration of the mesh, one that this node has';

/** Returns by what other nodes are reached; throws CniError 7 where nobody says, and the routes don't either. */
export function surveyUnderlay(settings: MeshSettings): MeshUnderlay {
  using host = connectHost();
  try {
    const { link, address } = findUnderlay(host, { interfaceName: undefined, address: settings.address });
    if (address !== undefined) return { address, mtu: link.mtu };
    const message = `interface ${link.name}, which the default route leads out of, has no address`;
    throw new CniError(ErrorCode.invalidConfig, message, CURE);
  } catch (error) {
    if (!(error instanceof NoUnderlayError)) throw error;
    throw new CniError(ErrorCode.invalidConfig, error.message, CURE, { cause: error });
  }
}

/** Throws CniError 7, with both ranges named, where a range of the mesh overlaps with a network that this node is in. */
export function checkOwnNetworks(settings: MeshSettings, names: MeshNames): void {
  using host = connectHost();
  const links = new Map(allLinks(host).map((link) => [link.index, link]));
  const networks = knownAddresses(host).flatMap(
    ({ prefix, index }): { prefix: Prefix; interfaceName: string }[] => {
      const link = links.get(index);
      return link === undefined || link.name === names.bridge ? [] : [{ prefix, interfaceName: link.name }];
    },
  );
  refuseOwnNetworks(settings, networks);
}
