// The values that configs and results have under key after key. Each schema is made here, once: made anew for every key they
// took a fifth of a millisecond of each call.
import * as v from "valibot";

/** A text, or nothing. */
export const optionalText = v.nullish(v.string());

/** A list of texts, or nothing. */
export const optionalTexts = v.nullish(v.array(v.string()));

/** True, false, or nothing. */
export const optionalFlag = v.nullish(v.boolean());

/** Whatever it is: somebody else looks at it, or nobody. */
export const anything = v.optional(v.unknown());

/** A number that counts or points: whole, and not below zero. */
export const count = v.pipe(v.number(), v.integer(), v.minValue(0));

/** Such a number, or nothing. */
export const optionalCount = v.nullish(count);

/** A directory or file as configs name it. */
export const absolutePath = v.pipe(
  v.string(),
  v.check((path) => path.startsWith("/") && !path.includes("\0"), "an absolute path"),
);

/** Such a path, or nothing. */
export const optionalPath = v.nullish(absolutePath);
