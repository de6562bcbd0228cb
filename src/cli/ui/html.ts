// HTML out of pieces: whatever is put into a template is text and is escaped, unless it is HTML already.

/** A piece of HTML. */
export class Html {
  constructor(readonly text: string) {}
}

type Piece = Html | string | number | bigint | undefined | readonly Piece[];

/** Returns the template with its values escaped; undefined is nothing, and lists are their items. */
export function html(texts: TemplateStringsArray, ...values: readonly Piece[]): Html {
  let whole = texts[0] ?? "";
  for (const [index, value] of values.entries()) whole += textOf(value) + (texts[index + 1] ?? "");
  return new Html(whole);
}

function textOf(value: Piece): string {
  if (value === undefined) return "";
  if (value instanceof Html) return value.text;
  if (typeof value === "object") return value.map(textOf).join("");
  return Bun.escapeHTML(String(value));
}
