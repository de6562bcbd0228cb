// What the commands about one attachment (add, check, del) have in common: NET and NETNS, the same flags, and a
// runtime to work with.
import type { CommandDef } from "citty";
import { withLabels } from "../conflist/labels.ts";
import type { NetworkList } from "../conflist/network-list.ts";
import type { Attachment } from "../runtime/attachment.ts";
import type { Runtime } from "../runtime/chain.ts";
import { writeStdout } from "../sys/stdio.ts";
import { operatorCommand } from "./command.ts";
import { type FoundNetns, findNetns } from "./netns-argument.ts";
import {
  attachmentFlags,
  attachmentOf,
  netnsArgument,
  networkArgument,
  networkFlags,
  openNetwork,
  type Settings,
} from "./settings.ts";

/** What such a command works with. */
export interface AttachmentWork {
  readonly runtime: Runtime;
  readonly list: NetworkList;
  readonly settings: Settings;
  readonly attachment: Attachment;
}

const args = { ...networkArgument, ...netnsArgument, ...attachmentFlags, ...networkFlags } as const;

/**
 * Returns the command called `name`; `run` does the work and returns what is printed as JSON, if anything. `find` finds the
 * namespace. An engine's labels of a container go to the plugins.
 */
export function attachmentCommand(
  name: string,
  description: string,
  run: (work: AttachmentWork) => Promise<object | undefined>,
  find: (netns: string) => FoundNetns = findNetns,
): CommandDef<typeof args> {
  return operatorCommand({
    name,
    description,
    args,
    async run({ args }) {
      const work = openNetwork(args.network, args);
      const { path, labels } = find(args.netns);
      const attachment = attachmentOf(args.netns, path, args, process.env);
      const answer = await run({ ...work, list: withLabels(work.list, labels), attachment });
      if (answer !== undefined) writeStdout(`${JSON.stringify(answer, null, 4)}\n`);
      return 0;
    },
  });
}
