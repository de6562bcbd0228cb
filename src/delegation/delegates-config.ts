// The config of many networks for one container, in multus's words and ours, and which networks one container gets by it:
// those that the config has for everybody, as far as its labels ask for them, and those that it asks for itself.
import * as v from "valibot";
import { CniError, ErrorCode } from "../cni/error.ts";
import { shown } from "../cni/input.ts";
import { containerLabels, labelArgs } from "../cni/labels.ts";
import { podAnnotationEntries } from "../cni/pod-annotations.ts";
import { filesIn, loadNetworkFile, loadSingleFile } from "../conflist/network-list.ts";
import { statFile } from "../sys/files.ts";
import { findNetwork } from "./network-folder.ts";
import {
  isFor,
  type NetworkRequest,
  parseRequest,
  type RequestContext,
  requestByName,
  requestOf,
} from "./network-request.ts";
import { NETWORKS_ANNOTATION, NO_WISHES, parseNetworksAnnotation } from "./network-selection.ts";

/** Where networks are found by name, unless the config says otherwise. */
const CONF_DIR = "/etc/cni/net.d";

/** The annotation by which a pod asks for another master than its node's config has. */
const DEFAULT_NETWORK_ANNOTATION = "v1.multus-cni.io/default-network";

/** The names by which the plugin is called that reads such configs. */
const DELEGATING_TYPES = ["warren-delegates", "delegates", "warren-multus", "multus"];

/** The namespace of what runs the cluster itself. */
const SYSTEM_NAMESPACE = "kube-system";

const text = v.nullish(v.string());
const folder = v.nullish(
  v.pipe(
    v.string(),
    v.check((path) => path.startsWith("/") && !path.includes("\0"), "an absolute path"),
  ),
);
const anything = v.optional(v.unknown());

/** The schema of the keys that say which networks there are, beside the store's place. */
export const delegatesEntries = {
  delegates: v.nullish(v.array(v.unknown())),
  clusterNetwork: text,
  defaultNetworks: v.nullish(v.array(v.string())),
  firstInterfaceNumber: v.nullish(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(999))),
  confDir: folder,
  binDir: folder,
  namespaceIsolation: v.nullish(v.boolean()),
  globalNamespaces: text,
  systemNamespaces: v.nullish(v.array(v.string())),
  multusNamespace: text,
  readinessindicatorfile: text,
  auxiliaryCNIChainName: text,
  args: labelArgs,
  runtimeConfig: v.nullish(v.looseObject(podAnnotationEntries)),
  // multus's keys for which there is nothing to do here: docs/delegates.md says why
  kubeconfig: anything,
  cniDir: anything,
  logFile: anything,
  logLevel: anything,
  logToStderr: anything,
  logOptions: anything,
  retryDeleteOnError: anything,
  capabilities: anything,
};

/** The schema of a config, as far as it says which networks there are. */
export const delegatesSchema = v.object(delegatesEntries);

/** A config as the schema types it. */
export type DelegatesConfig = v.InferOutput<typeof delegatesSchema>;

/** The network whose config it is. */
interface Around {
  readonly network: string;
  readonly cniVersion: string;
  readonly config: DelegatesConfig;
}

/** Returns how names are found for a pod of this namespace. */
export function requestContext(
  { network, cniVersion, config }: Around,
  podNamespace: string | undefined,
): RequestContext {
  const shared = (config.globalNamespaces ?? "").split(",").map((one) => one.trim());
  const found = {
    path: config.confDir ?? CONF_DIR,
    sharedNamespaces:
      config.namespaceIsolation === true ? ["default", ...shared.filter((one) => one !== "")] : undefined,
  };
  return { network, cniVersion, find: (name) => findNetwork(found, name, podNamespace) };
}

/**
 * Returns the networks that the config has, for a pod of this namespace if it is for one. Throws CniError 7 for what is
 * wrong in it and for a name that is not found, and 2 for what can't be done.
 */
export function configuredRequests(around: Around, podNamespace: string | undefined): NetworkRequest[] {
  return readRequests(around, podNamespace).map((request) => notItself(request, around));
}

/** What calls this plugin under the very name of this attachment would DEL it in its place. */
function notItself(request: NetworkRequest, { network }: Around): NetworkRequest {
  const { list, what } = request;
  const isSame = list.name === network && list.plugins.some(({ type }) => DELEGATING_TYPES.includes(type));
  if (!isSame) return request;
  throw new CniError(
    ErrorCode.invalidConfig,
    `${what}: ${JSON.stringify(network)} is the network that it is a delegate of`,
    "name another network, or give the config a name of its own",
  );
}

