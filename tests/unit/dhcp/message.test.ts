// Messages and options, whatever is in them: what is written is read again, and no bytes of a stranger do harm.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { decodeMessage, encodeMessage } from "../../../src/dhcp/message.ts";
import { decodeOptions, encodeOptions, OptionCode, optionCode } from "../../../src/dhcp/option.ts";
import { decodePacket } from "../../../src/dhcp/packet.ts";
import { termsOf } from "../../../src/dhcp/terms.ts";

const address = fc
  .integer({ min: 0, max: 0xffff_ffff })
  .map((value) => ({ family: 4 as const, value: BigInt(value) }));
const code = fc.integer({ min: 1, max: 254 }).filter((one) => one !== OptionCode.overload);
// longer than a piece, so that options are cut and put together again
const options = fc
  .array(fc.tuple(code, fc.uint8Array({ maxLength: 600 })), { maxLength: 8 })
  .map((entries) => new Map(entries));
const message = fc.record({
  operation: fc.constantFrom(1, 2),
  transactionId: fc.integer({ min: 0, max: 0xffff_ffff }),
  seconds: fc.integer({ min: 0, max: 0xffff }),
  broadcast: fc.boolean(),
  clientAddress: address,
  yourAddress: address,
  nextServer: address,
  relay: address,
  hardwareAddress: fc.uint8Array({ minLength: 6, maxLength: 6 }),
  options,
});

test("what is written is read again", () => {
  fc.assert(
    fc.property(message, (one) => {
      expect(decodeMessage(encodeMessage(one))).toEqual({
        ...one,
        hardwareAddress: new Uint8Array(one.hardwareAddress),
        options: new Map([...one.options].map(([key, value]) => [key, new Uint8Array(value)])),
      });
    }),
  );
});

test("bytes of a stranger are read or refused, and never more", () => {
  const base = encodeMessage({
    ...{ operation: 2, transactionId: 1, seconds: 0, broadcast: false },
    ...{ clientAddress: { family: 4, value: 0n }, yourAddress: { family: 4, value: 1n } },
    ...{ nextServer: { family: 4, value: 0n }, relay: { family: 4, value: 0n } },
    hardwareAddress: new Uint8Array(6),
    options: new Map(),
  }).subarray(0, 240);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (tail) => {
      decodePacket(tail);
      decodeMessage(tail);
      const read = decodeMessage(Uint8Array.from([...base, ...tail]));
      if (read !== undefined) termsOf(read);
    }),
    { numRuns: 500 },
  );
});

test("options go on in the fields of a boot where option 52 says so", () => {
  const bytes = new Uint8Array(300);
  bytes.set([2, 1, 6, 0]);
  new DataView(bytes.buffer).setUint32(236, 0x6382_5363);
  bytes.set([OptionCode.overload, 1, 3, OptionCode.hostName, 1, 0x61, OptionCode.end], 240);
  bytes.set([OptionCode.hostName, 1, 0x62, OptionCode.end], 108);
  bytes.set([OptionCode.hostName, 1, 0x63, OptionCode.end], 44);
  expect(decodeMessage(bytes)?.options.get(OptionCode.hostName)).toEqual(new Uint8Array([0x61, 0x62, 0x63]));
  // and an option that goes beyond its field is none
  bytes.set([OptionCode.hostName, 200], 44);
  expect(decodeMessage(bytes)).toBeUndefined();
});

test("an empty option, and one of just a piece's length, stay what they are", () => {
  for (const length of [0, 255, 510]) {
    const read = new Map<number, Uint8Array>();
    const value = new Uint8Array(length).fill(7);
    expect(decodeOptions(encodeOptions(new Map([[12, value]])), read)).toBe(true);
    expect(read).toEqual(new Map([[12, value]]));
  }
});

test.each([
  ["routers", 3],
  ["host-name", 12],
  ["dhcp-client-identifier", 61],
  ["254", 254],
  ["0", undefined],
  ["255", undefined],
  ["256", undefined],
  ["-1", undefined],
  ["1e2", undefined],
  ["toString", undefined],
  ["", undefined],
])("the option %p is %p", (spelling, expected) => {
  expect(optionCode(spelling)).toBe(expected);
});
