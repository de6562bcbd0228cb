// Which name the interface of a number has, asked by an old call (netdevice(7)). Of rtnetlink the kernel answers when nobody
// changes links any more; this one it answers at once, for whoever must not wait.
import { dlopen } from "bun:ffi";
import { checkedInt, Descriptor, isSystemError, LIBC, libc, memory, retried } from "./libc.ts";

// asm-generic/socket.h and linux/sockios.h, the same on x86_64 and arm64
const AF_UNIX = 1;
const SOCK_DGRAM_CLOEXEC = 0o2000002;
const SIOCGIFNAME = 0x8910n;

/** sizeof(struct ifreq), and in it the number behind the name. */
const REQUEST_BYTES = 40;
const NUMBER_AT = 16;

let bound: ReturnType<typeof bind> | undefined;
function bind() {
  return dlopen(LIBC, { ioctl: { args: ["i32", "u64", "buffer"], returns: "i32" } } as const).symbols;
}

/**
 * Returns the name of an interface in the thread's network namespace; undefined where none has the number. Throws
 * SystemError.
 */
export function interfaceName(number: number): string | undefined {
  const request = memory(REQUEST_BYTES);
  new DataView(request.buffer).setInt32(NUMBER_AT, checkedInt(number, "interface number"), true);
  using socket = new Descriptor(retried("open socket", () => libc.socket(AF_UNIX, SOCK_DGRAM_CLOEXEC, 0)));
  bound ??= bind();
  const { ioctl } = bound;
  try {
    retried(`name of interface ${number}`, () => ioctl(socket.fd, SIOCGIFNAME, request));
  } catch (error) {
    if (isSystemError(error, "ENODEV")) return undefined;
    throw error;
  }
  return new TextDecoder().decode(request.subarray(0, request.indexOf(0)));
}
