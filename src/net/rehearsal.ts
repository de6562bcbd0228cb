// A rehearsal: something tried in a network namespace of its own that vanishes with everything in it, so that
// STATUS can find out what the kernel is able to do without touching the host.
import { inFreshNetworkNamespace } from "../sys/namespace.ts";

/** Runs `work`, synchronously, in a new network namespace and returns what it returns. Throws SystemError. */
export function rehearse<T>(work: () => T): T {
  return inFreshNetworkNamespace(work);
}
