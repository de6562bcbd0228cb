// `warren check NET NETNS`: asks the plugins whether an attachment is still as its ADD made it.
import { log } from "../log.ts";
import { checkNetwork } from "../runtime/chain.ts";
import { attachmentCommand } from "./attachment-command.ts";

export const command = attachmentCommand(
  "check",
  "Check that an attachment is still as it was made",
  async ({ runtime, list, settings, attachment }) => {
    await checkNetwork(runtime, list, attachment);
    if (list.disableCheck) log.info(`network ${list.name} has disableCheck set: nothing was checked`);
    const { containerId, ifname } = attachment;
    return settings.json
      ? { network: list.name, containerId, ifname, checked: !list.disableCheck }
      : undefined;
  },
);
