// D-Bus messages against the layout of the specification, and against what is no message.
import { describe, expect, test } from "bun:test";
import { encodeCall, readMessage } from "../../../src/net/firewall/system-bus.ts";

const ZONE = {
  destination: "org.fedoraproject.FirewallD1",
  path: "/org/fedoraproject/FirewallD1",
  interface: "org.fedoraproject.FirewallD1.zone",
  member: "addSource",
};

function taker(bytes: Uint8Array): (count: number) => Uint8Array<ArrayBuffer> {
  let at = 0;
  return (count) => {
    if (at + count > bytes.length) throw new RangeError("cut short");
    at += count;
    return new Uint8Array(bytes.slice(at - count, at));
  };
}

describe("a call", () => {
  const bytes = encodeCall(ZONE, ["lab", "10.88.0.2/32"], 7);
  const view = new DataView(bytes.buffer);

  test("has the header of the specification, and asks for no service to be started", () => {
    expect([...bytes.subarray(0, 4)]).toEqual([0x6c, 1, 2, 1]);
    expect(view.getUint32(8, true)).toBe(7);
    const fields = view.getUint32(12, true);
    const body = (16 + fields + 7) & ~7;
    expect(bytes.length).toBe(body + view.getUint32(4, true));
    expect(new TextDecoder().decode(bytes.subarray(body))).toBe(
      "\x03\0\0\0lab\0\x0c\0\0\0" + "10.88.0.2/32\0",
    );
  });

  test("reads back as a message", () => {
    expect(readMessage(taker(bytes))).toEqual({ type: 1, replySerial: 0, errorName: "", value: "lab" });
  });

  test("without arguments has no body", () => {
    const bare = encodeCall(ZONE, [], 1);
    expect(new DataView(bare.buffer).getUint32(4, true)).toBe(0);
    expect(bare.length % 8).toBe(0);
    expect(readMessage(taker(bare)).value).toBeUndefined();
  });
});

/** An answer as dbus-daemon lays it out: reply serial 7, then what `fields` adds. */
function answer(type: number, fields: readonly number[], body: readonly number[]): Uint8Array {
  const all = [5, 1, 0x75, 0, 7, 0, 0, 0, ...fields];
  const length = all.length;
  while (all.length % 8 !== 0) all.push(0);
  return Uint8Array.from([
    ...[0x6c, type, 1, 1, body.length, 0, 0, 0, 3, 0, 0, 0, length, 0, 0, 0],
    ...all,
    ...body,
  ]);
}

const letters = (text: string) => [...new TextEncoder().encode(text)];

describe("an answer", () => {
  test.each([0, 1])("that is a flag: %d", (flag) => {
    const message = readMessage(taker(answer(2, [8, 1, 0x67, 0, 1, 0x62, 0], [flag, 0, 0, 0])));
    expect(message).toEqual({ type: 2, replySerial: 7, errorName: "", value: flag });
  });

  test("that is an error with its words", () => {
    const name = letters("a.b.C");
    const fields = [4, 1, 0x73, 0, name.length, 0, 0, 0, ...name, 0, 0, 0, 8, 1, 0x67, 0, 1, 0x73, 0];
    // the signature's field begins at a multiple of 8
    const padded = [...fields.slice(0, 14), 0, 0, ...fields.slice(16)];
    const message = readMessage(taker(answer(3, padded, [3, 0, 0, 0, ...letters("bad"), 0])));
    expect(message).toEqual({ type: 3, replySerial: 7, errorName: "a.b.C", value: "bad" });
  });

  test("with nothing in it", () => {
    expect(readMessage(taker(answer(2, [], []))).value).toBeUndefined();
  });

  test.each([
    ["of another byte order", (bytes: Uint8Array) => bytes.with(0, 0x42)],
    ["longer than any", (bytes: Uint8Array) => bytes.with(7, 0x7f)],
    ["with endless fields", (bytes: Uint8Array) => bytes.with(15, 0x7f)],
    ["cut short", (bytes: Uint8Array) => bytes.subarray(0, 20)],
  ])("%s is refused", (_, spoil) => {
    expect(() => readMessage(taker(spoil(answer(2, [], []))))).toThrow();
  });
});
