// What a command that stays tells the service manager that started it, if one did.
import { describeError } from "../cni/error.ts";
import { log } from "../log.ts";
import { isSystemError } from "../sys/libc.ts";
import { tellServiceManager } from "../sys/service-manager.ts";

/** Tells it a state, such as `READY=1`; one that can't be told is no reason to end. */
export function tellManager(state: string): void {
  const path = process.env.NOTIFY_SOCKET ?? "";
  if (path === "") return;
  try {
    tellServiceManager(path, state);
  } catch (error) {
    // it may be about to restart; a node without the service would be worse
    if (!isSystemError(error)) throw error;
    log.warn(`the service manager can't be told ${state}: ${describeError(error)}`);
  }
}
