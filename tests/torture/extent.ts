// How much is tortured: everything by `npm run torture`, and by `npm test` a part that takes seconds, spread evenly.

/** True where everything is asked for. */
export const IS_FULL = process.env.WARREN_TORTURE === "full";

/** Returns all of `items`, or at most `count` of them where seconds have to do: the last, and others evenly before it. */
export function sample<T>(items: readonly T[], count: number): T[] {
  if (IS_FULL || items.length <= count) return [...items];
  const stride = items.length / count;
  return Array.from({ length: count }, (_, index) => items[Math.ceil((index + 1) * stride) - 1]).filter(
    (item) => item !== undefined,
  );
}
