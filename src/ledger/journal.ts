// How a call becomes a row of the journal, and in which store: the one that the call has open, so that remembering costs
// no opening. A call that fails before it opens one is worth that much, where there is a store.
import type { Plugin, Transcript } from "../cni/plugin.ts";
import { openedStore, openStore, storeExists } from "../store/sqlite.ts";
import type { Store } from "../store/store.ts";
import { type Event, recordEvent } from "./events.ts";

const LONGEST_MESSAGE = 1000;

/** Writes down a call that has been answered. `mask` takes the secrets out of a message. Never throws. */
export async function rememberCall(
  plugin: Plugin,
  transcript: Transcript,
  defaultDataDir: string,
  mask: (text: string) => string,
): Promise<void> {
  try {
    const store = storeFor(transcript, defaultDataDir);
    if (store !== undefined) await recordEvent(store, eventOf(plugin, transcript, mask));
  } catch {
    // the call has been answered; a store that is out of order has told its error where it mattered
  }
}

function storeFor(transcript: Transcript, defaultDataDir: string): Store | undefined {
  const { exitCode } = transcript;
  const document = transcript.document ?? documentIn(transcript.stdin);
  const dataDir = dataDirIn(document) ?? dataDirIn(document?.ipam) ?? defaultDataDir;
  const opened = openedStore(dataDir);
  if (opened !== undefined || exitCode === 0) return opened;
  return storeExists(dataDir) ? openStore(dataDir) : undefined;
}

/** Of a config that was refused as a whole, what can be read. */
function documentIn(stdin: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  try {
    return JSON.parse(new TextDecoder().decode(stdin)) ?? undefined;
  } catch {
    return undefined;
  }
}

function dataDirIn(keys: unknown): string | undefined {
  if (typeof keys !== "object" || keys === null || !("dataDir" in keys)) return undefined;
  const { dataDir } = keys;
  return typeof dataDir === "string" && dataDir.startsWith("/") && !dataDir.includes("\0")
    ? dataDir
    : undefined;
}

function eventOf(
  plugin: Plugin,
  transcript: Transcript,
  mask: (text: string) => string,
): Omit<Event, "sequence"> {
  const { variables, error, span } = transcript;
  const args = variables.CNI_ARGS ?? "";
  return {
    atMs: transcript.startedAtMs,
    durationUs: Math.round(transcript.durationMs * 1000),
    verb: variables.CNI_COMMAND ?? "",
    plugin: plugin.name,
    network: transcript.network,
    containerId: variables.CNI_CONTAINERID ?? "",
    ifname: variables.CNI_IFNAME ?? "",
    netns: variables.CNI_NETNS ?? "",
    podNamespace: argumentIn(args, "K8S_POD_NAMESPACE"),
    podName: argumentIn(args, "K8S_POD_NAME"),
    addresses: addressesIn(transcript),
    code: error?.code ?? 0,
    message: error === undefined ? "" : mask(messageOf(error)).slice(0, LONGEST_MESSAGE),
    traceId: span?.traceId ?? null,
    spanId: span?.spanId ?? null,
    parentSpanId: span?.parentSpanId ?? null,
    // without a trace they belong to nothing (W3C Trace Context, 3.3)
    traceState: span === undefined ? null : (variables.TRACESTATE ?? null),
    baggage: variables.BAGGAGE ?? null,
  };
}

function messageOf({ message, details }: { readonly message: string; readonly details: string }): string {
  return details === "" ? message : `${message}; ${details}`;
}

function argumentIn(args: string, name: string): string | null {
  const pair = args.split(";").find((one) => one.startsWith(`${name}=`));
  return pair?.slice(name.length + 1) ?? null;
}

/** An ADD's addresses are those of its result; DEL and CHECK are about those of the result before. */
function addressesIn({ result, document }: Transcript): string {
  if (result !== undefined) return result.ips.map(({ address }) => address).join(" ");
  const previous = document?.prevResult;
  if (
    typeof previous !== "object" ||
    previous === null ||
    !("ips" in previous) ||
    !Array.isArray(previous.ips)
  )
    return "";
  const ips: readonly unknown[] = previous.ips;
  return ips
    .map((one) => (typeof one === "object" && one !== null && "address" in one ? String(one.address) : ""))
    .filter((address) => address !== "")
    .join(" ");
}
