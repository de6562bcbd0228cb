// `warren del NET NETNS`: detaches a container from a network. Without CNI_ARGS and CAP_ARGS it uses those of the
// ADD, so nothing has to be repeated for port maps and the like to go.
import { deleteFromNetwork } from "../runtime/chain.ts";
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
  name: "del",
  description: "Detach a container from a network",
  args: { ...networkArgument, ...netnsArgument, ...attachmentFlags, ...networkFlags },
  async run({ args }) {
    const attachment = attachmentOf(args.netns, args, process.env);
    const { runtime, list, settings } = openNetwork(args.network, args);
    await deleteFromNetwork(runtime, list, attachment);
    const { containerId, ifname } = attachment;
    const answer = { network: list.name, containerId, ifname };
    if (settings.json) writeStdout(`${JSON.stringify(answer, null, 4)}\n`);
    return 0;
  },
});
