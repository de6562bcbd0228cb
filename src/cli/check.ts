// `warren check NET NETNS`: asks the plugins whether an attachment is still as its ADD made it.
import { log } from "../log.ts";
import { checkNetwork } from "../runtime/chain.ts";
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
  name: "check",
  description: "Check that an attachment is still as it was made",
  args: { ...networkArgument, ...netnsArgument, ...attachmentFlags, ...networkFlags },
  async run({ args }) {
    const attachment = attachmentOf(args.netns, args, process.env);
    const { runtime, list, settings } = openNetwork(args.network, args);
    await checkNetwork(runtime, list, attachment);
    if (list.disableCheck) log.info(`network ${list.name} has disableCheck set: nothing was checked`);
    const { containerId, ifname } = attachment;
    const answer = { network: list.name, containerId, ifname, checked: !list.disableCheck };
    if (settings.json) writeStdout(`${JSON.stringify(answer, null, 4)}\n`);
    return 0;
  },
});
