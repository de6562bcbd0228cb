// Both forms of a record: what they look like, and that whatever was written is read back.
import { expect, test } from "bun:test";
import fc from "fast-check";
import {
  type CallDetails,
  type CallRecord,
  jsonRecord,
  parseRecords,
  textRecord,
} from "../../../src/record/call-record.ts";

const variables = {
  CNI_COMMAND: "ADD",
  CNI_CONTAINERID: "pod1",
  CNI_NETNS: "/run/netns/pod1",
  CNI_IFNAME: "eth0",
  CNI_ARGS: "IgnoreUnknown=1",
  CNI_PATH: "/opt/cni/bin",
};
const details: CallDetails = {
  atMs: Date.UTC(2026, 0, 2, 3, 4, 5, 6),
  durationMs: 1.25,
  plugin: "trace",
  network: "lab",
  pid: 42,
  parent: { pid: 41, command: "containerd --root /x" },
  exitCode: 0,
  stdout: '{"cniVersion":"1.1.0","n":18446744073709551615}',
};

test("S2-01 the text form is the debug logger's: an empty line, seven labelled lines, 22 dashes", () => {
  const stdin = Buffer.from('{"name":"lab"}');
  expect(Buffer.from(textRecord({ variables, stdin })).toString()).toBe(
    "\nCNI Command: ADD\nContainerID: pod1\nNetns: /run/netns/pod1\nIfName: eth0\nArgs: IgnoreUnknown=1\n" +
      'Path: /opt/cni/bin\nStdinData: {"name":"lab"}\n----------------------\n',
  );
});

test("S2-11 the JSON form is one object on one line, with every digit of the result", () => {
  const text = Buffer.from(jsonRecord({ variables, stdin: Buffer.from("{}\n"), more: details })).toString();
  expect(text.indexOf("\n")).toBe(text.length - 1);
  expect(JSON.parse(text)).toMatchObject({
    time: "2026-01-02T03:04:05.006Z",
    verb: "ADD",
    durationMs: 1.25,
    pid: 42,
    parent: { pid: 41, command: "containerd --root /x" },
    network: "lab",
    env: variables,
    stdin: "{}\n",
    exitCode: 0,
    result: { cniVersion: "1.1.0" },
  });
  expect(text).toContain('"n":18446744073709551615');
});

const input = fc.oneof(
  fc.string().map((text) => Buffer.from(text)),
  fc.uint8Array().map((bytes) => Buffer.from(bytes)),
  fc
    .constantFrom("", "\n", "----------------------", "\n----------------------\nx", "\r\n{}\n\n", "{")
    .map((text) => Buffer.from(text)),
);
const value = fc.oneof(fc.string({ unit: "binary" }), fc.constantFrom("a\nIfName: b", "\\n", "\r", "ä"));
const calls: fc.Arbitrary<CallRecord[]> = fc.array(
  fc.record({
    variables: fc.record({
      CNI_COMMAND: value,
      CNI_CONTAINERID: value,
      CNI_NETNS: value,
      CNI_IFNAME: value,
      CNI_ARGS: value,
      CNI_PATH: value,
    }),
    stdin: input,
  }),
  { maxLength: 4 },
);

function plain(records: readonly CallRecord[]) {
  return records.map(({ variables, stdin }) => ({ variables, stdin: Buffer.from(stdin).toString("hex") }));
}

test("S2-12 whatever calls are written as text, they are read back byte by byte", () => {
  fc.assert(
    fc.property(calls, (records) => {
      const file = Buffer.concat(records.map((record) => textRecord(record)));
      expect(plain(parseRecords(file, "log"))).toEqual(plain(records));
    }),
  );
});

test("S2-12 whatever calls are written as JSON lines, they are read back byte by byte", () => {
  fc.assert(
    fc.property(calls, (records) => {
      const file = Buffer.concat(records.map((record) => jsonRecord({ ...record, more: details })));
      expect(plain(parseRecords(file, "log"))).toEqual(plain(records));
    }),
  );
});

test.each([
  ["hello\n", "log: no record at line 1"],
  ["\nCNI Command: ADD\nContainerID: x\n", "log: no record at line 1"],
  ['{"time":"x"}\n', 'log:1: "plugin" is nothing'],
  ["{}\n{", 'log:1: "time" is nothing'],
])("%j is no file of records", (text, message) => {
  expect(() => parseRecords(Buffer.from(text), "log")).toThrow(message);
});
