// The W3C's Trace Context, level 1: which TRACEPARENT is valid, and what a span below it is called.
import { expect, test } from "bun:test";
import { spanBelow, traceparentOf } from "../../../src/cni/trace-context.ts";

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const PARENT = "b7ad6b7169203331";

test("a span below another has its trace and flags, and an id of its own", () => {
  const span = spanBelow(`00-${TRACE}-${PARENT}-01`);
  expect(span).toEqual({ traceId: TRACE, parentSpanId: PARENT, flags: "01", spanId: expect.any(String) });
  expect(span?.spanId).toMatch(/^[0-9a-f]{16}$/);
  expect(span?.spanId).not.toBe(spanBelow(`00-${TRACE}-${PARENT}-01`)?.spanId ?? "");
  expect(span === undefined ? "" : traceparentOf(span)).toBe(`00-${TRACE}-${span?.spanId}-01`);
});

test("a version that we don't know may say more", () => {
  for (const text of [`cc-${TRACE}-${PARENT}-01-what-else`, `cc-${TRACE}-${PARENT}-00`]) {
    expect(spanBelow(text)).toMatchObject({ traceId: TRACE, parentSpanId: PARENT });
  }
});

test.each([
  undefined,
  "",
  "00",
  `00-${TRACE}-${PARENT}`,
  `00-${TRACE}-${PARENT}-01-more`,
  `ff-${TRACE}-${PARENT}-01`,
  `00-${"0".repeat(32)}-${PARENT}-01`,
  `00-${TRACE}-${"0".repeat(16)}-01`,
  `00-${TRACE.toUpperCase()}-${PARENT}-01`,
  ` 00-${TRACE}-${PARENT}-01`,
  `00-${TRACE}-${PARENT}-1`,
])("%j names no span", (text) => {
  expect(spanBelow(text)).toBeUndefined();
});
