// The key `store` of a plugin's config, examined: what it refuses, as a plugin would at its first call, and the files that it
// names. Nothing is connected.
import { formatPath, type InputPath } from "../../cni/input.ts";
import { isObject, type JsonObject, memberOf } from "../../conflist/json.ts";
import { settingsSchema, storeRefusals } from "../../ipam/shared-store.ts";
import { readText, statFile } from "../../sys/files.ts";
import { isSystemError } from "../../sys/libc.ts";
import type { Severity } from "./finding.ts";

/** What is wrong, and where in the plugin's object. */
export interface StoreProblem {
  readonly path: InputPath;
  readonly severity: Severity;
  readonly message: string;
  readonly cure: string;
  /** The key that was not known, and what would be known there. */
  readonly unknown?: { readonly word: string; readonly known: readonly string[] } | undefined;
}

/** The files that a store names, from `postgres` on. */
const FILES: readonly InputPath[] = [["passwordFile"], ["tls", "caFile"]];

/** Returns what is wrong in the keys `store` of the config and of its `ipam`. */
export function examineStores(document: JsonObject): StoreProblem[] {
  const places: InputPath[] = [["store"], ["ipam", "store"]];
  return places.flatMap((place) => {
    const store = valueAt(document, place);
    if (store === undefined || store === null) return [];
    return [...refusals(store), ...missingFiles(store), ...openSecret(store)].map((one) => ({
      ...one,
      path: [...place, ...one.path],
    }));
  });
}

function refusals(store: unknown): StoreProblem[] {
  return storeRefusals(store).map(({ path, message, details }) => {
    const word = message.includes("unknown key") ? String(path.at(-1)) : undefined;
    const unknown = word === undefined ? undefined : { word, known: knownAt(path.slice(0, -1)) };
    return { path, severity: "error", message, cure: details, unknown };
  });
}

function knownAt([first, second]: InputPath): string[] {
  const { postgres } = settingsSchema.entries;
  if (first === undefined) return Object.keys(settingsSchema.entries);
  return Object.keys(second === undefined ? postgres.entries : postgres.entries.tls.wrapped.entries);
}

function missingFiles(store: unknown): StoreProblem[] {
  return FILES.flatMap((way) => {
    const path = ["postgres", ...way];
    const file = valueAt(store, path);
    if (typeof file !== "string" || !file.startsWith("/")) return [];
    try {
      readText(file);
      return [];
    } catch (error) {
      // it is right that only root can read it
      if (isSystemError(error, "EACCES")) return [];
      if (!isSystemError(error)) throw error;
      const message = `the key "store": the file that "${formatPath(path)}" names can't be read: ${error.message}`;
      return [{ path, severity: "error", message, cure: "correct the path, or put the file there" }];
    }
  });
}

/** The bits of a file's mode by which others than its owner and group read or write it. */
const OTHERS = 0o006;

/** A password that everybody on this machine can read, or replace. It works, so it is no error. */
function openSecret(store: unknown): StoreProblem[] {
  const path = ["postgres", "passwordFile"];
  const file = valueAt(store, path);
  const mode = typeof file === "string" && file.startsWith("/") ? modeOf(file) : 0;
  if ((mode & OTHERS) === 0) return [];
  const spelled = mode.toString(8).padStart(4, "0");
  const message = `the key "store": everybody on this machine has access to the password (mode ${spelled})`;
  return [{ path, severity: "warning", message, cure: `chmod 600 ${file}` }];
}

/** Returns the mode of a file; 0 if nobody can tell, which is said by whoever wants to read it. */
function modeOf(file: string): number {
  try {
    return statFile(file)?.mode ?? 0;
  } catch (error) {
    if (!isSystemError(error)) throw error;
    return 0;
  }
}

function valueAt(value: unknown, [step, ...rest]: InputPath): unknown {
  if (step === undefined) return value;
  return isObject(value) ? valueAt(memberOf(value, String(step)), rest) : undefined;
}
