// Parts of the kernel that a host may lack. A lacking one is told by its name and its cure, and not as the error
// number that its absence happens to give. What STATUS tries out is also what explains the failure of an ADD, so that
// both say the same.
import { isNetlinkError } from "../netlink/message.ts";

/** The kernel has no such part. */
export class MissingFeatureError extends Error {
  override readonly name = "MissingFeatureError";

  constructor(
    /** What is missing, such as `nf_tables`. */
    readonly feature: string,
    /** What the operator can do about it. */
    readonly cure: string,
    options?: { readonly cause?: unknown },
  ) {
    super(`the kernel has no ${feature}`, options);
  }
}

/**
 * Runs `work`, which needs what `probe` looks for. If the kernel refuses it and the probe throws MissingFeatureError,
 * that is the reason and is thrown instead. Costs nothing where all goes well.
 */
export function needing<T>(probe: () => void, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (isNetlinkError(error)) {
      try {
        probe();
      } catch (reason) {
        if (reason instanceof MissingFeatureError) throw reason;
      }
    }
    throw error;
  }
}
