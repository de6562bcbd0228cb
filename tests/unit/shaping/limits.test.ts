// The arithmetic of a limit: what the kernel is told, and what it will say of it later.
import { expect, test } from "bun:test";
import { burstTicks, queueBytes } from "../../../src/net/shaping.ts";

test("the queue holds what goes within the latency, and a burst", () => {
  expect(queueBytes({ rate: 125_000n, burst: 4096, latencyMs: 25 })).toBe(3125 + 4096);
  expect(queueBytes({ rate: 125_000n, burst: 4096, latencyMs: 400 })).toBe(54_096);
  expect(queueBytes({ rate: 1n, burst: 1, latencyMs: 25 })).toBe(1);
});

test("a queue has at most as many bytes as the kernel can count", () => {
  expect(queueBytes({ rate: 12_500_000_000_000n, burst: 0xffff_fffe, latencyMs: 25 })).toBe(0xffff_ffff);
});

test("a burst is told in ticks of 64 ns, of which 32 bits are kept", () => {
  expect(burstTicks({ rate: 125_000n, burst: 4096, latencyMs: 25 })).toBe(512_000);
  // 536870911 bytes at 125 bytes a second take 4294967288 s, which is far more than 32 bits of ticks
  const ticks = (536_870_911n * 1_000_000_000n) / 125n / 64n;
  expect(burstTicks({ rate: 125n, burst: 536_870_911, latencyMs: 25 })).toBe(Number(ticks % (1n << 32n)));
});
