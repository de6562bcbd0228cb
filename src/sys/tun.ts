// /dev/net/tun: interfaces whose other end is a program (linux/if_tun.h). One is there as long as the program holds its
// descriptor, unless it is made to last.
import { dlopen } from "bun:ffi";
import { OpenFlag, openFile } from "./files.ts";
import { checkedInt, type Descriptor, LIBC, memory, retried } from "./libc.ts";

const DEVICE = "/dev/net/tun";

const TUNSETIFF = 0x4004_54can;
const TUNSETPERSIST = 0x4004_54cbn;
const TUNSETOWNER = 0x4004_54ccn;
const TUNSETGROUP = 0x4004_54cen;

const IFF_TAP = 0x0002;
/** Packets come without four bytes in front that say what they are. */
const IFF_NO_PI = 0x1000;
const IFF_MULTI_QUEUE = 0x0100;
/** Never an interface that is there. */
const IFF_TUN_EXCL = 0x8000;

/** sizeof(struct ifreq), and in it the flags behind the name. */
const REQUEST_BYTES = 40;
const FLAGS_AT = 16;

// the last argument of ioctl is an address for one request, and a number for the others
let withAddress: ReturnType<typeof bindWithAddress> | undefined;
function bindWithAddress() {
  return dlopen(LIBC, { ioctl: { args: ["i32", "u64", "buffer"], returns: "i32" } } as const).symbols;
}
let withNumber: ReturnType<typeof bindWithNumber> | undefined;
function bindWithNumber() {
  return dlopen(LIBC, { ioctl: { args: ["i32", "u64", "u64"], returns: "i32" } } as const).symbols;
}

/** Opens the device in the thread's network namespace, where its interface will be; throws SystemError. */
export function openTun(): Descriptor {
  return openFile(DEVICE, OpenFlag.readWrite);
}

/** Makes the descriptor's interface, a tap of this name; throws SystemError, EBUSY where there is one. */
export function attachTap(tun: Descriptor, name: string, multiQueue: boolean): void {
  const request = memory(REQUEST_BYTES);
  request.set(new TextEncoder().encode(name).subarray(0, FLAGS_AT - 1));
  const flags = IFF_TAP | IFF_NO_PI | IFF_TUN_EXCL | (multiQueue ? IFF_MULTI_QUEUE : 0);
  new DataView(request.buffer).setUint16(FLAGS_AT, flags, true);
  withAddress ??= bindWithAddress();
  const { ioctl } = withAddress;
  retried(`make tap ${name}`, () => ioctl(tun.fd, TUNSETIFF, request));
}

function set(tun: Descriptor, what: string, request: bigint, value: number): void {
  withNumber ??= bindWithNumber();
  const { ioctl } = withNumber;
  retried(`set ${what} of a tap`, () => ioctl(tun.fd, request, BigInt(checkedInt(value, what))));
}

/** Says whose programs may be its other end, by the numbers of a user and of a group; throws SystemError. */
export function allowTap(tun: Descriptor, owner: number | undefined, group: number | undefined): void {
  if (owner !== undefined) set(tun, "the owner", TUNSETOWNER, owner);
  if (group !== undefined) set(tun, "the group", TUNSETGROUP, group);
}

/** Lets the interface stay when the descriptor is closed; throws SystemError. */
export function keepTap(tun: Descriptor): void {
  set(tun, "persistence", TUNSETPERSIST, 1);
}
