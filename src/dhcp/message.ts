// A DHCP message as bytes and as a value, both ways (RFC 2131, section 2). The fixed part is a declaration: field by field
// where it stands and what it holds.
import { type Address, addressBytes, addressFromBytes } from "../ip/address.ts";
import { decodeOptions, encodeOptions, OptionCode, type Options } from "./option.ts";

/** What a message is for: option 53 (RFC 2132, section 9.6). */
export const MessageType = {
  discover: 1,
  offer: 2,
  request: 3,
  decline: 4,
  acknowledge: 5,
  refuse: 6,
  release: 7,
} as const;

/** BOOTREQUEST and BOOTREPLY. */
export const Operation = { request: 1, reply: 2 } as const;

/** 0.0.0.0, which stands for no address. */
export const NO_ADDRESS: Address = { family: 4, value: 0n };

/** A message. */
export interface DhcpMessage {
  readonly operation: number;
  /** Ties an answer to its question. */
  readonly transactionId: number;
  /** How long the client has been trying. */
  readonly seconds: number;
  /** The client can't be reached by an address that it does not have yet: answer by broadcast. */
  readonly broadcast: boolean;
  /** What the client has, `ciaddr`. */
  readonly clientAddress: Address;
  /** What the server gives, `yiaddr`. */
  readonly yourAddress: Address;
  /** The next server of a boot, `siaddr`. */
  readonly nextServer: Address;
  /** The relay in between, `giaddr`. */
  readonly relay: Address;
  readonly hardwareAddress: Uint8Array;
  readonly options: Options;
}

const ETHERNET = 1;
const HARDWARE_ADDRESS_BYTES = 6;
const BROADCAST_FLAG = 0x8000;
/** Says that options follow (RFC 2131, section 3). */
const MAGIC_COOKIE = 0x6382_5363;

/** Where the fixed fields stand: offset, and how many bytes. */
const FIELDS = {
  operation: [0, 1],
  hardwareType: [1, 1],
  hardwareAddressLength: [2, 1],
  hops: [3, 1],
  transactionId: [4, 4],
  seconds: [8, 2],
  flags: [10, 2],
  clientAddress: [12, 4],
  yourAddress: [16, 4],
  nextServer: [20, 4],
  relay: [24, 4],
  hardwareAddress: [28, 16],
  serverName: [44, 64],
  file: [108, 128],
  cookie: [236, 4],
} as const;

const OPTIONS_OFFSET = 240;
/** Some relays and servers drop what is shorter than a message of BOOTP was (RFC 951). */
const SHORTEST_BYTES = 300;

type Field = keyof typeof FIELDS;

function put(view: DataView, field: Field, value: number): void {
  const [offset, bytes] = FIELDS[field];
  if (bytes === 1) view.setUint8(offset, value);
  else if (bytes === 2) view.setUint16(offset, value);
  else view.setUint32(offset, value);
}

function get(view: DataView, field: Field): number {
  const [offset, bytes] = FIELDS[field];
  return bytes === 1 ? view.getUint8(offset) : bytes === 2 ? view.getUint16(offset) : view.getUint32(offset);
}

function pieceOf(bytes: Uint8Array, field: Field): Uint8Array {
  const [offset, length] = FIELDS[field];
  return bytes.subarray(offset, offset + length);
}

/** Returns the message as bytes. */
export function encodeMessage(message: DhcpMessage): Uint8Array<ArrayBuffer> {
  const options = encodeOptions(message.options);
  const length = Math.max(SHORTEST_BYTES, OPTIONS_OFFSET + options.length);
  const bytes = new Uint8Array(new ArrayBuffer(length));
  const view = new DataView(bytes.buffer);
  put(view, "operation", message.operation);
  put(view, "hardwareType", ETHERNET);
  put(view, "hardwareAddressLength", message.hardwareAddress.length);
  put(view, "transactionId", message.transactionId);
  put(view, "seconds", Math.min(message.seconds, 0xffff));
  put(view, "flags", message.broadcast ? BROADCAST_FLAG : 0);
  for (const field of ["clientAddress", "yourAddress", "nextServer", "relay"] as const) {
    bytes.set(addressBytes(message[field]), FIELDS[field][0]);
  }
  bytes.set(message.hardwareAddress.subarray(0, FIELDS.hardwareAddress[1]), FIELDS.hardwareAddress[0]);
  put(view, "cookie", MAGIC_COOKIE);
  bytes.set(options, OPTIONS_OFFSET);
  return bytes;
}

/** Returns the message in `bytes`; undefined for what is none. Options may go on in the fields of a boot (option 52). */
export function decodeMessage(bytes: Uint8Array): DhcpMessage | undefined {
  if (bytes.length < OPTIONS_OFFSET) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (get(view, "cookie") !== MAGIC_COOKIE) return undefined;
  if (get(view, "hardwareType") !== ETHERNET) return undefined;
  if (get(view, "hardwareAddressLength") !== HARDWARE_ADDRESS_BYTES) return undefined;
  const options = new Map<number, Uint8Array>();
  if (!decodeOptions(bytes.subarray(OPTIONS_OFFSET), options)) return undefined;
  const overload = options.get(OptionCode.overload)?.[0] ?? 0;
  if ((overload & 1) !== 0 && !decodeOptions(pieceOf(bytes, "file"), options)) return undefined;
  if ((overload & 2) !== 0 && !decodeOptions(pieceOf(bytes, "serverName"), options)) return undefined;
  const address = (field: Field) => addressFromBytes(pieceOf(bytes, field));
  return {
    operation: get(view, "operation"),
    transactionId: get(view, "transactionId"),
    seconds: get(view, "seconds"),
    broadcast: (get(view, "flags") & BROADCAST_FLAG) !== 0,
    clientAddress: address("clientAddress"),
    yourAddress: address("yourAddress"),
    nextServer: address("nextServer"),
    relay: address("relay"),
    hardwareAddress: pieceOf(bytes, "hardwareAddress").slice(0, HARDWARE_ADDRESS_BYTES),
    options,
  };
}

/** Returns what the message is for, option 53; undefined where it does not say so. */
export function messageTypeOf({ options }: Pick<DhcpMessage, "options">): number | undefined {
  const value = options.get(OptionCode.messageType);
  return value?.length === 1 ? value[0] : undefined;
}

/** Returns the address in an option of four bytes; undefined where it is not there, or has another length. */
export function addressOption({ options }: Pick<DhcpMessage, "options">, code: number): Address | undefined {
  const value = options.get(code);
  return value?.length === 4 ? addressFromBytes(value) : undefined;
}
