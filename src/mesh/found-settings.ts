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
  addToRecord(path, [family]);
  enableForwarding(family);
}

function addToRecord(path: string, families: readonly Family[]): void {
  const { forwardingWasOff } = readRecord(path) ?? { forwardingWasOff: [] };
  const record: FoundSettings = {
    ...{ bootId: currentBootId(), netns: hostWord() },
    forwardingWasOff: [...new Set([...forwardingWasOff, ...families])].sort(),
  };
  makeDirectories(parentOf(path), 0o700);
  replaceFile(path, `${JSON.stringify(record)}\n`, 0o600);
}

/** Gives the settings back as they were found, and forgets them. Returns the families that are forwarded no more. */
export function giveBack(path: string): Family[] {
  const families = readRecord(path)?.forwardingWasOff ?? [];
  const changed = families.filter((family) => forwards(family));
  for (const family of changed) disableForwarding(family);
  removeReplaced(path);
  return changed;
}

/**
 * Leaves the settings, because somebody else needs them, and forgets how they were found. Where that is another mesh of this node
 * it gives them back in its turn: `heir` is where that has written down what it found.
 */
export function keepSettings(path: string, heir?: string): void {
  const families = readRecord(path)?.forwardingWasOff ?? [];
  if (heir !== undefined && families.length > 0) addToRecord(heir, families);
  removeReplaced(path);
}
