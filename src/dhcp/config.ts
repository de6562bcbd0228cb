// What a network config says about DHCP, with the keys of the reference plugin: which options a container tells servers of
// itself, which it asks them for, and where the daemon is.
import * as v from "valibot";
import { CniError, ErrorCode } from "../cni/error.ts";
import { shown } from "../cni/input.ts";
import { DEFAULT_DATA_DIR } from "../store/sqlite.ts";
import { LONGEST_PIECE_BYTES, OPTION_NAMES, OptionCode, type Options, optionCode } from "./option.ts";
import { DEFAULT_SOCKET } from "./protocol.ts";

const absolutePath = v.pipe(
  v.string(),
  v.check((path) => path === "" || (path.startsWith("/") && !path.includes("\0")), "an absolute path"),
);
const flag = v.nullish(v.boolean());
const text = v.nullish(v.string());

const ipamSchema = v.object({
  daemonSocketPath: v.nullish(absolutePath),
  dataDir: v.nullish(absolutePath),
  provide: v.nullish(v.array(v.object({ option: v.string(), value: text, fromArg: text }))),
  request: v.nullish(v.array(v.object({ option: text, skipDefault: flag }))),
  priority: v.nullish(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(0xffff_ffff))),
});

/** The schema of the config. */
export const configSchema = v.object({ dataDir: v.nullish(absolutePath), ipam: v.nullish(ipamSchema) });

/** The schema for DEL and GC, which no mistake in the options may hold up. */
export const cleanupSchema = v.object({
  dataDir: v.nullish(absolutePath),
  ipam: v.nullish(v.object({ daemonSocketPath: v.nullish(absolutePath), dataDir: v.nullish(absolutePath) })),
});

type Config = v.InferOutput<typeof configSchema>;
type PlaceKeys = v.InferOutput<typeof cleanupSchema>;

/** Where the daemon and the node's store are. */
export interface DhcpPlace {
  readonly socketPath: string;
  readonly dataDir: string;
}

/** Returns where they are. */
export function placeOf({ dataDir, ipam }: PlaceKeys): DhcpPlace {
  const or = (said: string | null | undefined, usual: string) =>
    (said ?? "") === "" ? usual : (said ?? usual);
  return {
    socketPath: or(ipam?.daemonSocketPath, DEFAULT_SOCKET),
    dataDir: or(dataDir ?? ipam?.dataDir, DEFAULT_DATA_DIR),
  };
}

/** What is asked for unless the config says skipDefault: what an interface needs, and the name servers. */
const USUALLY_REQUESTED = [
  OptionCode.routers,
  OptionCode.subnetMask,
  OptionCode.nameServers,
  OptionCode.domainName,
  OptionCode.domainSearch,
];

/** What the client itself says, and no config can say for it. */
const OWN: readonly number[] = [
  OptionCode.requestedAddress,
  OptionCode.overload,
  OptionCode.messageType,
  OptionCode.serverIdentifier,
  OptionCode.parameterRequestList,
  OptionCode.maximumMessageSize,
];

/** An identifier has one byte less, for it begins with a zero, which says that it is no hardware address (RFC 2132). */
const LONGEST_IDENTIFIER_BYTES = LONGEST_PIECE_BYTES - 1;
/** What fits into a packet that no link cuts. */
const LARGEST_MESSAGE_BYTES = 1472;

/** The attachment that the options are for. */
export interface OptionHolder {
  readonly network: string;
  readonly containerId: string;
  readonly ifname: string;
  /** CNI_ARGS. */
  readonly argumentText: string;
}

/** Returns the options that go with every message of a container. Throws CniError 7 for one that the config says wrong. */
export function optionsFor(config: Config, holder: OptionHolder): Options {
  const { containerId, network, ifname } = holder;
  const identifier = new TextEncoder().encode(`\0${containerId}/${network}/${ifname}`);
  const size = new Uint8Array([LARGEST_MESSAGE_BYTES >> 8, LARGEST_MESSAGE_BYTES & 0xff]);
  const options = new Map<number, Uint8Array>([
    [OptionCode.clientIdentifier, identifier.subarray(0, 1 + LONGEST_IDENTIFIER_BYTES)],
    [OptionCode.maximumMessageSize, size],
    ...providedOptions(config, holder),
  ]);
  const requested = requestedOptions(config);
  if (requested.length > 0) options.set(OptionCode.parameterRequestList, new Uint8Array(requested));
  return options;
}

function providedOptions(
  config: Config,
  { argumentText }: OptionHolder,
): [code: number, value: Uint8Array][] {
  const given = argumentPairs(argumentText);
  return (config.ipam?.provide ?? []).flatMap(({ option, value, fromArg }, index) => {
    const place = `ipam.provide[${index}]`;
    const code = requireCode(option, `${place}.option`);
    if (OWN.includes(code)) {
      throw new CniError(
        ErrorCode.invalidConfig,
        `${place}.option is ${shown(option)}, which the client says itself`,
        "remove it",
      );
    }
    // of both the argument counts, as in the reference
    const said = (fromArg ?? "") === "" ? undefined : given.get(fromArg ?? "");
    const text = said ?? value ?? "";
    if (text === "") return [];
    const bytes = new TextEncoder().encode(text);
    if (bytes.length > LONGEST_PIECE_BYTES) {
      throw new CniError(
        ErrorCode.invalidConfig,
        `${place}: the value of option ${shown(option)} has ${bytes.length} bytes: ${shown(text)}`,
        `expected at most ${LONGEST_PIECE_BYTES}`,
      );
    }
    return [[code, bytes]];
  });
}

/** CNI_ARGS has keys here that only this config knows. */
function argumentPairs(text: string): ReadonlyMap<string, string> {
  return new Map(
    text.split(";").flatMap((pair) => {
      const equals = pair.indexOf("=");
      return equals < 0 ? [] : [[pair.slice(0, equals), pair.slice(equals + 1)] as const];
    }),
  );
}

function requestedOptions({ ipam }: Config): number[] {
  const entries = ipam?.request ?? [];
  const asked = entries.flatMap(({ option }, index) =>
    (option ?? "") === "" ? [] : [requireCode(option ?? "", `ipam.request[${index}].option`)],
  );
  const usual = entries.some(({ skipDefault }) => skipDefault === true) ? [] : USUALLY_REQUESTED;
  const all = new Set([...asked, ...usual]);
  // the routes without classes come before the others, which their servers then leave out (RFC 3442)
  const first = all.has(OptionCode.classlessRoutes) ? [OptionCode.classlessRoutes] : [];
  return [...new Set([...first, ...all])];
}

function requireCode(spelling: string, place: string): number {
  const code = optionCode(spelling);
  if (code !== undefined) return code;
  throw new CniError(
    ErrorCode.invalidConfig,
    `${place} is ${shown(spelling)}, which is no option of DHCP`,
    `expected a number from 1 to 254, or one of ${OPTION_NAMES.join(", ")}`,
  );
}
