// The steps that make a schema, as text out of their numbered files. Import it `with { type: "macro" }`: then the text
// stands in the executable. Files imported as text would be modules that every start looks up and loads one by one.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Returns the SQL of the files of `folder` beside this one, in the order of their numbers. */
export function migrationsOf(folder: "migrations" | "postgres"): readonly string[] {
  const place = join(import.meta.dir, folder);
  return readdirSync(place)
    .sort()
    .map((name) => readFileSync(join(place, name), "utf8"));
}
