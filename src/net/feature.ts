// Parts of the kernel that a host may lack. A lacking one is told by its name and its cure, and not as the error
// number that its absence happens to give.

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
