// The client of a database: what it is given, and that no answer is waited for without an end. The one place where a
// connection is made.
import { silence } from "./postgres-diagnosis.ts";

/** How a connection is protected (libpq's sslmode). */
export type TlsMode = "disable" | "prefer" | "require" | "verify-ca" | "verify-full";

/** What is read from files only when a connection is made, so that a store can be named without. */
export interface Secrets {
  readonly password: string | undefined;
  /** The certificates of the authorities that count, as PEM; those of the system if undefined. */
  readonly authorities: string | undefined;
}

/** What it takes to reach a database. Nothing of it is ever put together to an address. */
export interface DatabasePlace {
  /** A name, an address, or the directory of a unix socket. */
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly database: string;
  readonly tls: TlsMode;
  /** Throws SharedStoreError. */
  readonly secrets: () => Secrets;
  readonly connectTimeoutMs: number;
}

/** Returns a client with one connection at most, which is made when it is asked for; `more` are options of Bun's own. */
export function openClient(
  place: DatabasePlace,
  more: { readonly idleTimeout: number; readonly onclose?: (error: Error | null) => void },
): Bun.SQL {
  const { host, port, user, database, connectTimeoutMs } = place;
  const { password, authorities } = place.secrets();
  const where = host.startsWith("/") ? { path: `${host}/.s.PGSQL.${port}` } : { hostname: host, port };
  return new Bun.SQL({
    adapter: "postgres",
    ...where,
    username: user,
    // never undefined: a variable of the environment would be taken instead
    password: password ?? "",
    database,
    tls: tlsOptions(place.tls, authorities),
    max: 1,
    bigint: true,
    // poolers know no named statements
    prepare: false,
    // a second more than we wait, who say it in our words
    connectionTimeout: Math.ceil(connectTimeoutMs / 1000) + 1,
    ...more,
  });
}

function tlsOptions(mode: TlsMode, authorities: string | undefined): Bun.SQL.PostgresOrMySQLOptions["tls"] {
  if (mode === "disable" || mode === "prefer" || mode === "require") return mode;
  return {
    // said aloud: a variable of the environment could turn it off
    rejectUnauthorized: true,
    ...(authorities === undefined ? {} : { ca: authorities }),
    // who signed it counts, whatever name it is for
    ...(mode === "verify-ca" ? { checkServerIdentity: () => undefined } : {}),
  };
}

/** Lets a client go. It is not waited for: closing says goodbye to a server that may be gone. */
export function dropClient(client: Bun.SQL | undefined): void {
  client?.close({ timeout: 0 }).catch(() => undefined);
}

/** Returns what `promise` gives; rejects with SharedStoreError if that takes longer. `what` says what is waited for. */
export async function answeredWithin<T>(
  promise: Promise<T>,
  timeoutMs: number,
  { location, what }: { readonly location: string; readonly what: string },
): Promise<T> {
  let timer: Timer | undefined;
  try {
    return await Promise.race([
      promise,
      new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(silence(location, timeoutMs, what)), timeoutMs);
      }),
    ]);
  } finally {
    clearTimeout(timer);
  }
}
