// What the ledger has about a kernel object beside its name, read back: another version of this executable may have
// written it, or a disk have damaged it.
import type * as v from "valibot";
import { ErrorCode } from "../cni/error.ts";
import { parseInput } from "../cni/input.ts";
import type { KernelObject } from "../ledger/attachments.ts";

/** Returns the detail of an object as `schema` types it; throws CniError 105 naming the object. */
export function detailOf<Schema extends v.GenericSchema>(
  schema: Schema,
  { kind, name, detail }: KernelObject,
): v.InferOutput<Schema> {
  const what = `what the store has about the ${kind} of ${name}`;
  return parseInput(schema, JSON.parse(detail), ErrorCode.storeUnusable, what);
}
