// The network list by which runtimes attach pods to the mesh. It is there only as long as the network behind it is: written
// whole by one rename when the network was tried out, and parked, under a name that no runtime reads, when that fails.
import * as v from "valibot";
import { CniError, ErrorCode } from "../cni/error.ts";
import { CURRENT_VERSION } from "../cni/version.ts";
import { formatAddress } from "../ip/address.ts";
import { formatPrefix } from "../ip/prefix.ts";
import {
  makeDirectories,
  parentOf,
  removeFile,
  removeReplaced,
  renameFile,
  replaceFile,
} from "../sys/directory.ts";
import { readText } from "../sys/files.ts";
import { isSystemError } from "../sys/libc.ts";
import type { MeshNames, MeshPlan } from "./plan.ts";

/** Returns the list. `configFile` is where the configuration of the mesh is, which STATUS reads again. */
export function conflistText(plan: MeshPlan, configFile: string): string {
  const { network, bridge, mtu, blocks } = plan;
  const document = {
    cniVersion: CURRENT_VERSION,
    name: network,
    plugins: [
      {
        ...{ type: "warren-bridge", bridge, mtu },
        ...{ isGateway: true, isDefaultGateway: true, hairpinMode: true },
        capabilities: { portMappings: true, bandwidth: true },
        ipam: {
          type: "warren-ipam",
          ranges: blocks.map(({ subnet, firstPod, gateway }) => [
            {
              subnet: formatPrefix(subnet),
              rangeStart: formatAddress(firstPod),
              gateway: formatAddress(gateway),
            },
          ]),
        },
        mesh: { config: configFile, nodeCIDRs: blocks.map(({ subnet }) => formatPrefix(subnet)) },
      },
    ],
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}

/** The parts of a list by which ours is known. */
const ownSchema = v.object({
  name: v.string(),
  plugins: v.array(v.object({ mesh: v.optional(v.object({ config: v.string() })) })),
});

/** Returns the text of a list that is the mesh's; undefined where there is none. Throws CniError 102 for somebody else's. */
function ownText({ network }: MeshNames, path: string): string | undefined {
  let text: string;
  try {
    text = readText(path);
  } catch (error) {
    if (isSystemError(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
  if (isOwn(text, network)) return text;
  throw new CniError(
    ErrorCode.nameTaken,
    `${path} is there already, and is not the list of the mesh ${network}`,
    'take it away, or say another "conflist" in the configuration of the mesh',
  );
}

function isOwn(text: string, network: string): boolean {
  try {
    const list = v.safeParse(ownSchema, JSON.parse(text));
    return (
      list.success &&
      list.output.name === network &&
      list.output.plugins.some(({ mesh }) => mesh !== undefined)
    );
  } catch {
    return false;
  }
}

/** Returns where the list is as long as the network is not ready. */
function parkedPath({ conflist }: MeshNames): string {
  return `${conflist}.parked`;
}

/** Puts the list where runtimes read it; returns false where it is there already. Throws CniError 102 or 5, or SystemError. */
export function publish(plan: MeshPlan, configFile: string): boolean {
  const text = conflistText(plan, configFile);
  const present = ownText(plan, plan.conflist);
  if (present !== text) {
    write(plan.conflist, text);
  }
  removeFile(parkedPath(plan));
  return present !== text;
}

function write(path: string, text: string): void {
  try {
    makeDirectories(parentOf(path), 0o755);
    replaceFile(path, text, 0o644);
  } catch (error) {
    if (!isSystemError(error)) throw error;
    throw new CniError(
      ErrorCode.ioFailure,
      `the conflist ${path} can't be written: ${error.message}`,
      'say another "conflist" in the configuration of the mesh',
      { cause: error },
    );
  }
}

/** Takes the list from where runtimes read it, and keeps it; returns whether there was one. Throws as `publish`. */
export function park(names: MeshNames): boolean {
  if (ownText(names, names.conflist) === undefined) return false;
  renameFile(names.conflist, parkedPath(names));
  return true;
}

/** Returns what is wrong with the list, in words; undefined if it is as it should be. */
export function conflistProblem(plan: MeshPlan, configFile: string): string | undefined {
  try {
    const present = ownText(plan, plan.conflist);
    if (present === undefined) return "is missing";
    return present === conflistText(plan, configFile) ? undefined : "is not what the configuration says";
  } catch (error) {
    if (error instanceof CniError && error.code === ErrorCode.nameTaken) return "is somebody else's";
    throw error;
  }
}

/** Removes the list, also a parked one, and returns the files that there were. Throws CniError 102 or SystemError. */
export function withdraw(names: MeshNames): string[] {
  return [names.conflist, parkedPath(names)].filter((path) => {
    const isThere = ownText(names, path) !== undefined;
    removeReplaced(path);
    return isThere;
  });
}
