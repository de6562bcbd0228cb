// `warren add NET NETNS`: attaches a container to a network and prints the result of the last plugin.
import { addToNetwork } from "../runtime/chain.ts";
import { writeStdout } from "../sys/stdio.ts";
import { operatorCommand } from "./command.ts";
import {
  attachmentFlags,
  attachmentOf,
  netnsArgument,
  networkArgument,
  networkFlags,
  openNetwork,
} from "./settings.ts";

export const command = operatorCommand({
  name: "add",
  description: "Attach a container to a network",
  args: { ...networkArgument, ...netnsArgument, ...attachmentFlags, ...networkFlags },
  async run({ args }) {
    const attachment = attachmentOf(args.netns, args, process.env);
    const { runtime, list } = openNetwork(args.network, args);
    const result = await addToNetwork(runtime, list, attachment);
    writeStdout(`${JSON.stringify(result, null, 4)}\n`);
    return 0;
  },
});
