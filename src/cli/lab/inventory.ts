// `warren lab inventory NET`: what is on the host's side of a network, its interfaces and masquerade chains, or which
// interfaces a pod has: as /proc tells it, and not as Warren remembers it.
import { readFileSync } from "node:fs";
import { listClusterMasquerade, listMasquerade, TABLE } from "../../net/masquerade.ts";
import { inNetns, openNetns } from "../../net/netns.ts";
import { writeStdout } from "../../sys/stdio.ts";
import { operatorCommand } from "../command.ts";
import { findNetns } from "../netns-argument.ts";
import { networkArgument } from "../settings.ts";

/** Returns the names of the interfaces in this process's namespace. */
function listInterfaces(): string[] {
  const [, , ...lines] = readFileSync("/proc/thread-self/net/dev", "utf8").trimEnd().split("\n");
  return lines.map((line) => line.slice(0, line.indexOf(":")).trim());
}

export const command = operatorCommand({
  name: "inventory",
  description: "List the host's interfaces and a network's masquerade chains, or a pod's interfaces",
  args: {
    ...networkArgument,
    netns: { type: "string", valueHint: "NETNS", description: "List the interfaces of this namespace" },
  },
  run({ args }) {
    if (args.netns !== undefined) {
      using netns = openNetns(findNetns(args.netns).path);
      writeStdout(`interfaces:  ${inNetns(netns, listInterfaces).join(", ")}\n`);
      return 0;
    }
    const names = [...listMasquerade(args.network), ...listClusterMasquerade(args.network)];
    const chains = names.map((name) => `${TABLE.family} ${TABLE.name} ${name}`);
    writeStdout(`interfaces:  ${listInterfaces().join(", ")}\n`);
    writeStdout(`nft chains:  ${chains.length === 0 ? "none" : chains.join(", ")}\n`);
    return 0;
  },
});
