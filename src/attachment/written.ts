// What is written down about an attachment: every plugin reads back by this what its ADD left in the store, for CHECK to
// compare with, and for DEL to know what has to go.
import { type CniError, stateDiffers } from "../cni/error.ts";
import type { AttachmentCall } from "../cni/plugin.ts";
import { type AttachmentRow, findAttachment, type KernelObject, listObjects } from "../ledger/attachments.ts";
import { describeOwner, type Owner } from "../ledger/owner.ts";
import { inExistingStore } from "../store/sqlite.ts";
import { entryOf } from "./reservation.ts";

/** What is written down about an attachment; nothing where the store was lost, or nothing was ever made. */
export interface WrittenAttachment {
  readonly row: AttachmentRow | undefined;
  readonly objects: readonly KernelObject[];
}

/** A call about one attachment. */
type OneAttachment = Pick<AttachmentCall<unknown>, "network" | "attachment">;

/** Returns what `plugin` wrote down about the attachment of a call. Throws StoreError. */
export async function writtenAttachment(
  call: OneAttachment,
  plugin: string,
  dataDir: string,
): Promise<WrittenAttachment> {
  const entry = entryOf(call, plugin);
  return inExistingStore(
    dataDir,
    async (store) =>
      store === undefined
        ? { row: undefined, objects: [] }
        : { row: await findAttachment(store, entry), objects: await listObjects(store, entry) },
    "read",
  );
}

/** Returns the objects that `plugin` wrote down about the attachment of a call; throws CniError 103 if it wrote nothing. */
export async function requireWritten(
  call: OneAttachment,
  plugin: string,
  dataDir: string,
): Promise<readonly KernelObject[]> {
  const { row, objects } = await writtenAttachment(call, plugin, dataDir);
  if (row === undefined) throw nothingWritten(entryOf(call, plugin));
  return objects;
}

/** Returns the error of a CHECK that finds nothing written down. */
export function nothingWritten(owner: Owner): CniError {
  return stateDiffers(`nothing is written down about ${describeOwner(owner)}`);
}
