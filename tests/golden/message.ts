// Golden messages: bytes that iproute2 6.1 and nft 1.0.6 sent on Linux 6.18, recorded with strace in a throwaway
// namespace, one row a field. Each is compared both ways with our codec, and with the request that Warren sends.
import { expect, test } from "bun:test";
import { type Codec, Reader, Writer } from "../../src/netlink/buffer.ts";
import { HEADER_BYTES, MessageFlag, type Request, writeMessage } from "../../src/netlink/message.ts";

export { message } from "../support/recorded.ts";

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes)
    .toString("hex")
    .replace(/(.{8})/g, "$1 ")
    .trim();
}

/** Tests that `value` and the body of a recorded message are the same, written by `codec` and read by it. */
export function golden<T>(name: string, recorded: Uint8Array, codec: Codec<T>, value: T): void {
  test(`${name}: codec, both ways`, () => {
    const writer = new Writer();
    codec.encode(writer, value);
    expect(hex(writer.written())).toBe(hex(recorded.subarray(HEADER_BYTES)));
    const reader = new Reader(recorded, HEADER_BYTES);
    // A property that is undefined is sent as one that isn't there.
    expect(reader.whole("message", codec)).toEqual(value);
  });
}

/** Tests that a request becomes the whole recorded message; only echoes are asked for by us alone. */
export function goldenRequest(name: string, recorded: Uint8Array, request: Request): void {
  test(`${name}: request`, () => {
    const header = new DataView(recorded.buffer);
    const flags = header.getUint16(6, true);
    const transport = flags & (MessageFlag.request | MessageFlag.acknowledge);
    const dump =
      request.flags === 0 && (flags & MessageFlag.dump) === MessageFlag.dump ? MessageFlag.dump : 0;
    const writer = new Writer();
    const silent = { ...request, flags: request.flags & ~MessageFlag.echo };
    writeMessage(writer, silent, transport | dump, header.getUint32(8, true));
    expect(hex(writer.written())).toBe(hex(recorded));
  });
}
