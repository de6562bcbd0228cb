// What ip, and packets, say about a sandbox: interfaces and addresses as the kernel has them, and whether two
// namespaces reach each other by TCP, and under which address.
import type { Sandbox } from "./sandbox.ts";

/** An address as `ip -json addr` shows it. */
export interface SeenAddress {
  readonly family: string;
  readonly local: string;
  readonly prefixlen: number;
  readonly scope: string;
  readonly tentative?: boolean;
  readonly nodad?: boolean;
}

/** An interface as `ip -json -details addr` shows it. */
export interface SeenLink {
  readonly ifindex: number;
  readonly ifname: string;
  readonly address: string;
  readonly mtu: number;
  readonly ifalias?: string;
  readonly operstate: string;
  readonly flags: readonly string[];
  readonly linkinfo?: { readonly info_kind: string; readonly info_data?: Readonly<Record<string, unknown>> };
  readonly addr_info: readonly SeenAddress[];
}

/** Returns an interface of the host or, if told, of a pod's namespace; undefined if it is not there. */
export async function seenLink(
  sandbox: Sandbox,
  name: string,
  netns?: string,
): Promise<SeenLink | undefined> {
  const where = netns === undefined ? [] : ["-netns", netns];
  const command = ["ip", ...where, "-json", "-details", "addr", "show", "dev", name];
  const { exitCode, stdout } = await sandbox.run(command);
  return exitCode === 0 ? (JSON.parse(stdout) as SeenLink[])[0] : undefined;
}

/** Far more than the kernel takes to give an address free that it does not look for elsewhere. */
const SETTLING_MS = 20_000;

/**
 * Returns true if no address of an interface waits for duplicate address detection, nor did: the kernel was told to do none
 * for those that it makes itself, nor for the others. How long it took would say that, too, but not on a busy machine.
 */
export async function isSettled(sandbox: Sandbox, name: string, netns?: string): Promise<boolean> {
  const where = netns === undefined ? [] : ["ip", "netns", "exec", netns];
  const setting = `/proc/sys/net/ipv6/conf/${name}/accept_dad`;
  if ((await sandbox.text([...where, "cat", setting])).trim() !== "0") return false;
  const deadline = Date.now() + SETTLING_MS;
  for (;;) {
    const addresses = (await seenLink(sandbox, name, netns))?.addr_info ?? [];
    const given = addresses.filter(({ family, scope }) => family === "inet6" && scope === "global");
    if (addresses.length === 0 || given.some(({ nodad }) => nodad !== true)) return false;
    if (addresses.every(({ tentative }) => tentative !== true)) return true;
    if (Date.now() > deadline) return false;
    await Bun.sleep(20);
  }
}

/** Returns the addresses of an interface that others may know, in CIDR notation. */
export function globalAddressesOf(link: SeenLink | undefined): string[] {
  return (link?.addr_info ?? [])
    .filter(({ scope }) => scope === "global")
    .map(({ local, prefixlen }) => `${local}/${prefixlen}`);
}

/** Returns the routes of a family as lines of `ip route`, sorted, of the host or of a pod's namespace. */
export async function routesOf(sandbox: Sandbox, family: 4 | 6, netns?: string): Promise<string[]> {
  const where = netns === undefined ? [] : ["-netns", netns];
  const text = await sandbox.text(["ip", ...where, `-${family}`, "route"]);
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("fe80::/64"))
    .sort();
}

/** Returns the hardware address that a namespace remembers for an address; empty where it remembers none. */
export async function neighbourOf(sandbox: Sandbox, address: string, netns?: string): Promise<string> {
  const where = netns === undefined ? [] : ["-netns", netns];
  const entries = (await sandbox.json(["ip", ...where, "-json", "neigh", "show", "to", address])) as {
    readonly lladdr?: string;
  }[];
  return entries[0]?.lladdr ?? "";
}

const SERVER = `
const [address, port] = process.argv.slice(1);
Bun.listen({ hostname: address, port: Number(port), socket: {
  open(socket) { socket.end(socket.remoteAddress); },
  data() {},
} });
console.log("ready");
setTimeout(() => process.exit(1), 20_000);
`;

/**
 * A connection that is not open after three seconds will not be; one that is has its answer coming, however busy the machine.
 * The seconds are turns of this program's own, for it may have to wait for one, and would find the answer only after that.
 */
const CLIENT = `
const [address, port] = process.argv.slice(1);
let opened = false;
function wait(turns) {
  if (opened) return;
  if (turns > 0) setTimeout(wait, 100, turns - 1);
  else { console.error("no answer"); process.exit(1); }
}
wait(30);
await Bun.connect({ hostname: address, port: Number(port), socket: {
  open() { opened = true; },
  data(_, bytes) { console.log(bytes.toString()); process.exit(0); },
  connectError(_, error) { console.error(String(error)); process.exit(1); },
} });
`;

function script(netns: string | undefined, text: string, args: readonly string[]): string[] {
  const where = netns === undefined ? [] : ["ip", "netns", "exec", netns];
  return [...where, process.execPath, "--config=/dev/null", "-e", text, ...args];
}

/**
 * Connects from one namespace to a TCP server at `address` in another (undefined is the host) and returns the
 * address that the server saw the client have; throws with the client's words if nothing came through. The server
 * listens at `listen` where that is another address, as behind a port map.
 */
export async function connectionSource(
  sandbox: Sandbox,
  from: string | undefined,
  to: string | undefined,
  address: string,
  { listen = address }: { readonly listen?: string } = {},
): Promise<string> {
  const args = [address, "7000"];
  const server = sandbox.start(script(to, SERVER, [listen, "7000"]));
  try {
    const { value } = await server.stdout.getReader().read();
    if (value === undefined) throw new Error(await new Response(server.stderr).text());
    return (await sandbox.text(script(from, CLIENT, args))).trim();
  } finally {
    server.kill();
    await server.exited;
  }
}
