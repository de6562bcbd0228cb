// `warren lab interfaces NETNS`: the interfaces of a pod with their addresses, as the kernel tells them.
import { connectInside } from "../../net/connection.ts";
import { inspectNamespace } from "../../net/inspection.ts";
import { openNetns } from "../../net/netns.ts";
import { operatorCommand } from "../command.ts";
import { findNetns, NETNS_FORMS } from "../netns-argument.ts";
import { printTable } from "../terminal/table.ts";

export const command = operatorCommand({
  name: "interfaces",
  description: "List the interfaces of a pod with their addresses",
  args: { netns: { type: "positional", required: true, description: `The namespace: ${NETNS_FORMS}` } },
  run({ args }) {
    using netns = openNetns(findNetns(args.netns).path);
    using inside = connectInside(netns);
    printTable(
      inspectNamespace(inside).interfaces.map(({ name, kind, up, mtu, addresses }) => ({
        ...{ name, kind, state: up ? "up" : "down", mtu, addresses: addresses.join(", ") },
      })),
    );
    return 0;
  },
});
