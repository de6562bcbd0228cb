// The network config as every plugin gets it: the keys that the protocol itself defines. A plugin's own keys are
// checked by its schema; keys that nobody knows are let pass, because newer runtimes inject some.
import * as v from "valibot";
import { CniError, describeError, ErrorCode } from "./error.ts";
import { parseExactly } from "./exact-json.ts";
import { parseInput, shown } from "./input.ts";
import { withKnownKeys } from "./keys.ts";
import { checkNetworkName } from "./names.ts";

/** An attachment as GC's list of valid ones names it. */
export interface AttachmentKey {
  readonly containerId: string;
  readonly ifname: string;
}

const attachmentsSchema = v.nullish(v.array(v.object({ containerID: v.string(), ifname: v.string() })));

/**
 * True for a list that the schema would return as it is. Of a list that is wrong, or spelled otherwise, the schema knows
 * what to say; but it takes 3 ms for each thousand of those that are right.
 */
function isPlainList(value: unknown): value is v.InferOutput<typeof attachmentsSchema> & object {
  return Array.isArray(value) && value.every(isPlainAttachment);
}

function isPlainAttachment(value: unknown): boolean {
  if (typeof value !== "object" || value === null || !("containerID" in value && "ifname" in value))
    return false;
  if (typeof value.containerID !== "string" || typeof value.ifname !== "string") return false;
  for (const key in value) if (key !== "containerID" && key !== "ifname") return false;
  return true;
}

/** The keys that the protocol reads before any plugin's schema does. */
const protocolKeys = v.object({
  cniVersion: v.any(),
  name: v.any(),
  prevResult: v.object({ cniVersion: v.any() }),
  "cni.dev/valid-attachments": v.any(),
  "cni.dev/attachments": v.any(),
});

/** A network config whose protocol keys have been checked. */
export interface NetworkConfig {
  readonly cniVersion: string;
  readonly network: string;
  /** The whole config as an object, for the plugin's own schema. */
  readonly document: Readonly<Record<string, unknown>>;
  /** The bytes as they came, which a delegate gets unchanged. */
  readonly text: Uint8Array;
}

const decoder = new TextDecoder("utf-8", { fatal: true });

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * Returns the config in `text`. Throws CniError 6 if it is no JSON object or its cniVersion no string, and 7 if
 * the network's name is missing or illegal.
 */
export function parseNetworkConfig(text: Uint8Array): NetworkConfig {
  let document: unknown;
  try {
    document = withKnownKeys(protocolKeys, JSON.parse(decoder.decode(text)));
  } catch (error) {
    throw new CniError(
      ErrorCode.decodingFailure,
      `network config on standard input is not JSON: ${describeError(error)}`,
      text.length === 0 ? "standard input is empty; expected a network config" : "expected a JSON object",
      { cause: error },
    );
  }
  if (!isObject(document)) {
    throw new CniError(
      ErrorCode.decodingFailure,
      `network config on standard input is ${shown(document)}`,
      "expected a JSON object",
    );
  }
  const cniVersion = document.cniVersion ?? "";
  if (typeof cniVersion !== "string") {
    throw new CniError(
      ErrorCode.decodingFailure,
      `network config: "cniVersion" is ${shown(cniVersion)}`,
      'expected a string, such as "1.1.0"',
    );
  }
  const name = document.name ?? "";
  if (typeof name !== "string") {
    throw new CniError(
      ErrorCode.invalidConfig,
      `network config: "name" is ${shown(name)}`,
      "expected a string",
    );
  }
  checkNetworkName(name);
  // an absent version is the oldest one (cni pkg/version/conf.go)
  return { cniVersion: cniVersion === "" ? "0.1.0" : cniVersion, network: name, document, text };
}

/** Returns the document of the config with every digit that stood there; throws CniError 6 for one that is too deep. */
export function exactDocument(config: NetworkConfig): Readonly<Record<string, unknown>> {
  try {
    const document = withKnownKeys(protocolKeys, parseExactly(decoder.decode(config.text)));
    return isObject(document) ? document : {};
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    const message = "network config on standard input has values that stand too deep in each other";
    throw new CniError(ErrorCode.decodingFailure, message, describeError(error), { cause: error });
  }
}

/** Returns the document of `prevResult` with every digit that stood there; call it only where there is one. */
export function exactPreviousResult(config: NetworkConfig): object {
  const previous = exactDocument(config).prevResult;
  return isObject(previous) ? previous : {};
}

/**
 * Returns the attachments that GC must keep. An empty list and `null` mean that none is valid; undefined means
 * that no list came at all, as from a runtime that has none. Reads the key of the specification and the older
 * one. Throws CniError 7 if it is no list of `{containerID, ifname}`.
 */
export function validAttachments(config: NetworkConfig): readonly AttachmentKey[] | undefined {
  for (const key of ["cni.dev/valid-attachments", "cni.dev/attachments"]) {
    if (!(key in config.document)) continue;
    const given = config.document[key];
    const list = isPlainList(given)
      ? given
      : (parseInput(attachmentsSchema, given, ErrorCode.invalidConfig, `"${key}"`) ?? []);
    return list.map(({ containerID, ifname }) => ({ containerId: containerID, ifname }));
  }
  return undefined;
}
