// What of Warren is in a folder of plugins, and what there belongs to somebody else. Files are recognised by what
// they are and never by their names alone, so that nobody's bridge plugin is overwritten or removed.
import { lstatSync, readFileSync, readlinkSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { PLUGIN_NAMES, pluginCalled } from "../../plugins/names.ts";

/** The executable's name; every link points at it. */
export const EXECUTABLE = "warren";

/** Where container runtimes look for plugins unless they are told otherwise. */
export const DEFAULT_FOLDER = "/opt/cni/bin";

/** A text that stands in every Warren executable, because it stands here, and in no other file. */
const MARK = "This file is a Warren executable: 6f1d7f0c-58f3-4a3e-9d0b-5d2a3c1be7a4";

/** The plugins of the reference suite, whose names existing network lists use. */
const REFERENCE_NAMES = [
  ...["bandwidth", "bridge", "dhcp", "dummy", "firewall", "host-device", "host-local", "ipvlan", "loopback"],
  ...["macvlan", "portmap", "ptp", "sbr", "static", "tap", "tuning", "vlan", "vrf"],
];

/** Returns the names of the links to make: `warren-<plugin>`, and those reference names that we have a plugin for. */
export function linkNames(withReferenceNames: boolean): string[] {
  const names = PLUGIN_NAMES.map((name) => `warren-${name}`);
  if (!withReferenceNames) return names;
  for (const name of REFERENCE_NAMES) if (pluginCalled(name) !== undefined) names.push(name);
  return names;
}

/** Returns whose the entry `name` of `folder` is; "nobody's" if there is none. */
export function ownerOf(folder: string, name: string): "ours" | "foreign" | "nobody's" {
  const path = join(folder, name);
  const status = lstatSync(path, { throwIfNoEntry: false });
  if (status === undefined) return "nobody's";
  if (status.isFile()) return bearsMark(path) ? "ours" : "foreign";
  if (!status.isSymbolicLink()) return "foreign";
  try {
    return bearsMark(realpathSync(path)) ? "ours" : "foreign";
  } catch {
    // it leads nowhere: a link of ours if it points at where our executable would be
    return readlinkSync(path) === EXECUTABLE ? "ours" : "foreign";
  }
}

/** True if the plugin that runtimes find by that name is ours; without a file its name says it. */
export function isOurPlugin(type: string, path: readonly string[]): boolean {
  const folder = path.find((one) => lstatSync(join(one, type), { throwIfNoEntry: false }) !== undefined);
  return folder === undefined ? type.startsWith("warren-") : ownerOf(folder, type) === "ours";
}

// twenty links lead to one file of 100 MB, which is read once
const marked = new Map<string, boolean>();

function bearsMark(path: string): boolean {
  const known = marked.get(path);
  if (known !== undefined) return known;
  const status = lstatSync(path, { throwIfNoEntry: false });
  const bears = status?.isFile() === true && readFileSync(path).includes(MARK);
  marked.set(path, bears);
  return bears;
}
