// Keys that stand twice in one JSON object. JSON.parse takes the last one without a word, as Go does; where an operator
// lists settings by name that would hide a mistake, so the text itself is read again for those objects.

/** A string, a bracket, a comma, a colon, or any other scalar: all that valid JSON is made of beside blanks. */
const TOKEN = /"(?:[^"\\]|\\.)*"|[[\]{},:]|[^\s"[\]{},:]+/g;

interface Level {
  /** From the outermost object: `args.cni.sysctl`; everything in a list is at a place that can't be asked for. */
  readonly place: string;
  /** What the object has so far; undefined for one that nobody asks about, and for a list. */
  readonly keys: Set<string> | undefined;
  readonly isList: boolean;
  key: string;
}

/**
 * Returns where a key stands for the second time in one of the objects at `places`, such as `sysctl.net.core.somaxconn`,
 * or where such an object itself does; undefined where none does. `text` has to be JSON. Places are compared without
 * regard to case, as Go's JSON reads the keys on the way to them.
 */
export function repeatedKey(text: string, places: readonly string[]): string | undefined {
  const asked = places.map((place) => place.toLowerCase());
  const opened = new Set<string>();
  const levels: Level[] = [];
  let isKey = false;
  for (const [token] of text.matchAll(TOKEN)) {
    const top = levels.at(-1);
    if (token === "{" || token === "[") {
      const place = top === undefined ? "" : `${top.place}${top.place === "" ? "" : "."}${top.key}`;
      const folded = place.toLowerCase();
      const isAsked = token === "{" && asked.includes(folded);
      if (isAsked && opened.has(folded)) return place;
      opened.add(folded);
      levels.push({ place, keys: isAsked ? new Set() : undefined, isList: token === "[", key: "[]" });
      isKey = token === "{";
    } else if (token === "}" || token === "]") {
      levels.pop();
    } else if (token === ",") {
      isKey = top?.isList === false;
    } else if (token === ":") {
      isKey = false;
    } else if (isKey && top !== undefined) {
      top.key = String(JSON.parse(token));
      if (top.keys?.has(top.key)) return `${top.place}.${top.key}`;
      top.keys?.add(top.key);
    }
  }
  return undefined;
}
