// The settings of the node itself that the mesh changes, as they were found: written down before they are changed, so that
// `down` can give them back. A reboot gives them back by itself, and what was written before it counts no more.
import * as v from "valibot";
import type { Family } from "../ip/address.ts";
import { disableForwarding, enableForwarding, forwards } from "../net/forwarding.ts";
import { netnsInode } from "../net/netns.ts";
import { makeDirectories, parentOf, removeReplaced, replaceFile } from "../sys/directory.ts";
import { readText } from "../sys/files.ts";
import { isSystemError } from "../sys/libc.ts";
import { currentBootId } from "../sys/process.ts";

const recordSchema = v.object({
  bootId: v.string(),
  netns: v.string(),
  /** The families that the node did not forward. */
  forwardingWasOff: v.array(v.picklist([4, 6])),
});

type FoundSettings = v.InferOutput<typeof recordSchema>;

/** Returns what is written down of this boot and this host; undefined for nothing, and for what nobody can read. */
function readRecord(path: string): FoundSettings | undefined {
  try {
    const record = v.safeParse(recordSchema, JSON.parse(readText(path)));
    if (!record.success) return undefined;
    const { bootId, netns } = record.output;
    return bootId === currentBootId() && netns === hostWord() ? record.output : undefined;
  } catch (error) {
    if (isSystemError(error, "ENOENT") || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function hostWord(): string {
  return String(netnsInode("/proc/thread-self/ns/net"));
}

/** Makes the node forward this family, once it is written down at `path` that it did not. Throws SystemError. */
export function forwardFrom(path: string, family: Family): void {
  if (forwards(family)) return;
  const { forwardingWasOff } = readRecord(path) ?? { forwardingWasOff: [] };
  const record: FoundSettings = {
    ...{ bootId: currentBootId(), netns: hostWord() },
    forwardingWasOff: [...new Set([...forwardingWasOff, family])].sort(),
  };
  makeDirectories(parentOf(path), 0o700);
  replaceFile(path, `${JSON.stringify(record)}\n`, 0o600);
  enableForwarding(family);
}

/** Gives the settings back as they were found, and forgets them. Returns the families that are forwarded no more. */
export function giveBack(path: string): Family[] {
  const families = readRecord(path)?.forwardingWasOff ?? [];
  const changed = families.filter((family) => forwards(family));
  for (const family of changed) disableForwarding(family);
  removeReplaced(path);
  return changed;
}

/** Forgets how the settings were found, and leaves them: somebody else needs them. */
export function keepSettings(path: string): void {
  removeReplaced(path);
}
