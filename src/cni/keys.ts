// The keys of JSON objects as Go's encoding/json reads them, because every config in the field was written for
// programs that do: `RuntimeConfig` is `runtimeConfig`, the last of two spellings counts, and `null` says nothing.
// This is the one place that knows it; every schema behind it is written in one spelling only.

/** The parts of valibot's schemas that say which keys an object has. */
export interface SchemaParts {
  readonly type: string;
  readonly entries?: Readonly<Record<string, SchemaParts>>;
  readonly wrapped?: SchemaParts;
  readonly item?: SchemaParts;
}

type Entries = NonNullable<SchemaParts["entries"]>;

// only an object with a key that the schema lacks needs this, and schemas live as long as the process
const foldings = new WeakMap<Entries, ReadonlyMap<string, string>>();

function foldingOf(entries: Entries): ReadonlyMap<string, string> {
  const known = foldings.get(entries);
  if (known !== undefined) return known;
  const folding = new Map(Object.keys(entries).map((key) => [key.toLowerCase(), key]));
  foldings.set(entries, folding);
  return folding;
}

/**
 * Returns `value` with the keys that `schema` knows in the schema's spelling, at every depth; a value that is
 * spelled right already is returned itself. Unknown keys stay as they are, and so do all keys of a record, which
 * are the operator's own words.
 */
export function withKnownKeys(schema: SchemaParts, value: unknown): unknown {
  if (schema.wrapped !== undefined) return withKnownKeys(schema.wrapped, value);
  if (typeof value !== "object" || value === null) return value;
  const { entries, item } = schema;
  if (Array.isArray(value)) {
    if (item === undefined) return value;
    const items = value.map((one) => withKnownKeys(item, one));
    return items.some((one, index) => one !== value[index]) ? items : value;
  }
  return entries === undefined ? value : objectWithKnownKeys(entries, value);
}

function objectWithKnownKeys(entries: Entries, object: object): object {
  const isRight = (key: string) => {
    const known = knownKey(entries, key);
    if (known === undefined) return true;
    const value: unknown = Reflect.get(object, key);
    return known === key && spelledValue(entries, known, value) === value;
  };
  // nearly every object is, and one with a million keys is not to be built anew to find that out
  if (Object.keys(object).every(isRight)) return object;
  const spelled = new Map<string, unknown>();
  for (const [key, value] of Object.entries(object)) {
    const known = knownKey(entries, key);
    // null leaves what another spelling of the key has said (in Go a list it empties, which nobody writes)
    if (value === null && known !== undefined && spelled.has(known)) continue;
    spelled.set(known ?? key, spelledValue(entries, known, value));
  }
  return Object.fromEntries(spelled);
}

/** Returns the schema's spelling of a key, or undefined for one that it does not know. */
function knownKey(entries: Entries, key: string): string | undefined {
  return Object.hasOwn(entries, key) ? key : foldingOf(entries).get(key.toLowerCase());
}

function spelledValue(entries: Entries, known: string | undefined, value: unknown): unknown {
  const schema = known === undefined ? undefined : entries[known];
  return schema === undefined ? value : withKnownKeys(schema, value);
}
