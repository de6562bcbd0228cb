import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { u32 } from "../../../src/netlink/codec.ts";
import { ignoring, isNetlinkError, NetlinkError, type Request } from "../../../src/netlink/message.ts";
import { NetlinkSocket } from "../../../src/netlink/socket.ts";
import { SystemError } from "../../../src/sys/libc.ts";
import { acknowledgement, done, fakeKernel, reply, together } from "../../support/fake-kernel.ts";

/** A request of a made-up family: its body is a number, and so is the answer. */
function number(value: number): Request<number> {
  return {
    operation: `number ${value}`,
    type: 16,
    flags: 0,
    encode: (writer) => u32.encode(writer, value),
    decode: (reader) => reader.whole("number", u32),
  };
}

function body(value: number): Uint8Array {
  return Uint8Array.of(value, 0, 0, 0);
}

describe("execute", () => {
  test("sends all requests in one datagram and gives each its echo, however the answers are cut", () => {
    const kernel = fakeKernel((messages) => [
      ...messages
        .slice(0, 1)
        .flatMap(({ sequence }) => [reply(16, sequence, body(7)), acknowledgement(sequence)]),
      together(
        ...messages
          .slice(1)
          .flatMap(({ sequence }) => [reply(16, sequence, body(8)), acknowledgement(sequence)]),
      ),
    ]);
    const socket = new NetlinkSocket(kernel);
    const [one, two, three] = socket.execute([number(1), number(2), number(3)]);
    expect([one.replies, two.replies, three.replies]).toEqual([[7], [8], [8]]);
    expect(kernel.sent.length).toBe(1);
    expect(kernel.sent[0]?.map(({ sequence, flags }) => [sequence, flags])).toEqual([
      [1, 5],
      [2, 5],
      [3, 5],
    ]);
    expect(socket.execute([])).toEqual([]);
  });

  test("reads every answer before it throws the first error, and counts the others", () => {
    const kernel = fakeKernel((messages) =>
      messages.map(({ sequence }) => acknowledgement(sequence, sequence % 2 ? 0 : 17, "there already")),
    );
    const socket = new NetlinkSocket(kernel);
    const requests = [number(1), number(2), number(3), number(4)];
    expect(() => socket.execute(requests)).toThrow("number 2: EEXIST: there already; and 1 more failed");
    expect(() => kernel.receive()).toThrow(SystemError);
    const outcomes = socket.attempt(requests);
    expect(outcomes.map(({ error }) => error?.errnoName)).toEqual([undefined, "EEXIST", undefined, "EEXIST"]);
  });

  test("lets errors go that a request ignores", () => {
    const kernel = fakeKernel((messages) => messages.map(({ sequence }) => acknowledgement(sequence, 17)));
    const socket = new NetlinkSocket(kernel);
    const [outcome] = socket.execute([ignoring(number(1), "EEXIST")]);
    expect(outcome.error?.errnoName).toBe("EEXIST");
    expect(() => socket.execute([ignoring(number(1), "ENOENT")])).toThrow(NetlinkError);
  });

  test("passes over messages of earlier conversations", () => {
    const kernel = fakeKernel((messages) => [
      acknowledgement(77, 22),
      reply(16, 0, body(1)),
      ...messages.map(({ sequence }) => acknowledgement(sequence)),
    ]);
    expect(new NetlinkSocket(kernel).execute([number(1)])[0].replies).toEqual([]);
  });

  test("says clearly that no answer came, that answers were lost, and that one can't be read", () => {
    const silent = new NetlinkSocket(fakeKernel(() => []));
    expect(() => silent.execute([number(1), number(2)])).toThrow(
      "number 1 and 1 more: ETIMEDOUT: no answer from the kernel within 5 s",
    );
    const full = new NetlinkSocket({
      send() {},
      receive: () => {
        throw new SystemError("netlink receive", 105);
      },
      close() {},
    });
    expect(() => full.execute([number(1)])).toThrow("number 1: ENOBUFS: answers were lost");
    const cut = new NetlinkSocket(fakeKernel(() => [reply(16, 1, body(1)).subarray(0, 18)]));
    expect(() => cut.execute([number(1)])).toThrow(
      "number 1: EBADMSG: reading the answer: message: length 20",
    );
    const wrong = new NetlinkSocket(fakeKernel(() => [reply(16, 1, Uint8Array.of(1)), acknowledgement(1)]));
    expect(() => wrong.execute([number(1)])).toThrow("number: 1 bytes left, 4 needed");
  });

  test("names the request whose value doesn't fit, and sends nothing", () => {
    const kernel = fakeKernel(() => []);
    expect(() => new NetlinkSocket(kernel).execute([number(-1)])).toThrow("number -1: -1 is not an unsigned");
    expect(kernel.sent).toEqual([]);
  });

  test("never waits for ever on strays", () => {
    const socket = new NetlinkSocket({ send() {}, receive: () => reply(16, 99, body(1)), close() {} });
    expect(() => socket.execute([number(1)])).toThrow("and no answer among them");
  });
});

