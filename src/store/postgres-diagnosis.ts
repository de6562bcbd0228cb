// What the errors of PostgreSQL and of its client say about a shared store: which problem it is, in words that name the
// place and the cure. A place is words for people, never an address that a client would take, and never a password.
import { SharedStoreError, type StoreProblem } from "./store.ts";

type Diagnosis = readonly [problem: StoreProblem, words: string, cure: string];

const OUT_OF_REACH: Diagnosis = [
  "unreachable",
  "can't be reached: the connection was refused or lost",
  "see that the server runs and that host and port are right; then try again",
];

/** By SQLSTATE (PostgreSQL's appendix A), or its first letters. */
const BY_STATE: readonly (readonly [state: string, ...Diagnosis])[] = [
  ["28", "authentication failed", "refused the user or the password", "correct user and password"],
  ["3D000", "database missing", "does not exist on the server", "create it, or correct database"],
  [
    "42P01",
    "table missing",
    "lacks a table that its schema version has",
    "restore it, or drop the schema and let it be made anew: leases are then forgotten",
  ],
  [
    "25006",
    "read-only replica",
    "takes no writes: the server is a read-only replica",
    "name the primary as host, or try again when the failover is over",
  ],
  [
    "53300",
    "too many connections",
    "takes no more connections",
    "raise max_connections, or put a pooler before it",
  ],
  ["53100", "disk full", "can't grow: the server's disk is full", "free some space there"],
  [
    "42501",
    "permission denied",
    "lets the user not do what is needed",
    "make the user the owner of the schema, or let it create one (GRANT CREATE ON DATABASE)",
  ],
  ["57014", "timed out", "did not answer in time", "see what keeps the server busy, and try again"],
  ["57P", ...OUT_OF_REACH],
  ["08", ...OUT_OF_REACH],
  ["25P0", "timed out", "gave the transaction up: this node was silent for too long", "try again"],
  ["55P03", "locked", "was locked by other nodes for too long", "try again"],
  ["40", "locked", "was in use by other nodes at the same moment", "try again"],
];

/** By what Bun's client says where the server said nothing. */
const BY_CODE: readonly (readonly [code: RegExp, ...Diagnosis])[] = [
  [/CONNECTION_TIMEOUT/, "timed out", "did not answer in time", "see that the host can be reached"],
  [
    /TLS_NOT_AVAILABLE|TLS_UPGRADE/,
    "not encrypted",
    "offers no encryption, which tls.mode asks for",
    'turn ssl on at the server, or set tls.mode to "disable"',
  ],
  [/CONNECTION/, ...OUT_OF_REACH],
  [
    /CERT|SIGNATURE|ISSUER|TLS|SSL/,
    "certificate refused",
    "has a certificate that tls.mode does not accept",
    "name the authority that signed it as tls.caFile, and the host as the certificate does",
  ],
];

/** Returns the words by which people know a database; nothing in them is secret. */
export function locationOf(place: {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly schema: string;
}): string {
  const host = place.host.includes(":") ? `[${place.host}]` : place.host;
  const at = place.host.startsWith("/") ? `${host}, port ${place.port}` : `${host}:${place.port}`;
  return `PostgreSQL database ${place.database} at ${at}, schema ${place.schema}`;
}

/** Returns the error of a client or a server as a SharedStoreError, and any other as it is. */
export function sharedStoreErrorOf(error: unknown, location: string): unknown {
  if (!(error instanceof Error) || error instanceof SharedStoreError) return error;
  const code = "code" in error && typeof error.code === "string" ? error.code : "";
  const state = "errno" in error && typeof error.errno === "string" ? error.errno : "";
  if (code === "") return error;
  const [, problem, words, cure] = BY_STATE.find(([start]) => state !== "" && state.startsWith(start)) ??
    BY_CODE.find(([pattern]) => state === "" && pattern.test(code)) ?? [
      "",
      "unusable" as const,
      "can't be used",
      "see the server's log",
    ];
  const told = `${error.message} (${state === "" ? code : `SQLSTATE ${state}`})`;
  return new SharedStoreError(location, problem, `the ${location} ${words}: ${told}`, cure, { cause: error });
}

/** Returns the error for a server that was silent. */
export function silence(location: string, timeoutMs: number, what: string): SharedStoreError {
  return new SharedStoreError(
    location,
    "timed out",
    `the ${location} did not answer within ${timeoutMs} ms (${what})`,
    "see that the host can be reached and the server is not overloaded, and try again",
  );
}
