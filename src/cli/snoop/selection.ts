// Which calls somebody wants to see.
import type { CallRecord } from "../../record/call-record.ts";

/** What a call must be to be shown; undefined is any. */
export interface Selection {
  readonly network?: string | undefined;
  /** The id of a container, or its beginning. */
  readonly container?: string | undefined;
  readonly verb?: string | undefined;
  readonly failed?: boolean | undefined;
}

/** True if the call is one that is wanted, as far as one can tell before it ends. */
export function canBeSelected({ variables }: CallRecord, { container, verb }: Selection): boolean {
  return (
    (container === undefined || (variables.CNI_CONTAINERID ?? "").startsWith(container)) &&
    (verb === undefined || variables.CNI_COMMAND === verb.toUpperCase())
  );
}

/** True if the call is one that is wanted. */
export function isSelected(call: CallRecord, selection: Selection): boolean {
  const { network, failed } = selection;
  return (
    canBeSelected(call, selection) &&
    (network === undefined || call.more?.network === network) &&
    (failed !== true || call.more?.exitCode !== 0)
  );
}