describe("get", () => {
  test("returns the object, or undefined if there is none, and throws for other errors", () => {
    const answers = [
      reply(16, 1, body(9)),
      acknowledgement(2, 19),
      acknowledgement(3, 2),
      acknowledgement(4, 3),
      acknowledgement(5, 1),
    ];
    const socket = new NetlinkSocket(fakeKernel((_messages, turn) => answers.slice(turn, turn + 1)));
    expect(socket.get(number(1))).toBe(9);
    expect(socket.get(number(1))).toBeUndefined();
    expect(socket.get(number(1))).toBeUndefined();
    expect(socket.get(number(1))).toBeUndefined();
    expect(() => socket.get(number(1))).toThrow("number 1: EPERM");
  });
});

describe("dump", () => {
  test("gathers what comes in several datagrams", () => {
    const kernel = fakeKernel(([message]) => {
      const sequence = message?.sequence ?? 0;
      return [
        together(reply(16, sequence, body(1), 2), reply(16, sequence, body(2), 2)),
        reply(16, sequence, body(3), 2),
        done(sequence),
      ];
    });
    expect(new NetlinkSocket(kernel).dump(number(0))).toEqual([1, 2, 3]);
    expect(kernel.sent[0]?.[0]?.flags).toBe(0x301);
  });

  test("asks again when it was interrupted, wherever the flag stands, and gives up only after many more times", () => {
    let interruptions = 0;
    const kernel = fakeKernel(([message], turn) => {
      const sequence = message?.sequence ?? 0;
      const flag = turn < interruptions ? 0x10 : 0;
      const onDone = turn % 2 === 0;
      return [reply(16, sequence, body(turn), onDone ? 2 : 2 | flag), done(sequence, 0, onDone ? flag : 0)];
    });
    // where hundreds of interfaces come and go, six in a row were seen to be too few
    interruptions = 21;
    expect(new NetlinkSocket(kernel).dump(number(0))).toEqual([21]);
    interruptions = 1000;
    const before = kernel.sent.length;
    expect(() => new NetlinkSocket(kernel).dump(number(0))).toThrow(
      "number 0: EINTR: changed while it was read, 60 times",
    );
    expect(kernel.sent.length - before).toBe(60);
  });

  test("throws the error at its end, or gives nothing if that is ignored", () => {
    const kernel = fakeKernel(([message]) => [done(message?.sequence ?? 0, 2)]);
    const socket = new NetlinkSocket(kernel);
    expect(() => socket.dump(number(0))).toThrow("number 0: ENOENT");
    expect(socket.dump(ignoring(number(0), "ENOENT"))).toEqual([]);
  });
});

describe("transaction", () => {
  test("stands between begin and end, and asks only the last request to be acknowledged", () => {
    const kernel = fakeKernel((messages) => [acknowledgement(messages.at(-2)?.sequence ?? 0)]);
    new NetlinkSocket(kernel).transaction([number(1), number(2)]);
    const sent = kernel.sent[0]?.map(({ type, flags }) => [type, flags]);
    expect(sent).toEqual([
      [0x10, 1],
      [16, 1],
      [16, 5],
      [0x11, 1],
    ]);
    expect(kernel.sent[0]?.[0]?.body).toEqual(Uint8Array.of(0, 0, 0, 10));
  });

  test("names the request that failed", () => {
    const kernel = fakeKernel((messages) => [
      acknowledgement((messages[0]?.sequence ?? 0) + 2, 2, "no such set"),
      acknowledgement((messages[0]?.sequence ?? 0) + 3),
    ]);
    const transaction = () => new NetlinkSocket(kernel).transaction([number(1), number(2), number(3)]);
    expect(transaction).toThrow("number 2: ENOENT: no such set");
  });

  test("doesn't wait for acknowledgements after an error that is about the whole batch", () => {
    const kernel = fakeKernel((messages) => [acknowledgement(messages[0]?.sequence ?? 0, 1)]);
    const socket = new NetlinkSocket(kernel);
    expect(() => socket.transaction([number(1), number(2)])).toThrow("number 1 and 1 more: EPERM");
    expect(() => socket.transaction([number(1)])).toThrow("number 1: EPERM");
  });
});

test("random answers end in a NetlinkError or an outcome, never in a hang or a crash", () => {
  const datagram = fc.oneof(
    fc.uint8Array({ maxLength: 80 }),
    fc
      .tuple(
        fc.constantFrom(1, 2, 3, 16),
        fc.integer({ min: 0, max: 4 }),
        fc.uint8Array({ maxLength: 60 }),
        fc.nat(0xffff),
      )
      .map(([type, sequence, random, flags]) => reply(type, sequence, random, flags)),
  );
  fc.assert(
    fc.property(fc.array(datagram, { maxLength: 10 }), fc.nat(3), (datagrams, what) => {
      const socket = new NetlinkSocket(fakeKernel(() => datagrams));
      try {
        if (what === 0) socket.attempt([number(1), number(2)]);
        else if (what === 1) socket.get(number(1));
        else if (what === 2) socket.dump(number(1));
        else socket.transaction([number(1), number(2)]);
      } catch (error) {
        expect(isNetlinkError(error)).toBe(true);
      }
    }),
    { numRuns: 2000 },
  );
});

test("close closes the kernel's side, and using does it too", () => {
  const kernel = fakeKernel(() => []);
  {
    using socket = new NetlinkSocket(kernel);
    expect(socket).toBeDefined();
    expect(kernel.closed).toBe(false);
  }
  expect(kernel.closed).toBe(true);
});
