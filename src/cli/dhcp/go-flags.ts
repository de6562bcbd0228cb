// Flags as programs in Go take them, with one dash or two, and with a value for what is only said or not: so that a unit that
// starts the reference plugin's daemon starts ours.

/** Returns the words with two dashes in front of every flag. */
export function withTwoDashes(words: readonly string[]): string[] {
  return words.flatMap((word) => {
    const flag = /^--?(?<name>[a-z][a-z-]+)(?<value>=.*)?$/.exec(word)?.groups;
    if (flag === undefined) return [word];
    const { name = "", value = "" } = flag;
    if (name === "broadcast" && /^=(true|t|1)$/i.test(value)) return ["--broadcast"];
    if (name === "broadcast" && /^=(false|f|0)$/i.test(value)) return [];
    return [`--${name}${value}`];
  });
}
