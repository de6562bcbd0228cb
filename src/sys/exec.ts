// Replacing this process by another program, so that what `warren run` starts is that program itself: its exit
// code, its signals and its terminal, with nothing of Warren left around it.
import { dlopen, ptr } from "bun:ffi";
import { checkedInt, checkedPath, LIBC, lastErrno, memory, SystemError } from "./libc.ts";

const EINVAL = 22;
const SIGPIPE = 13;
const SIGXFSZ = 25;

/**
 * Makes this process become the program at `path` with these arguments (the first is its own name) and variables.
 * Does not return; throws SystemError if the kernel refuses (ENOENT, EACCES, ENOEXEC) and EINVAL for a NUL.
 */
export function replaceProcess(
  path: string,
  args: readonly string[],
  variables: Readonly<Record<string, string | undefined>>,
): never {
  const { symbols } = dlopen(LIBC, {
    execve: { args: ["cstring", "ptr", "ptr"], returns: "i32" },
    signal: { args: ["i32", "u64"], returns: "u64" },
  } as const);
  const argv = stringVector(args);
  const environment = stringVector(
    Object.entries(variables).flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`])),
  );
  // Bun ignores these two from its start, and an ignored signal stays ignored through execve: a program that
  // writes into a closed pipe would spin instead of ending (0 is SIG_DFL)
  for (const signal of [SIGPIPE, SIGXFSZ]) symbols.signal(checkedInt(signal, "signal"), 0n);
  symbols.execve(checkedPath(path), argv.address, environment.address);
  throw new SystemError(`execve ${path}`, lastErrno());
}

/** Returns a NULL-terminated `char *[]`; `memory` holds what the address points at and must outlive its use. */
function stringVector(strings: readonly string[]) {
  const encoder = new TextEncoder();
  const texts = strings.map((text) => {
    if (text.includes("\0")) throw new SystemError(`argument ${JSON.stringify(text)}`, EINVAL);
    const encoded = encoder.encode(`${text}\0`);
    const bytes = memory(encoded.length);
    bytes.set(encoded);
    return bytes;
  });
  const pointers = memory((texts.length + 1) * 8);
  const view = new DataView(pointers.buffer);
  for (const [index, bytes] of texts.entries()) view.setBigUint64(index * 8, BigInt(ptr(bytes)), true);
  return { address: ptr(pointers), memory: [pointers, ...texts] };
}
