// `warren add NET NETNS`: attaches a container to a network and prints the result of the last plugin.
import { addToNetwork } from "../runtime/chain.ts";
import { attachmentCommand } from "./attachment-command.ts";

export const command = attachmentCommand(
  "add",
  "Attach a container to a network",
  ({ runtime, list, attachment }) => addToNetwork(runtime, list, attachment),
);
