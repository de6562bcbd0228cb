// The options of a DHCP message: which ones Warren knows by name, how they are packed one behind the other, and how a long
// one is cut into pieces (RFC 2132, RFC 3396). What the bytes of an option mean is not known here.

/** The options that Warren reads or writes, by their code (RFC 2132, section by section; RFC 3397, RFC 3442). */
export const OptionCode = {
  pad: 0,
  subnetMask: 1,
  routers: 3,
  nameServers: 6,
  hostName: 12,
  domainName: 15,
  interfaceMtu: 26,
  staticRoutes: 33,
  requestedAddress: 50,
  leaseTime: 51,
  overload: 52,
  messageType: 53,
  serverIdentifier: 54,
  parameterRequestList: 55,
  message: 56,
  maximumMessageSize: 57,
  renewalTime: 58,
  rebindingTime: 59,
  vendorClass: 60,
  clientIdentifier: 61,
  userClass: 77,
  domainSearch: 119,
  classlessRoutes: 121,
  end: 255,
} as const;

/**
 * What configs call options: the names that the reference plugin takes, and of dhcp-options(5) those that have an
 * effect here.
 */
const NAMES: Readonly<Record<string, number>> = {
  "dhcp-client-identifier": OptionCode.clientIdentifier,
  "subnet-mask": OptionCode.subnetMask,
  routers: OptionCode.routers,
  "host-name": OptionCode.hostName,
  "user-class": OptionCode.userClass,
  "vendor-class-identifier": OptionCode.vendorClass,
  "domain-name-servers": OptionCode.nameServers,
  "domain-name": OptionCode.domainName,
  "domain-search": OptionCode.domainSearch,
  "interface-mtu": OptionCode.interfaceMtu,
  "static-routes": OptionCode.staticRoutes,
  "rfc3442-classless-static-routes": OptionCode.classlessRoutes,
};

/** The names of options, for messages. */
export const OPTION_NAMES: readonly string[] = Object.keys(NAMES);

/** Options by their code. */
export type Options = ReadonlyMap<number, Uint8Array>;

/** No piece of an option is longer: its length is one byte. */
export const LONGEST_PIECE_BYTES = 255;

/** Returns the code of an option that is spelled by name or number; undefined for no option. */
export function optionCode(spelling: string): number | undefined {
  if (Object.hasOwn(NAMES, spelling)) return NAMES[spelling];
  if (!/^\d{1,3}$/.test(spelling)) return undefined;
  const code = Number(spelling);
  return code > OptionCode.pad && code < OptionCode.end ? code : undefined;
}

/** Returns the options packed, with the end mark; the message type comes first, where some servers look for it. */
export function encodeOptions(options: Options): Uint8Array<ArrayBuffer> {
  const bytes: number[] = [];
  const entries = [...options].sort(([one], [other]) => rank(one) - rank(other));
  for (const [code, value] of entries) {
    let at = 0;
    do {
      const piece = value.subarray(at, at + LONGEST_PIECE_BYTES);
      bytes.push(code, piece.length, ...piece);
      at += LONGEST_PIECE_BYTES;
    } while (at < value.length);
  }
  bytes.push(OptionCode.end);
  const packed = new Uint8Array(new ArrayBuffer(bytes.length));
  packed.set(bytes);
  return packed;
}

/** The message type stands in front, what a relay may add to behind it, all else in the order of the codes. */
function rank(code: number): number {
  return code === OptionCode.messageType ? 0 : code;
}

/**
 * Adds the options in `bytes` to those that are there: pieces of one option are put together in the order in which they
 * come. Returns false where the bytes end in the middle of an option; what was whole is added even so.
 */
export function decodeOptions(bytes: Uint8Array, into: Map<number, Uint8Array>): boolean {
  for (let at = 0; at < bytes.length; ) {
    const code = bytes[at++];
    if (code === OptionCode.end) return true;
    if (code === undefined || code === OptionCode.pad) continue;
    const length = bytes[at++];
    if (length === undefined || at + length > bytes.length) return false;
    const before = into.get(code) ?? new Uint8Array();
    const whole = new Uint8Array(before.length + length);
    whole.set(before);
    whole.set(bytes.subarray(at, at + length), before.length);
    into.set(code, whole);
    at += length;
  }
  return true;
}
