// `warren conf watch`: says when what containerd would take out of the folder becomes something else: another file,
// another text in it, or nothing because one broke. With --add it also keeps a plugin in the list, whoever else writes it.
import { createHash } from "node:crypto";
import { describeError } from "../../cni/error.ts";
import { pluginTypeOf } from "../../runtime/list-edit.ts";
import { writeStdout } from "../../sys/stdio.ts";
import { operatorCommand, UsageError } from "../command.ts";
import { endOnSignals } from "../interruption.ts";
import { type Flags, settingsOf } from "../settings.ts";
import { paragraph } from "../terminal/output.ts";
import { fileFlags, fileOf, pluginText, positionFlags, positionOf } from "./editing.ts";
import { type ChosenFolder, describeChoice, folderFlags, openFolder } from "./folder.ts";
import { FolderChange } from "./folder-change.ts";
import { Keeper } from "./keeper.ts";
import { Marker } from "./marker.ts";
import { OVERLAY_NAME, overlayTarget } from "./overlay.ts";

/** What containerd takes at a time. */
interface Taken {
  /** Differs exactly if something else is taken. */
  readonly key: string;
  readonly networks: readonly string[];
  readonly files: readonly string[];
  readonly why: string;
}

export const command = operatorCommand({
  name: "watch",
  description:
    "Say when the config that containerd takes changes, and keep a plugin in it, until interrupted",
  args: {
    add: {
      type: "string",
      valueHint: "PLUGIN",
      description: "Put this plugin into the list, and again whenever somebody else has written the file",
    },
    ...positionFlags,
    file: fileFlags.file,
    network: fileFlags.network,
    overlay: {
      type: "boolean",
      description: `With --add: leave the list alone, and write ${OVERLAY_NAME} with both, for as long as there is the list`,
    },
    marker: {
      type: "string",
      valueHint: "FILE",
      description:
        "With --add: a file that is there exactly while the plugin is; {version} in its name is what --add says, in short",
    },
    ...folderFlags,
  },
  async run({ args }) {
    const folder = settingsOf(args, process.env).confFolder;
    const json = args.json === true;
    const keeping = keeperOf(args, folder);
    endOnSignals(() => keeping?.end());
    let taken: Taken | undefined;
    for (;;) {
      // before it is read: what changes in between wakes us up at once
      using change = new FolderChange(folder, taken?.networks ?? []);
      const kept = keeping?.keep();
      if (kept?.told !== undefined) tell(kept.told, kept.told.what, json);
      const now = takenNow(args);
      const { networks, files, why } = now;
      if (now.key !== taken?.key) tell({ networks, files, why }, why, json);
      const known = now.networks.every((network) => taken?.networks.includes(network));
      taken = now;
      // a network that is new has a folder of drop-ins that is not watched yet
      if (!known) continue;
      const again = kept?.againInMs;
      await Promise.race([change.happened, ...(again === undefined ? [] : [Bun.sleep(again)])]);
    }
  },
});

/** What is kept in place, and how. */
interface Keeping {
  keep(): { readonly told: Kept | undefined; readonly againInMs: number | undefined };
  /** Takes away what is not to outlive the watcher. */
  end(): void;
}

/** What has become of the plugin. */
interface Kept {
  readonly kept: boolean;
  readonly file: string;
  readonly what: string;
}

function keeperOf(flags: Flags, folder: string): Keeping | undefined {
  const { add, overlay, marker: markerPath } = flags;
  const position = positionOf(flags);
  if (typeof add !== "string") {
    const alone = ["overlay", "marker", "first", "last", "before", "after"].find(
      (name) => flags[name] !== undefined,
    );
    if (alone !== undefined)
      throw new UsageError(`--${alone} is about the plugin of --add, which is missing`);
    return undefined;
  }
  const asOverlay = overlay === true;
  if (asOverlay && (flags.file !== undefined || flags.network !== undefined)) {
    throw new UsageError("--overlay is made of the first list: --file and --network exclude it");
  }
  const plugin = pluginText(add);
  // said at once, and not with every change
  pluginTypeOf(plugin);
  const target = asOverlay ? overlayTarget(folder) : ({ kind: "edit", fileOf: () => fileOf(flags) } as const);
  const keeper = new Keeper(target, plugin, position);
  const marker =
    typeof markerPath === "string" ? new Marker(markerPath, JSON.stringify([plugin, position])) : undefined;
  return {
    keep() {
      const state = keeper.look(Date.now());
      if (state.isKept) marker?.write(state.file);
      else marker?.remove();
      const told =
        state.what === undefined ? undefined : { kept: state.isKept, file: state.file, what: state.what };
      return { told, againInMs: state.againInMs };
    },
    end() {
      marker?.remove();
      keeper.end();
    },
  };
}

/** Writes what has happened, as JSON or in words, with the time. */
function tell(document: object, words: string, json: boolean): void {
  const time = new Date().toISOString();
  writeStdout(json ? `${JSON.stringify({ time, ...document })}\n` : paragraph(`${time} ${words}`));
}

function takenNow(flags: Flags): Taken {
  let opened: ChosenFolder;
  try {
    opened = openFolder(flags);
  } catch (error) {
    return { key: describeError(error), networks: [], files: [], why: describeError(error) };
  }
  const { chosen, blockedBy } = opened.choice;
  // of what is taken, not of why: a file behind it that comes or goes is another reason for the same
  const digest = createHash("sha256");
  for (const file of [...chosen, ...(blockedBy === undefined ? [] : [blockedBy])]) {
    digest.update(JSON.stringify([file.path, file.problem?.message, file.network?.plugins]));
    digest.update(file.network?.bytes ?? "");
  }
  const problem = blockedBy?.problem === undefined ? "" : `: ${describeError(blockedBy.problem)}`;
  return {
    key: digest.digest("hex"),
    networks: chosen.flatMap(({ network }) => network?.name ?? []),
    files: chosen.map(({ path }) => path),
    why: `${describeChoice(opened)}${problem}`,
  };
}
