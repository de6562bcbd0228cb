// The clock that runs since the machine was booted, also while it sleeps. Nobody sets it, so that what is planned by it is
// not upset when a machine without a battery learns what day it is.
import { dlopen } from "bun:ffi";
import { LIBC, memory, retried } from "./libc.ts";

/** CLOCK_BOOTTIME, linux/time.h */
const CLOCK_BOOTTIME = 7;

// bound when first used: no plugin's hot path asks for it
let bound: ReturnType<typeof bind> | undefined;
function bind() {
  return dlopen(LIBC, {
    clock_gettime: { args: ["i32", "buffer"], returns: "i32" },
  } as const).symbols;
}

/** Returns the milliseconds since the machine was booted, as a whole number. Throws SystemError. */
export function uptimeMs(): number {
  bound ??= bind();
  const { clock_gettime: gettime } = bound;
  // struct timespec: two 64-bit numbers
  const time = memory(16);
  retried("clock_gettime", () => gettime(CLOCK_BOOTTIME, time));
  const view = new DataView(time.buffer);
  return Number(view.getBigInt64(0, true)) * 1000 + Math.floor(Number(view.getBigInt64(8, true)) / 1e6);
}
