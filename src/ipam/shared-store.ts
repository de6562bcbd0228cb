// The store that a config shares with other nodes: what its key `store` may say, whose rows are this node's, and the store
// itself. Loaded only where the key is there.
import * as v from "valibot";
import { CniError, ErrorCode } from "../cni/error.ts";
import { formatPath, InputError, type InputPath, parseInput, refusalsOf } from "../cni/input.ts";
import { PostgresStore } from "../store/postgres.ts";
import { locationOf } from "../store/postgres-diagnosis.ts";
import { openStore } from "../store/sqlite.ts";
import { SharedStoreError } from "../store/store.ts";
import { readText } from "../sys/files.ts";
import { isSystemError } from "../sys/libc.ts";

/** The variable that names this node where the config does not. */
const NODE_VARIABLE = "WARREN_NODE";

const text = v.pipe(
  v.string(),
  v.check((value) => value !== "" && !value.includes("\0"), "a text that is not empty"),
);
const path = v.pipe(
  text,
  v.check((value) => value.startsWith("/"), "an absolute path"),
);
/** It stands in statements as it is. */
const nodeName = v.pipe(v.string(), v.regex(/^[A-Za-z0-9._-]{1,253}$/, "letters, digits, dots and hyphens"));
const seconds = v.pipe(v.number(), v.minValue(0.1), v.maxValue(60));

/** An address of a database is none, because it may have a password in it. */
const host = v.pipe(
  text,
  v.check((value) => value.startsWith("/") || !/[/@]/.test(value), "a name, an address or an absolute path"),
);

/** What the key says about the store. */
export const settingsSchema = v.strictObject({
  postgres: v.strictObject({
    host,
    port: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535)), 5432),
    user: text,
    database: text,
    passwordFile: v.nullish(path),
    passwordVariable: v.nullish(text),
    schema: v.optional(
      v.pipe(v.string(), v.regex(/^[a-z_][a-z0-9_]{0,62}$/, "lower-case letters, digits and underscores")),
      "warren",
    ),
    tls: v.optional(
      v.strictObject({
        mode: v.picklist(["disable", "prefer", "require", "verify-ca", "verify-full"]),
        caFile: v.nullish(path),
      }),
      { mode: "verify-full" },
    ),
    connectTimeoutSeconds: v.optional(seconds, 2),
    statementTimeoutSeconds: v.optional(seconds, 3),
    nodeName: v.nullish(nodeName),
  }),
});

const OWNER = 'the key "store"';

type Settings = v.InferOutput<typeof settingsSchema>["postgres"];

/** A store that other nodes use too. */
export interface SharedStore {
  readonly store: PostgresStore;
  readonly location: string;
  /** The settings as JSON, as this node remembers them: with the place of the password, never with itself. */
  readonly settings: string;
  readonly node: string;
}

/** Opened once a process. */
const stores = new Map<string, SharedStore>();

/**
 * Returns the store of a config's key `store`; nothing is connected yet. `dataDir` is where the node's own is. Throws
 * CniError 7.
 */
export function sharedStore(config: unknown, dataDir: string): SharedStore {
  const [refusal] = storeRefusals(config);
  if (refusal !== undefined) throw refusal;
  const { postgres } = parseInput(settingsSchema, config, ErrorCode.invalidConfig, OWNER);
  const node = nodeNameOf(postgres);
  const key = JSON.stringify([dataDir, node, postgres]);
  const known = stores.get(key) ?? openShared(postgres, node, dataDir);
  stores.set(key, known);
  return known;
}

function openShared(postgres: Settings, node: string, dataDir: string): SharedStore {
  const location = locationOf(postgres);
  const store = new PostgresStore(
    {
      ...postgres,
      node,
      tls: postgres.tls.mode,
      secrets: () => ({
        password: passwordOf(postgres, location),
        authorities: authoritiesOf(postgres, location),
      }),
      connectTimeoutMs: postgres.connectTimeoutSeconds * 1000,
      statementTimeoutMs: postgres.statementTimeoutSeconds * 1000,
    },
    () => openStore(dataDir),
  );
  return { store, location, node, settings: JSON.stringify({ postgres }) };
}

