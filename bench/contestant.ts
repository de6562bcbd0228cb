// Who is measured: a folder of plugins and the names by which configs call them. Each is installed anew for a run, all
// in the way of `warren install`, because how a file came into the page cache decides about a millisecond.
import { mkdirSync, realpathSync, statSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { copyExecutable } from "../src/cli/install/executable-copy.ts";

/** A set of plugins under measurement. */
export interface Contestant {
  readonly name: string;
  readonly folder: string;
  /** True for a build of Warren, with its own plugin names and its fused chain. */
  readonly isWarren: boolean;
  /** The IPAM plugin that keeps the addresses. */
  readonly ipam: string;
  /** Two octets of the subnet 10.N.0.0/16 and a bridge of its own keep contestants apart. */
  readonly octet: number;
}

/** Returns the name by which a contestant's configs call a plugin. */
export function pluginName({ isWarren }: Contestant, plugin: string): string {
  return isWarren ? `warren-${plugin}` : plugin;
}

/** Returns the path of a plugin's executable. */
export function executable(contestant: Contestant, plugin: string): string {
  return join(contestant.folder, pluginName(contestant, plugin));
}

const PLUGINS = ["bridge", "portmap", "bandwidth", "firewall", "tuning", "ipam", "host-local"];

/** Copies the plugins in `from` to `to`, links as links, and returns who they are. */
export function install(
  name: string,
  from: string,
  to: string,
  isWarren: boolean,
  octet: number,
): Contestant {
  mkdirSync(to, { recursive: true });
  const contestant = { name, folder: to, isWarren, ipam: isWarren ? "warren-ipam" : "host-local", octet };
  if (isWarren) copyExecutable(realpathSync(join(from, "warren-bridge")), join(to, "warren"));
  for (const plugin of PLUGINS) {
    const file = pluginName(contestant, plugin);
    if (isWarren) symlinkSync("warren", join(to, file));
    else if (statSync(join(from, file), { throwIfNoEntry: false }) !== undefined) {
      copyExecutable(join(from, file), join(to, file));
    }
  }
  return contestant;
}
