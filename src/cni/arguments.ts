// CNI_ARGS: `KEY=VALUE;KEY=VALUE` beside the config. The chain's plugins all get the same string, so one list of
// known keys serves all of them; an unknown key is an error unless the caller says IgnoreUnknown, as Kubernetes
// always does.
import { CniError, ErrorCode } from "./error.ts";
import { shown } from "./input.ts";

/** The keys that some plugin of Warren reads. */
const KNOWN = [
  "IgnoreUnknown",
  "IP",
  "GATEWAY",
  "MAC",
  "K8S_POD_NAMESPACE",
  "K8S_POD_NAME",
  "K8S_POD_UID",
  "K8S_POD_INFRA_CONTAINER_ID",
] as const;

/** A key of CNI_ARGS that Warren knows. */
export type ArgumentName = (typeof KNOWN)[number];

/** The known arguments that were given. */
export type CniArguments = Readonly<Partial<Record<ArgumentName, string>>>;

function isKnown(key: string): key is ArgumentName {
  return KNOWN.some((known) => known === key);
}

function isTrue(value: string): boolean {
  const lower = value.toLowerCase();
  if (lower === "1" || lower === "true") return true;
  if (lower === "0" || lower === "false") return false;
  throw new CniError(
    ErrorCode.invalidEnvironment,
    `CNI_ARGS: IgnoreUnknown is ${shown(value)}`,
    "expected 1, 0, true or false",
  );
}

/** Returns the known arguments in `text`, whatever else is in it: for who hands the text on to those that it is for. */
export function knownArguments(text: string): CniArguments {
  const pairs = text.split(";").map((pair) => [pair.split("=", 1)[0] ?? "", pair] as const);
  return Object.fromEntries(
    pairs.flatMap(([key, pair]) => (isKnown(key) && pair !== key ? [[key, pair.slice(key.length + 1)]] : [])),
  );
}

/** Returns the known arguments in `text`; throws CniError 4 for a malformed pair, and for unknown keys. */
export function parseArguments(text: string): CniArguments {
  const known: Partial<Record<ArgumentName, string>> = {};
  const unknown: string[] = [];
  for (const pair of text.split(";")) {
    // an empty piece is what a trailing semicolon leaves; nothing is lost by letting it pass
    if (pair === "") continue;
    const equals = pair.indexOf("=");
    if (equals <= 0) {
      throw new CniError(
        ErrorCode.invalidEnvironment,
        `ARGS: invalid pair ${shown(pair)}`,
        "expected KEY=VALUE",
      );
    }
    const key = pair.slice(0, equals);
    if (isKnown(key)) known[key] = pair.slice(equals + 1);
    else unknown.push(pair);
  }
  if (unknown.length > 0 && !isTrue(known.IgnoreUnknown ?? "false")) {
    throw new CniError(
      ErrorCode.invalidEnvironment,
      `ARGS: unknown args ${shown(unknown)}`,
      `expected only ${KNOWN.join(", ")}, or IgnoreUnknown=1 before others are let pass`,
    );
  }
  return known;
}
