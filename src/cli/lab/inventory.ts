// `warren lab inventory NET`: what is on the host's side of a network: its interfaces, as /proc tells them and not
// as Warren remembers them, and the network's masquerade chains.
import { readFileSync } from "node:fs";
import { listMasquerade, TABLE } from "../../net/masquerade.ts";
import { writeStdout } from "../../sys/stdio.ts";
import { operatorCommand } from "../command.ts";
import { networkArgument } from "../settings.ts";

/** Returns the names of the interfaces in this process's namespace. */
function listInterfaces(): string[] {
  const [, , ...lines] = readFileSync("/proc/thread-self/net/dev", "utf8").trimEnd().split("\n");
  return lines.map((line) => line.slice(0, line.indexOf(":")).trim());
}

export const command = operatorCommand({
  name: "inventory",
  description: "List the host's interfaces and a network's masquerade chains",
  args: networkArgument,
  run({ args }) {
    const chains = listMasquerade(args.network).map((name) => `${TABLE.family} ${TABLE.name} ${name}`);
    writeStdout(`interfaces:  ${listInterfaces().join(", ")}\n`);
    writeStdout(`nft chains:  ${chains.length === 0 ? "none" : chains.join(", ")}\n`);
    return 0;
  },
});
