// What rules usually ask, put together from expressions just as nft does it, so that `nft list ruleset` shows our
// rules the way an operator would have written them. Above each function's steps stands its rule in nft syntax.
import {
  ConnectionKey,
  compare,
  connection,
  type Expression,
  FibFlag,
  FibResult,
  fib,
  keepBits,
  lookup,
  MetaKey,
  meta,
  type Operator,
  PayloadBase,
  payload,
  Register,
} from "./expression.ts";

const INTERFACE_NAME_BYTES = 16; // IFNAMSIZ
const textEncoder = new TextEncoder();

/** Returns 32 bits in host order, as marks and connection bits are compared. */
function hostWord(value: number): Uint8Array {
  return Uint8Array.of(value, value >>> 8, value >>> 16, value >>> 24);
}

/** Returns an interface name as the kernel compares it: 16 bytes, the rest zero. */
export function interfaceNameBytes(name: string): Uint8Array {
  const value = new Uint8Array(INTERFACE_NAME_BYTES);
  textEncoder.encodeInto(name, value.subarray(0, INTERFACE_NAME_BYTES - 1));
  return value;
}

type Sameness = Extract<Operator, "equal" | "notEqual">;

/** Matches packets that came in by an interface. */
export function inputInterface(name: string, operator: Sameness = "equal"): Expression[] {
  // iifname "br0"
  return [meta(MetaKey.inputName), compare(operator, interfaceNameBytes(name))];
}

/** Matches packets that came in by an interface whose name is in a set, or with `notEqual` is not. */
export function inputInterfaceIn(set: string, operator: Sameness = "equal"): Expression[] {
  // iifname @guarded
  return [meta(MetaKey.inputName), lookup(set, { inverted: operator === "notEqual" })];
}

/** Matches packets that go out by an interface whose name is in a set. */
export function outputInterfaceIn(set: string): Expression[] {
  // oifname @guarded
  return [meta(MetaKey.outputName), lookup(set)];
}

/** Matches packets whose two interfaces are, as a pair, in a set. */
export function interfacePairIn(set: string): Expression[] {
  // iifname . oifname @pairs
  return [meta(MetaKey.inputName), meta(MetaKey.outputName, Register.second), lookup(set)];
}

/** Matches packets of one family; in an `inet` table this must stand before addresses are looked at. */
export function packetFamily(family: "ipv4" | "ipv6"): Expression[] {
  // meta nfproto ipv4
  return [meta(MetaKey.protocolFamily), compare("equal", Uint8Array.of(family === "ipv4" ? 2 : 10))];
}

function addressIn(
  address: Uint8Array,
  prefixLength: number,
  operator: Sameness,
  ipv4Offset: number,
  ipv6Offset: number,
): Expression[] {
  const offset = address.length === 4 ? ipv4Offset : ipv6Offset;
  const length = Math.max(1, (prefixLength + 7) >> 3);
  if ((prefixLength & 7) === 0 && prefixLength > 0) {
    return [payload(PayloadBase.network, offset, length), compare(operator, address.slice(0, length))];
  }
  const mask = new Uint8Array(address.length);
  for (let index = 0; index < mask.length; index++) {
    mask[index] = 0xff00 >> Math.min(8, Math.max(0, prefixLength - index * 8));
  }
  const network = address.map((octet, index) => octet & (mask[index] ?? 0));
  return [payload(PayloadBase.network, offset, address.length), keepBits(mask), compare(operator, network)];
}

/** Matches packets whose source is in a subnet. */
export function sourceIn(
  address: Uint8Array,
  prefixLength: number,
  operator: Sameness = "equal",
): Expression[] {
  // ip saddr 10.88.0.0/16
  return addressIn(address, prefixLength, operator, 12, 8);
}

/** Matches packets whose destination is in a subnet, or with `notEqual` is not. */
export function destinationIn(
  address: Uint8Array,
  prefixLength: number,
  operator: Sameness = "equal",
): Expression[] {
  // ip daddr != 10.88.0.0/16
  return addressIn(address, prefixLength, operator, 16, 24);
}

/** Matches packets of one family whose source or destination is in a set of addresses. */
export function addressInSet(
  end: "source" | "destination",
  family: "ipv4" | "ipv6",
  set: string,
): Expression[] {
  // ip saddr @pods
  const [offset, length] =
    family === "ipv4" ? [end === "source" ? 12 : 16, 4] : [end === "source" ? 8 : 24, 16];
  return [...packetFamily(family), payload(PayloadBase.network, offset, length), lookup(set)];
}

// NF_CT_STATE_BIT in linux/netfilter/nf_conntrack_common.h; IPS_* in the same file
const CONNECTION_STATES = { invalid: 1, established: 2, related: 4, new: 8, untracked: 64 } as const;
const CONNECTION_STATUSES = { assured: 4, confirmed: 8, snat: 16, dnat: 32 } as const;

function anyBit(key: number, bits: number): Expression[] {
  const value = hostWord(bits);
  return [connection(key), keepBits(value), compare("notEqual", new Uint8Array(4))];
}

/** Matches packets of connections in one of these states. */
export function connectionState(...states: (keyof typeof CONNECTION_STATES)[]): Expression[] {
  // ct state established,related
  return anyBit(
    ConnectionKey.state,
    states.reduce((bits, state) => bits | CONNECTION_STATES[state], 0),
  );
}

/** Matches packets of connections that one of these was done to. */
export function connectionStatus(...statuses: (keyof typeof CONNECTION_STATUSES)[]): Expression[] {
  // ct status dnat
  return anyBit(
    ConnectionKey.status,
    statuses.reduce((bits, status) => bits | CONNECTION_STATUSES[status], 0),
  );
}

/** Matches packets whose destination is an address of this namespace. */
export function destinationIsLocal(): Expression[] {
  // fib daddr type local
  return [fib(FibResult.addressType, FibFlag.destination), compare("equal", hostWord(2))]; // RTN_LOCAL
}
