// `warren del NET NETNS`: detaches a container from a network. Without CNI_ARGS and CAP_ARGS it uses those of the
// ADD, so nothing has to be repeated for port maps and the like to go.
import { CniError } from "../cni/error.ts";
import { log } from "../log.ts";
import { deleteFromNetwork } from "../runtime/chain.ts";
import { attachmentCommand } from "./attachment-command.ts";
import { findNetns } from "./netns-argument.ts";

export const command = attachmentCommand(
  "del",
  "Detach a container from a network",
  async ({ runtime, list, settings, attachment }) => {
    await deleteFromNetwork(runtime, list, attachment);
    const { containerId, ifname } = attachment;
    return settings.json ? { network: list.name, containerId, ifname } : undefined;
  },
  (netns) => {
    try {
      return findNetns(netns);
    } catch (error) {
      if (!(error instanceof CniError)) throw error;
      // what was attached is known by its id, and a container that is gone must not keep it
      log.info(`${error.message}: detached without its namespace`);
      return { path: "", labels: {} };
    }
  },
);
