// `warren del NET NETNS`: detaches a container from a network. Without CNI_ARGS and CAP_ARGS it uses those of the
// ADD, so nothing has to be repeated for port maps and the like to go.
import { deleteFromNetwork } from "../runtime/chain.ts";
import { attachmentCommand } from "./attachment-command.ts";

export const command = attachmentCommand(
  "del",
  "Detach a container from a network",
  async ({ runtime, list, settings, attachment }) => {
    await deleteFromNetwork(runtime, list, attachment);
    const { containerId, ifname } = attachment;
    return settings.json ? { network: list.name, containerId, ifname } : undefined;
  },
);
