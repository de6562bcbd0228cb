import { describe, expect, test } from "bun:test";
import { Reader } from "../../../src/netlink/buffer.ts";
import { createLink, deleteLink } from "../../../src/netlink/link.ts";
import {
  ignoring,
  isNetlinkError,
  NetlinkError,
  readVerdict,
  requestError,
  splitMessages,
  type Verdict,
} from "../../../src/netlink/message.ts";
import { acknowledgement, done, reply, together } from "../../support/fake-kernel.ts";

function verdictOf(datagram: Uint8Array): Verdict {
  const reader = new Reader(datagram);
  const [message] = splitMessages(reader);
  if (message === undefined) throw new Error("no message");
  return readVerdict(reader, message);
}

describe("splitMessages", () => {
  test("finds every message of a datagram, also after one with padding", () => {
    const datagram = together(reply(16, 1, Uint8Array.of(1, 2, 3, 4, 5)), reply(3, 2));
    const found = splitMessages(new Reader(datagram));
    expect(found.map(({ type, sequence, bodyStart, end }) => [type, sequence, bodyStart, end])).toEqual([
      [16, 1, 16, 21],
      [3, 2, 40, 40],
    ]);
  });

  test("refuses a message that is cut short", () => {
    const datagram = reply(16, 1, new Uint8Array(20));
    expect(() => splitMessages(new Reader(datagram.subarray(0, 30)))).toThrow("message: length 36");
    expect(() => splitMessages(new Reader(datagram.subarray(0, 10)))).toThrow("too few for a header");
    expect(() => splitMessages(new Reader(new Uint8Array(16)))).toThrow("length 0");
  });
});

describe("readVerdict", () => {
  test("reads errno, words and attribute offset", () => {
    expect(verdictOf(acknowledgement(1))).toEqual({ errno: 0, text: "", attributeOffset: undefined });
    expect(verdictOf(acknowledgement(1, 22, "bad mtu", 32))).toEqual({
      errno: 22,
      text: "bad mtu",
      attributeOffset: 32,
    });
    expect(verdictOf(done(1, 4))).toMatchObject({ errno: 4 });
  });

  test("skips the whole request when the kernel repeats it", () => {
    const request = reply(16, 1, new Uint8Array(9));
    const words = Uint8Array.of(8, 0, 1, 0, 0x6e, 0x6f, 0x21, 0);
    const errno = Uint8Array.of(0xea, 0xff, 0xff, 0xff);
    const datagram = reply(2, 1, together(errno, request, words), 0x200);
    expect(verdictOf(datagram)).toMatchObject({ errno: 22, text: "no!" });
  });

  test("never lets malformed words hide the errno", () => {
    const datagram = acknowledgement(1, 17, "text");
    const broken = datagram.slice();
    broken[36] = 0xff;
    expect(verdictOf(broken)).toMatchObject({ errno: 17, text: "" });
    const short = reply(2, 1, Uint8Array.of(0xef, 0xff, 0xff, 0xff), 0x300);
    expect(verdictOf(short)).toMatchObject({ errno: 17, text: "" });
    expect(verdictOf(reply(2, 1, Uint8Array.of(1)))).toMatchObject({ errno: 74 });
  });
});

describe("NetlinkError", () => {
  test("reads as operation, errno name and the kernel's words", () => {
    const error = new NetlinkError("create link veth1", 17, { text: "already there", othersFailed: 2 });
    expect(error.message).toBe("create link veth1: EEXIST: already there; and 2 more failed");
    expect(isNetlinkError(error)).toBe(true);
    expect(isNetlinkError(error, "ENOENT", "EEXIST")).toBe(true);
    expect(isNetlinkError(error, "ENOENT")).toBe(false);
    expect(isNetlinkError(new Error("EEXIST"))).toBe(false);
  });

  test("names the refused attribute by its path in our tables", () => {
    const request = createLink("v5", { kind: "vlan", data: { id: 5 } }, { parent: 5 });
    // Header 32, parent 8, name 8, nest 4, kind 8, nest 4: the id starts at 64.
    const at = (attributeOffset: number) => requestError(request, { errno: 34, text: "", attributeOffset });
    expect(at(64).message).toBe("create link v5: ERANGE (attribute info.data.id)");
    expect(at(40).attribute).toBe("name");
    expect(at(48).attribute).toBe("info");
    expect(at(41).attribute).toBe("");
  });
});

test("ignoring leaves the request as it was, and adds to what it ignores", () => {
  const request = deleteLink("veth0");
  expect(ignoring(ignoring(request, "ENODEV"), "EPERM").ignore).toEqual(["ENODEV", "EPERM"]);
  expect(request.ignore).toBeUndefined();
});
