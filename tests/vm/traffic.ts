// Real packets for the cases: servers that answer over TCP and UDP with the address that they see, and clients that
// ask many of them at once, because in an emulated machine the start of a program is what costs.
import type { Sandbox } from "../support/sandbox.ts";

const SERVER = `
const plain = (address) => address.replace("::ffff:", "");
for (const port of process.argv.slice(1).map(Number)) {
  const hostname = "::";
  Bun.listen({ hostname, port, socket: { data(socket) { socket.end(port + " saw " + plain(socket.remoteAddress)); } } });
  await Bun.udpSocket({ hostname, port, socket: { data(socket, data, from, address) { socket.send(port + " saw " + plain(address), from, address); } } });
}
console.log("ready");
`;

const CLIENT = `
const [waitMs, ...targets] = process.argv.slice(1);
const ask = ([transport, hostname, port]) => new Promise((resolve) => {
  setTimeout(() => resolve("no answer"), Number(waitMs));
  if (transport === "tcp") {
    Bun.connect({ hostname, port: Number(port), socket: {
      open(socket) { socket.write("hello"); },
      data(socket, data) { resolve(new TextDecoder().decode(data)); },
      connectError() { resolve("refused"); },
    } }).catch(() => resolve("refused"));
  } else {
    // connected, so that an answer from another address than the one that was asked does not count
    Bun.udpSocket({ hostname: hostname.includes(":") ? "::" : "0.0.0.0", connect: { hostname, port: Number(port) }, socket: {
      data(socket, data) { resolve(data.toString()); },
      error() { resolve("refused"); },
    } }).then((socket) => socket.send("hello"));
  }
});
console.log(JSON.stringify(await Promise.all(targets.map((target) => ask(target.split(" "))))));
process.exit(0);
`;

/** Where a program runs: a pod's namespace by its name, or the host. */
export type Place = string | undefined;

function at(place: Place): string[] {
  return place === undefined ? [] : ["ip", "netns", "exec", place];
}

/** Starts servers on these ports, for TCP and UDP in both families; they end when what is returned is disposed. */
export async function serve(
  host: Sandbox,
  place: Place,
  ...ports: readonly number[]
): Promise<AsyncDisposable> {
  // a bridge forwards IPv6 to a pod that it has not met only when its own link-local address is settled
  while ((await host.text(["ip", "-6", "addr", "show", "tentative"])) !== "") await Bun.sleep(100);
  const server = host.start([...at(place), process.execPath, "-e", SERVER, ...ports.map(String)]);
  const first = await server.stdout.getReader().read();
  if (first.value === undefined) throw new Error(await new Response(server.stderr).text());
  return {
    async [Symbol.asyncDispose]() {
      server.kill("SIGKILL");
      await server.exited;
    },
  };
}

/** What is asked: `tcp 192.0.2.1 80`. */
export type Question = `${"tcp" | "udp"} ${string} ${number}`;

/** Asks all of them at once from one place, and returns what they answered, `refused` or `no answer`. */
export async function ask(
  host: Sandbox,
  place: Place,
  questions: readonly Question[],
  waitMs = 4000,
): Promise<string[]> {
  const command = [...at(place), process.execPath, "-e", CLIENT, `${waitMs}`, ...questions];
  return (await host.json(command)) as string[];
}

/** Makes a machine outside, namespace `outside`, that knows the host's addresses 192.0.2.1 and 2001:db8::1. */
export async function addOutside(host: Sandbox): Promise<void> {
  await host.addNetns("outside");
  // no early packet is lost to the detection of duplicate link-local addresses
  for (const scope of ["all", "default"]) {
    await host.text(["sysctl", "-qw", `net.ipv6.conf.${scope}.accept_dad=0`]);
  }
  const addressed = (number: number, device: string) => [
    `addr add 192.0.2.${number}/24 dev ${device}`,
    `addr add 2001:db8::${number}/64 dev ${device} nodad`,
    `link set ${device} up`,
  ];
  await host.text(["ip", "-batch", "-"], {
    stdin: ["link add wan type veth peer name wan netns outside", ...addressed(1, "wan")].join("\n"),
  });
  await host.text(["ip", "-netns", "outside", "-batch", "-"], {
    stdin: [
      ...["link set lo up", ...addressed(2, "wan")],
      ...["route add default via 192.0.2.1", "route add default via 2001:db8::1"],
    ].join("\n"),
  });
}
