// What STATUS finds out about a kernel, played by a kernel that lacks one thing after the other.
import { expect, test } from "bun:test";
import { MissingFeatureError } from "../../../src/net/feature.ts";
import { rehearsePortMaps } from "../../../src/net/port-map/table.ts";
import { NetlinkError } from "../../../src/netlink/message.ts";
import { NetlinkSocket } from "../../../src/netlink/socket.ts";
import { acknowledgement, type FakeKernel, fakeKernel } from "../../support/fake-kernel.ts";

const ENOENT = 2;
const EPERM = 1;
const EOPNOTSUPP = 95;
const BATCH_BEGIN = 0x10;
const NEW_RULE = (10 << 8) | 6;
const NEW_CHAIN = (10 << 8) | 3;

/** A kernel without any chain that refuses the first message of a type in a transaction, and its last one anyway. */
function kernelRefusing(type: number | undefined, errno: number): FakeKernel {
  return fakeKernel((messages) => {
    if (messages[0]?.type !== BATCH_BEGIN)
      return messages.map(({ sequence }) => acknowledgement(sequence, ENOENT));
    const refused = messages.find((message) => message.type === type);
    const last = messages.at(-2);
    return [
      ...(refused === undefined ? [] : [acknowledgement(refused.sequence, errno)]),
      acknowledgement(last?.sequence ?? 0, ENOENT),
    ];
  });
}

test("a kernel that can do all is found out by the one request that can't be granted", () => {
  const kernel = kernelRefusing(undefined, 0);
  rehearsePortMaps(new NetlinkSocket(kernel));
  // one question what is there, one transaction that comes to nothing
  expect(kernel.sent).toHaveLength(2);
  expect(kernel.sent[1]?.length).toBeGreaterThan(20);
});

test.each([
  ["an expression", NEW_RULE, ENOENT],
  ["chains for address translation", NEW_CHAIN, ENOENT],
  ["chains for address translation in this family", NEW_CHAIN, EOPNOTSUPP],
])("a kernel without %s lacks a feature", (_, type, errno) => {
  expect(() => rehearsePortMaps(new NetlinkSocket(kernelRefusing(type, errno)))).toThrow(MissingFeatureError);
});

test("a refusal that has nothing to do with what the kernel knows stays what it is", () => {
  expect(() => rehearsePortMaps(new NetlinkSocket(kernelRefusing(NEW_RULE, EPERM)))).toThrow(NetlinkError);
});