function readRequests(around: Around, podNamespace: string | undefined): NetworkRequest[] {
  const { config } = around;
  const clusterNetwork = config.clusterNetwork ?? "";
  const defaultNetworks = config.defaultNetworks ?? [];
  const delegates = config.delegates ?? [];
  if ((config.auxiliaryCNIChainName ?? "") !== "") {
    throw new CniError(
      ErrorCode.unsupportedField,
      `"auxiliaryCNIChainName" is ${shown(config.auxiliaryCNIChainName)}`,
      "write the plugins into the network's list, or as .conf files into the folder of its name",
    );
  }
  if (delegates.length > 0 && (clusterNetwork !== "" || defaultNetworks.length > 0)) {
    throw new CniError(
      ErrorCode.invalidConfig,
      `both "delegates" and "${clusterNetwork === "" ? "defaultNetworks" : "clusterNetwork"}" are given`,
      "put all networks into delegates, or name them by clusterNetwork and defaultNetworks",
    );
  }
  if (delegates.length > 0) {
    const context = requestContext(around, podNamespace);
    return delegates.map((item, index) => parseRequest(item, `delegates[${index}]`, context));
  }
  if (clusterNetwork === "") {
    throw new CniError(
      ErrorCode.invalidConfig,
      'there is neither "delegates" nor "clusterNetwork"',
      "expected at least one network; the first one is that of the interface that the runtime asks for",
    );
  }
  // they are the node's own, whatever namespace the pod is in
  const context = requestContext(around, config.multusNamespace ?? SYSTEM_NAMESPACE);
  const isSystem =
    podNamespace !== undefined && (config.systemNamespaces ?? [SYSTEM_NAMESPACE]).includes(podNamespace);
  return [
    clusterNetwork.startsWith("/")
      ? fileRequest(clusterNetwork)
      : requestByName(clusterNetwork, "clusterNetwork", context),
    ...(isSystem ? [] : defaultNetworks).map((one, index) =>
      requestByName(one, `defaultNetworks[${index}]`, context),
    ),
  ];
}

/** A clusterNetwork may be a file, or a folder, of which the first file counts as with a runtime. */
function fileRequest(path: string): NetworkRequest {
  const isFolder = statFile(path)?.kind === "directory";
  const file = isFolder ? (filesIn(path, ".conflist", ".conf", ".json")[0] ?? path) : path;
  return {
    what: "clusterNetwork",
    list: file.endsWith(".conflist") ? loadNetworkFile(file) : loadSingleFile(file),
    ...{ isInline: false, isMaster: false, matchLabels: {}, wishes: NO_WISHES },
  };
}

/**
 * Returns the networks that one container gets, the master among them. Throws what configuredRequests throws, and CniError 7
 * and 2 for what the container's annotations have.
 */
export function requestsFor(
  around: Around,
  podNamespace: string | undefined,
  argumentText: string,
): NetworkRequest[] {
  const labels = containerLabels(around.config, argumentText);
  const context = requestContext(around, podNamespace);
  const configured = configuredRequests(around, podNamespace).filter((request) => isFor(request, labels));
  const own = parseNetworksAnnotation(labels.get(NETWORKS_ANNOTATION) ?? "").map((selection, index) =>
    notItself(requestOf(selection, `annotation ${NETWORKS_ANNOTATION}, item ${index + 1}`, context), around),
  );
  const what = `annotation ${DEFAULT_NETWORK_ANNOTATION}`;
  const masters = parseNetworksAnnotation(labels.get(DEFAULT_NETWORK_ANNOTATION) ?? "", what);
  const [master, second] = masters;
  if (master === undefined) return [...configured, ...own];
  if (second !== undefined) {
    throw new CniError(
      ErrorCode.invalidConfig,
      `${what}: there are ${masters.length} networks`,
      "expected one",
    );
  }
  const replaced = configured.find(({ isMaster }) => isMaster) ?? configured[0];
  const others = configured.filter((one) => one !== replaced);
  const chosen = notItself(requestOf(master, what, context), around);
  return [{ ...chosen, isMaster: replaced?.isMaster ?? false }, ...others, ...own];
}

/**
 * Throws a CniError of this code where the file is missing by which the network that containers have first says that it is
 * ready.
 */
export function requireReadiness({ readinessindicatorfile: file }: DelegatesConfig, code: number): void {
  if ((file ?? "") === "" || statFile(file ?? "") !== undefined) return;
  throw new CniError(
    code,
    `readinessindicatorfile ${JSON.stringify(file)} is not there`,
    "the network that writes it is not ready yet; correct the path if it never will be",
  );
}
