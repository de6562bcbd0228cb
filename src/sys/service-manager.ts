// What a service tells the manager that started it, as sd_notify(3) does: one packet to the socket that the environment names.
import { checkedPath, Descriptor, libc, memory, retried, SystemError } from "./libc.ts";

const AF_UNIX = 1;
const SOCK_DGRAM_CLOEXEC = 0o2000002;
/** Bytes of sun_path in struct sockaddr_un (linux/un.h). */
const LONGEST_PATH_BYTES = 108;
const ENAMETOOLONG = 36;

/** Sends `state`, such as `READY=1`, to the socket at `path`, which is abstract where it begins with @. Throws SystemError. */
export function tellServiceManager(path: string, state: string): void {
  const name = new TextEncoder().encode(checkedPath(path));
  if (name.length >= LONGEST_PATH_BYTES) throw new SystemError(`send to ${path}`, ENAMETOOLONG);
  const isAbstract = path.startsWith("@");
  const address = memory(2 + name.length + (isAbstract ? 0 : 1));
  address[0] = AF_UNIX;
  address.set(name, 2);
  if (isAbstract) address[2] = 0;
  const text = new TextEncoder().encode(state);
  const packet = memory(text.length);
  packet.set(text);
  using socket = new Descriptor(retried("open socket", () => libc.socket(AF_UNIX, SOCK_DGRAM_CLOEXEC, 0)));
  retried(`send to ${path}`, () => libc.sendto(socket.fd, packet, packet.length, 0, address, address.length));
}
