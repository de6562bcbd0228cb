// How fast bytes get through a TCP connection, seen by the receiver. Run as a program inside a namespace: `receive
// PORT SECONDS` prints the bits a second of its first connection once it has run in; `send ADDRESS PORT` sends as
// fast as it may until the receiver has enough.
import { connect, createServer } from "node:net";
import type { Sandbox } from "./sandbox.ts";

/** How long a connection runs before it is measured: the burst is used up then, and TCP knows the way. */
const RUN_IN_MS = 1000;

async function receive(port: number, seconds: number): Promise<void> {
  const server = createServer((socket) => {
    let received = 0;
    socket.on("data", (chunk) => {
      received += chunk.length;
    });
    socket.on("error", () => undefined);
    setTimeout(() => {
      const [bytesBefore, startedAt] = [received, performance.now()];
      setTimeout(() => {
        const bits = (received - bytesBefore) * 8;
        console.log(Math.round((bits * 1000) / (performance.now() - startedAt)));
        process.exit(0);
      }, seconds * 1000);
    }, RUN_IN_MS);
  });
  server.listen(port, "::", () => console.log("ready"));
}

function send(address: string, port: number): void {
  const chunk = Buffer.alloc(16 * 1024);
  const socket = connect(port, address, () => {
    const fill = () => {
      while (socket.write(chunk));
    };
    socket.on("drain", fill);
    fill();
  });
  socket.on("error", () => process.exit(0));
  socket.on("close", () => process.exit(0));
}

/** Where one end of a connection is: a pod's namespace by its name, or the host. */
export type End = string | undefined;

/** Returns the bits a second that get from one end to the other, whose address is given. */
export async function throughput(
  host: Sandbox,
  from: End,
  to: { readonly end: End; readonly address: string; readonly port: number },
  seconds: number,
): Promise<number> {
  const at = (end: End) => (end === undefined ? [] : ["ip", "netns", "exec", end]);
  const program = [process.execPath, import.meta.path];
  const receiver = host.start([...at(to.end), ...program, "receive", `${to.port}`, `${seconds}`]);
  const reader = receiver.stdout.getReader();
  await reader.read();
  const sender = host.start([...at(from), ...program, "send", to.address, `${to.port}`]);
  const { value } = await reader.read();
  await receiver.exited;
  await sender.exited;
  return Number(new TextDecoder().decode(value));
}

if (import.meta.main) {
  const [command, ...rest] = process.argv.slice(2);
  if (command === "receive") await receive(Number(rest[0]), Number(rest[1]));
  else send(rest[0] ?? "", Number(rest[1]));
}