/** Returns everything that is wrong in a config's key `store`; the paths begin in it. No value is in it that may be secret. */
export function storeRefusals(config: unknown): InputError[] {
  const refusals = refusalsOf(settingsSchema, config, ErrorCode.invalidConfig, OWNER).map(
    (refusal) => literalPassword(refusal.path) ?? withoutSecret(refusal),
  );
  if (refusals.length > 0) {
    // before all else: whoever corrects the rest first has copies of it everywhere
    return refusals.toSorted((a, b) => Number(isPassword(b.path)) - Number(isPassword(a.path)));
  }
  const { postgres } = parseInput(settingsSchema, config, ErrorCode.invalidConfig, OWNER);
  if ((postgres.passwordFile ?? "") === "" || (postgres.passwordVariable ?? "") === "") return [];
  return [
    new InputError(
      ErrorCode.invalidConfig,
      ["postgres", "passwordVariable"],
      "store.postgres names both passwordFile and passwordVariable",
      "the password comes from one of them: take the other away",
    ),
  ];
}

function isPassword([first, second, ...rest]: InputPath): boolean {
  return first === "postgres" && String(second).toLowerCase() === "password" && rest.length === 0;
}

/** A config is copied to caches and records, where a password would lie about. It is not repeated here either. */
function literalPassword(path: InputPath): InputError | undefined {
  if (!isPassword(path)) return undefined;
  return new InputError(
    ErrorCode.invalidConfig,
    path,
    "store.postgres has a password in it, and runtimes keep copies of configs",
    "put it into a file that only root can read, and name that as passwordFile",
  );
}

/** Where a whole address of a database, or the password itself, may have been written by mistake. */
const MAY_BE_SECRET = new Set([
  "",
  "postgres",
  "postgres.host",
  "postgres.passwordFile",
  "postgres.passwordVariable",
]);

function withoutSecret(refusal: InputError): InputError {
  const place = formatPath(refusal.path);
  if (!MAY_BE_SECRET.has(place)) return refusal;
  const named = place === "" ? "it" : `"${place}"`;
  return new InputError(
    refusal.code,
    refusal.path,
    `${OWNER}: ${named} is something else, which is not repeated because it may be secret`,
    refusal.details,
  );
}

function passwordOf(settings: Settings, location: string): string | undefined {
  const variable = settings.passwordVariable ?? "";
  if (variable !== "") {
    const value = process.env[variable];
    if (value !== undefined) return value;
    throw new SharedStoreError(
      location,
      "password missing",
      `the variable ${variable}, which has the password for the ${location}, is not set`,
      "set it where the runtime starts, or use passwordFile",
    );
  }
  const file = settings.passwordFile ?? "";
  return file === "" ? undefined : readSetting(file, "passwordFile", location).replace(/\r?\n$/, "");
}

function authoritiesOf({ tls }: Settings, location: string): string | undefined {
  const file = tls.caFile ?? "";
  return file === "" ? undefined : readSetting(file, "tls.caFile", location);
}

function readSetting(file: string, key: string, location: string): string {
  try {
    return readText(file);
  } catch (error) {
    if (!isSystemError(error)) throw error;
    throw new SharedStoreError(
      location,
      key === "passwordFile" ? "password missing" : "certificate refused",
      `${key} of the ${location} can't be read: ${error.message}`,
      "correct the path, or put the file there",
      { cause: error },
    );
  }
}

/** Returns whose rows are this node's: as the config says, the environment, the machine's id, or the host's name. */
function nodeNameOf(settings: Settings): string {
  const said = settings.nodeName ?? process.env[NODE_VARIABLE] ?? "";
  const name =
    said === "" ? (contentOf("/etc/machine-id") ?? contentOf("/proc/sys/kernel/hostname") ?? "") : said;
  if (v.is(nodeName, name)) return name;
  throw new CniError(
    ErrorCode.invalidConfig,
    `this node has no name that a shared store could know it by: ${JSON.stringify(name)}`,
    `say nodeName in store.postgres, or set ${NODE_VARIABLE}: letters, digits, dots and hyphens`,
  );
}

function contentOf(file: string): string | undefined {
  try {
    const content = readText(file).trim();
    return content === "" ? undefined : content;
  } catch (error) {
    if (isSystemError(error)) return undefined;
    throw error;
  }
}
