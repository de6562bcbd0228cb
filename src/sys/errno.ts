// The kernel's error numbers by name. Messages and decisions in Warren use the names ("EEXIST"), so that no
// bare number has to be looked up by a reader or an operator. Values: include/uapi/asm-generic/errno*.h; the
// numbers are the same on x86_64 and arm64.

const NAMES = {
  1: "EPERM",
  2: "ENOENT",
  3: "ESRCH",
  4: "EINTR",
  5: "EIO",
  6: "ENXIO",
  7: "E2BIG",
  8: "ENOEXEC",
  9: "EBADF",
  11: "EAGAIN",
  12: "ENOMEM",
  13: "EACCES",
  14: "EFAULT",
  16: "EBUSY",
  17: "EEXIST",
  18: "EXDEV",
  19: "ENODEV",
  20: "ENOTDIR",
  21: "EISDIR",
  22: "EINVAL",
  23: "ENFILE",
  24: "EMFILE",
  26: "ETXTBSY",
  27: "EFBIG",
  28: "ENOSPC",
  29: "ESPIPE",
  30: "EROFS",
  32: "EPIPE",
  34: "ERANGE",
  36: "ENAMETOOLONG",
  38: "ENOSYS",
  39: "ENOTEMPTY",
  40: "ELOOP",
  71: "EPROTO",
  74: "EBADMSG",
  75: "EOVERFLOW",
  90: "EMSGSIZE",
  92: "ENOPROTOOPT",
  93: "EPROTONOSUPPORT",
  95: "EOPNOTSUPP",
  97: "EAFNOSUPPORT",
  98: "EADDRINUSE",
  99: "EADDRNOTAVAIL",
  100: "ENETDOWN",
  101: "ENETUNREACH",
  104: "ECONNRESET",
  105: "ENOBUFS",
  107: "ENOTCONN",
  110: "ETIMEDOUT",
  111: "ECONNREFUSED",
  113: "EHOSTUNREACH",
  115: "EINPROGRESS",
  122: "EDQUOT",
} as const;

/** The name of an error number that Warren knows, such as `"EEXIST"`. */
export type ErrnoName = (typeof NAMES)[keyof typeof NAMES];

const BY_NUMBER: Readonly<Record<number, ErrnoName>> = NAMES;

/** Returns the name of an error number, or `errno N` for one that has no name here. */
export function errnoName(errno: number): ErrnoName | `errno ${number}` {
  return BY_NUMBER[errno] ?? `errno ${errno}`;
}
