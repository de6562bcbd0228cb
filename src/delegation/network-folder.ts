// Networks by name, without an API server: what a cluster has as NetworkAttachmentDefinitions is a folder of network lists
// here, and a namespace is a folder in it.
import { CniError, ErrorCode } from "../cni/error.ts";
import { loadNetwork, type NetworkList } from "../conflist/network-list.ts";
import { statFile } from "../sys/files.ts";
import type { NetworkName } from "./network-selection.ts";

const OTHER_FOLDER = "name another folder by confDir";

/** Where networks are found by name, and who may have which. */
export interface NetworkFolder {
  readonly path: string;
  /** The namespaces whose networks everybody may have; undefined where everybody may have all. */
  readonly sharedNamespaces: readonly string[] | undefined;
}

/**
 * Returns the network of that name. One with a namespace is in the folder of that, and nowhere else; one without is in the
 * folder of `around`, the namespace of whoever names it, or in none. Throws CniError 7 if it isn't there, is broken, or is
 * not for `around`.
 */
export function findNetwork(
  folder: NetworkFolder,
  { name, namespace }: NetworkName,
  around: string | undefined,
): NetworkList {
  const { path, sharedNamespaces } = folder;
  if (namespace !== undefined) {
    const isOwn = namespace === around;
    if (sharedNamespaces !== undefined && !isOwn && !sharedNamespaces.includes(namespace)) {
      throw new CniError(
        ErrorCode.invalidConfig,
        `network ${namespace}/${name} is not for pods in namespace ${JSON.stringify(around ?? "")}`,
        `namespaceIsolation is on, and lets pods have their own networks and those of ${sharedNamespaces.join(", ")}`,
      );
    }
    return loadNetwork(`${path}/${namespace}`, name, OTHER_FOLDER);
  }
  const own = around === undefined ? undefined : `${path}/${around}`;
  if (own === undefined || statFile(own)?.kind !== "directory") return loadNetwork(path, name, OTHER_FOLDER);
  try {
    return loadNetwork(own, name, OTHER_FOLDER);
  } catch (first) {
    try {
      return loadNetwork(path, name, OTHER_FOLDER);
    } catch {
      // what is wrong in the namespace's own folder is nearer to what was meant
      throw first;
    }
  }
}
