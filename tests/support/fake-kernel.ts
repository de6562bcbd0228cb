// A kernel that is a function from what was sent to the datagrams that it answers with, so that conversations with
// the real one can be played without root. When it has nothing more to say, waiting ends as the real time limit does.
import { Reader, Writer } from "../../src/netlink/buffer.ts";
import type { Kernel } from "../../src/netlink/kernel.ts";
import { HEADER_BYTES, type Message, splitMessages } from "../../src/netlink/message.ts";
import { SystemError } from "../../src/sys/libc.ts";

/** A message that was sent to the fake kernel. */
export interface SentMessage extends Message {
  readonly body: Uint8Array;
}

/** A fake kernel, with all that was sent to it. */
export interface FakeKernel extends Kernel {
  /** Each datagram's messages. */
  readonly sent: SentMessage[][];
  readonly closed: boolean;
}

/** Returns a kernel that answers each datagram with those that `answer` returns. */
export function fakeKernel(answer: (messages: SentMessage[], turn: number) => Uint8Array[]): FakeKernel {
  const queue: Uint8Array[] = [];
  const sent: SentMessage[][] = [];
  let closed = false;
  return {
    sent,
    get closed() {
      return closed;
    },
    send(datagram) {
      const copy = datagram.slice();
      const messages = splitMessages(new Reader(copy)).map((message) => ({
        ...message,
        body: copy.subarray(message.bodyStart, message.end),
      }));
      queue.push(...answer(messages, sent.length));
      sent.push(messages);
    },
    receive() {
      const datagram = queue.shift();
      if (datagram === undefined) throw new SystemError("netlink receive", 11);
      return datagram;
    },
    close() {
      closed = true;
    },
  };
}

/** Returns one message as the kernel would send it. */
export function reply(
  type: number,
  sequence: number,
  body: Uint8Array = new Uint8Array(0),
  flags = 0,
): Uint8Array {
  const padded = new Uint8Array((HEADER_BYTES + body.length + 3) & ~3);
  const view = new DataView(padded.buffer);
  view.setUint32(0, HEADER_BYTES + body.length, true);
  view.setUint16(4, type, true);
  view.setUint16(6, flags, true);
  view.setUint32(8, sequence, true);
  padded.set(body, HEADER_BYTES);
  return padded;
}

/** Returns several messages in one datagram. */
export function together(...messages: Uint8Array[]): Uint8Array {
  return Uint8Array.from(messages.flatMap((message) => [...message]));
}

/** Returns an acknowledgement, or an error if `errno` isn't 0, with the kernel's words as a capped extended one. */
export function acknowledgement(
  sequence: number,
  errno = 0,
  words?: string,
  attributeOffset?: number,
): Uint8Array {
  const body = new Writer();
  body.view.setInt32(body.advance(4), -errno, true);
  const echo = body.advance(HEADER_BYTES);
  body.bytes.fill(0, echo, echo + HEADER_BYTES);
  if (words !== undefined) {
    const text = new TextEncoder().encode(`${words}\0`);
    body.view.setUint16(body.advance(2), 4 + text.length, true);
    body.view.setUint16(body.advance(2), 1, true);
    body.bytes.set(text, body.advance(text.length));
    body.align();
  }
  if (attributeOffset !== undefined) {
    body.view.setUint16(body.advance(2), 8, true);
    body.view.setUint16(body.advance(2), 2, true);
    body.view.setUint32(body.advance(4), attributeOffset, true);
  }
  const extended = words !== undefined || attributeOffset !== undefined;
  return reply(2, sequence, body.written().slice(), 0x100 | (extended ? 0x200 : 0));
}

/** Returns the end of a dump. */
export function done(sequence: number, errno = 0, flags = 0): Uint8Array {
  const body = new Uint8Array(4);
  new DataView(body.buffer).setInt32(0, -errno, true);
  return reply(3, sequence, body, 0x2 | flags);
}
