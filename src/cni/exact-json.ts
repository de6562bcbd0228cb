// JSON that is passed on as it was written: a number that a double can't hold keeps every digit, because a rate in
// bits or a 64-bit id in somebody else's key is not ours to round.

declare global {
  interface JSON {
    /** ECMAScript "JSON.parse source text access": an object that stringify writes as the text it was made of. */
    rawJSON(text: string): object;
    isRawJSON(value: unknown): boolean;
    parse(
      text: string,
      reviver: (this: unknown, key: string, value: unknown, context: { readonly source: string }) => unknown,
    ): unknown;
  }
}

/** Returns the value in `text`, its numbers above 2^53 as JSON.rawJSON; throws SyntaxError. */
export function parseExactly(text: string): unknown {
  return JSON.parse(text, (_key, value, { source }) =>
    typeof value === "number" && !Number.isSafeInteger(value) ? JSON.rawJSON(source) : value,
  );
}
