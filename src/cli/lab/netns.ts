// `warren lab netns NAME ...`: makes network namespaces for pods where `ip netns add` does, so that a lab needs no
// other tool. A namespace that is there already is kept: the demo's scripts may be repeated.
import { createNetns, deleteNetns, netnsInode, netnsPath, openNetns } from "../../net/netns.ts";
import { operatorCommand, UsageError } from "../command.ts";

export const command = operatorCommand({
  name: "netns",
  description: "Make network namespaces for pods, unless they are there",
  variadic: true,
  args: {
    names: { type: "positional", required: true, description: "The pods' names, one or more" },
    delete: { type: "boolean", description: "Delete them instead" },
  },
  run({ args }) {
    const paths = args._.map((name) => {
      if (name === "" || name.startsWith("."))
        throw new UsageError(`${JSON.stringify(name)} is no pod's name`);
      return netnsPath(name);
    });
    for (const path of paths) {
      if (args.delete === true) deleteNetns(path);
      else if (netnsInode(path) === undefined) createNetns(path);
      // something is there: anything else than a namespace would be a surprise later
      else openNetns(path)[Symbol.dispose]();
    }
    return 0;
  },
});
