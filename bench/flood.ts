// Traffic, as much as one process can make: `connect ADDRESS PORT SECONDS` opens and drops TCP connections and prints
// how many, `accept PORT` takes them, `send ADDRESS PORT SECONDS` sends datagrams of one flow, `swallow PORT` is where
// they go. Plain system calls, because a client library would be what is measured.
import { dlopen } from "bun:ffi";
import { addressBytes, parseAddress } from "../src/ip/address.ts";
import { LIBC, memory } from "../src/sys/libc.ts";

const { symbols: libc } = dlopen(LIBC, {
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
  setsockopt: { args: ["i32", "i32", "i32", "buffer", "u32"], returns: "i32" },
  bind: { args: ["i32", "buffer", "u32"], returns: "i32" },
  listen: { args: ["i32", "i32"], returns: "i32" },
  accept: { args: ["i32", "ptr", "ptr"], returns: "i32" },
  connect: { args: ["i32", "buffer", "u32"], returns: "i32" },
  send: { args: ["i32", "buffer", "u64", "i32"], returns: "i32" },
  recv: { args: ["i32", "buffer", "u64", "i32"], returns: "i32" },
  close: { args: ["i32"], returns: "i32" },
} as const);

const AF_INET = 2;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_LINGER = 13;
const SO_SNDTIMEO = 21;
const BACKLOG = 4096;
const PAYLOAD_BYTES = 18;

/** struct sockaddr_in */
function socketAddress(host: string, port: number): Uint8Array<ArrayBuffer> {
  const address = parseAddress(host);
  if (address?.family !== 4) throw new Error(`${host} is no IPv4 address`);
  const bytes = memory(16);
  new DataView(bytes.buffer).setUint16(0, AF_INET, true);
  new DataView(bytes.buffer).setUint16(2, port);
  bytes.set(addressBytes(address), 4);
  return bytes;
}

function option(socket: number, name: number, ...values: number[]): void {
  const value = Int32Array.from(values);
  libc.setsockopt(socket, SOL_SOCKET, name, value, value.byteLength);
}

function open(type: number): number {
  const socket = libc.socket(AF_INET, type, 0);
  if (socket < 0) throw new Error("no socket");
  return socket;
}

function bound(type: number, port: number): number {
  const socket = open(type);
  option(socket, SO_REUSEADDR, 1);
  if (libc.bind(socket, socketAddress("0.0.0.0", port), 16) < 0) throw new Error(`port ${port} is taken`);
  return socket;
}

const [command, ...rest] = process.argv.slice(2);
switch (command) {
  case "accept": {
    const socket = bound(SOCK_STREAM, Number(rest[0]));
    libc.listen(socket, BACKLOG);
    console.log("ready");
    for (;;) libc.close(libc.accept(socket, null, null));
  }
  case "swallow": {
    const socket = bound(SOCK_DGRAM, Number(rest[0]));
    const buffer = memory(2048);
    console.log("ready");
    for (;;) libc.recv(socket, buffer, buffer.length, 0);
  }
  case "connect": {
    const to = socketAddress(rest[0] ?? "", Number(rest[1]));
    const endsAt = performance.now() + Number(rest[2]) * 1000;
    let made = 0;
    while (performance.now() < endsAt) {
      const socket = open(SOCK_STREAM);
      // reset instead of closing: a port that waits for late packets can't be used again
      option(socket, SO_LINGER, 1, 0);
      option(socket, SO_SNDTIMEO, 1, 0, 0, 0);
      if (libc.connect(socket, to, to.length) === 0) made++;
      libc.close(socket);
    }
    console.log(made);
    break;
  }
  case "send": {
    const to = socketAddress(rest[0] ?? "", Number(rest[1]));
    const endsAt = performance.now() + Number(rest[2]) * 1000;
    const socket = open(SOCK_DGRAM);
    libc.connect(socket, to, to.length);
    const payload = memory(PAYLOAD_BYTES);
    while (performance.now() < endsAt) {
      for (let burst = 0; burst < 64; burst++) libc.send(socket, payload, payload.length, 0);
    }
    break;
  }
  default:
    throw new Error(`${command} is none of accept, swallow, connect, send`);
}
