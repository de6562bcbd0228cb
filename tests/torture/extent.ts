// How much is tortured: everything by `npm run torture`, and by `npm test` a part that takes seconds: another
// one each time, spread evenly. What fails names its step, so that it can be made again.

/** True where everything is asked for. */
export const IS_FULL = process.env.WARREN_TORTURE === "full";

/** Returns all of `items`, or `count` of them where seconds have to do, as far from each other as can be. */
export function sample<T>(items: readonly T[], count: number): T[] {
  if (IS_FULL || items.length <= count) return [...items];
  const stride = items.length / count;
  const phase = Math.random();
  return Array.from({ length: count }, (_, index) => items[Math.floor((index + phase) * stride)]).filter(
    (item) => item !== undefined,
  );
}
