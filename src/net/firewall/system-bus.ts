// The system's D-Bus, as far as one question and its answer go: methods whose arguments are strings, and answers that
// are a string, a flag or nothing. Format: the D-Bus specification, "Message Protocol" and "Authentication Protocol".
import { isSystemError } from "../../sys/libc.ts";
import { LocalStream } from "../../sys/local-stream.ts";

/** Never from the environment, over which root has no control: it could lead to anybody. */
const SYSTEM_BUS = "/run/dbus/system_bus_socket";
const ANSWER_LIMIT_SECONDS = 5;
const LITTLE_ENDIAN = 0x6c; // "l"
const METHOD_CALL = 1;
const METHOD_RETURN = 2;
const ERROR = 3;
/** A service that doesn't run is not to be started for our sake (NO_AUTO_START). */
const FLAGS = 2;
/** The specification allows 128 MiB; nothing that we ask for is a thousandth of it. */
const LONGEST_MESSAGE_BYTES = 1 << 20;

const Field = {
  path: 1,
  interface: 2,
  member: 3,
  errorName: 4,
  replySerial: 5,
  destination: 6,
  signature: 8,
};

const textEncoder = new TextEncoder();
const textDecoder = new TextDecoder();

/** A method of a service. */
export interface Method {
  readonly destination: string;
  readonly path: string;
  readonly interface: string;
  readonly member: string;
}

/** The service's refusal: a name such as `org.freedesktop.DBus.Error.ServiceUnknown`, and its words. */
export class BusError extends Error {
  override readonly name = "BusError";

  constructor(
    readonly errorName: string,
    words: string,
  ) {
    super(words === "" ? errorName : words);
  }
}

class Writer {
  readonly #bytes: number[] = [];

  align(to: number): void {
    while (this.#bytes.length % to !== 0) this.#bytes.push(0);
  }

  byte(...values: readonly number[]): void {
    this.#bytes.push(...values);
  }

  u32(value: number): void {
    this.align(4);
    this.byte(value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24);
  }

  text(value: string): void {
    const bytes = textEncoder.encode(value);
    this.u32(bytes.length);
    this.byte(...bytes, 0);
  }

  signature(value: string): void {
    this.byte(value.length, ...textEncoder.encode(value), 0);
  }

  get bytes(): Uint8Array {
    return Uint8Array.from(this.#bytes);
  }
}

/** Returns the message that calls a method with strings. */
export function encodeCall(method: Method, args: readonly string[], serial: number): Uint8Array {
  const body = new Writer();
  for (const arg of args) body.text(arg);
  const fields = new Writer();
  const field = (code: number, type: string, write: () => void) => {
    fields.align(8);
    fields.byte(code);
    fields.signature(type);
    write();
  };
  field(Field.path, "o", () => fields.text(method.path));
  field(Field.interface, "s", () => fields.text(method.interface));
  field(Field.member, "s", () => fields.text(method.member));
  field(Field.destination, "s", () => fields.text(method.destination));
  if (args.length > 0) field(Field.signature, "g", () => fields.signature("s".repeat(args.length)));
  const message = new Writer();
  message.byte(LITTLE_ENDIAN, METHOD_CALL, FLAGS, 1);
  message.u32(body.bytes.length);
  message.u32(serial);
  message.u32(fields.bytes.length);
  message.byte(...fields.bytes);
  message.align(8);
  message.byte(...body.bytes);
  return message.bytes;
}

/** A message as it came. */
export interface BusMessage {
  readonly type: number;
  /** The serial of the call that this answers; 0 for what answers none. */
  readonly replySerial: number;
  readonly errorName: string;
  /** The first value of the body where it is a string, a flag, or a number. */
  readonly value: string | number | undefined;
}

/** Reads a message out of `take`, which returns the next bytes; throws BusError for what is none. */
export function readMessage(take: (count: number) => Uint8Array<ArrayBuffer>): BusMessage {
  const start = take(16);
  const view = new DataView(start.buffer);
  const bodyLength = view.getUint32(4, true);
  const fieldsLength = view.getUint32(12, true);
  if (
    start[0] !== LITTLE_ENDIAN ||
    fieldsLength > LONGEST_MESSAGE_BYTES ||
    bodyLength > LONGEST_MESSAGE_BYTES
  ) {
    throw new BusError(
      "org.freedesktop.DBus.Error.InconsistentMessage",
      "the bus sent no message of this machine's",
    );
  }
  const fields = readFields(take((fieldsLength + 7) & ~7).subarray(0, fieldsLength));
  const body = take(bodyLength);
  return {
    type: start[1] ?? 0,
    replySerial: Number(fields.get(Field.replySerial) ?? 0),
    errorName: String(fields.get(Field.errorName) ?? ""),
    value: readValue(body, String(fields.get(Field.signature) ?? "")),
  };
}

/** The header's fields by their codes: structs of a code and a variant, each at a multiple of 8 bytes. */
function readFields(bytes: Uint8Array<ArrayBuffer>): Map<number, string | number> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const fields = new Map<number, string | number>();
  let at = 0;
  while (at + 4 <= bytes.length) {
    const code = bytes[at] ?? 0;
    // a signature of one letter: its length, the letter, and NUL
    const type = String.fromCharCode(bytes[at + 2] ?? 0);
    at += 4;
    if (type === "g") {
      const length = bytes[at] ?? 0;
      fields.set(code, textDecoder.decode(bytes.subarray(at + 1, at + 1 + length)));
      at += length + 2;
    } else {
      const number = view.getUint32(at, true);
      at += 4;
      if (type === "u") fields.set(code, number);
      else {
        fields.set(code, textDecoder.decode(bytes.subarray(at, at + number)));
        at += number + 1;
      }
    }
    at = (at + 7) & ~7;
  }
  return fields;
}

function readValue(body: Uint8Array<ArrayBuffer>, signature: string): string | number | undefined {
  if (body.length < 4) return undefined;
  const first = new DataView(body.buffer, body.byteOffset).getUint32(0, true);
  if (signature.startsWith("s")) return textDecoder.decode(body.subarray(4, 4 + first));
  return signature.startsWith("b") || signature.startsWith("u") ? first : undefined;
}

const HELLO: Method = {
  destination: "org.freedesktop.DBus",
  path: "/org/freedesktop/DBus",
  interface: "org.freedesktop.DBus",
  member: "Hello",
};

/** A connection to the system's bus, closed by `using`. */
export class SystemBus implements Disposable {
  readonly #stream: LocalStream;
  #serial = 0;

  private constructor(stream: LocalStream) {
    this.#stream = stream;
  }

  /** Connects; returns undefined where no bus runs. Throws SystemError or BusError. */
  static open(): SystemBus | undefined {
    let stream: LocalStream;
    try {
      stream = LocalStream.open(SYSTEM_BUS, ANSWER_LIMIT_SECONDS);
    } catch (error) {
      if (isSystemError(error, "ENOENT", "ECONNREFUSED")) return undefined;
      throw error;
    }
    const bus = new SystemBus(stream);
    try {
      bus.#authenticate();
      bus.call(HELLO, []);
      return bus;
    } catch (error) {
      stream[Symbol.dispose]();
      throw error;
    }
  }

  /** Calls a method and returns the first value of its answer. Throws SystemError, or BusError for a refusal. */
  call(method: Method, args: readonly string[]): string | number | undefined {
    const serial = ++this.#serial;
    this.#stream.write(encodeCall(method, args, serial));
    for (;;) {
      const message = readMessage((count) => this.#stream.read(count));
      // what else comes are signals
      if (message.replySerial !== serial) continue;
      if (message.type === ERROR) throw new BusError(message.errorName, String(message.value ?? ""));
      if (message.type === METHOD_RETURN) return message.value;
    }
  }

  /** The bus knows us by the credentials of the socket, so nothing is told. */
  #authenticate(): void {
    this.#stream.write(textEncoder.encode("\0AUTH EXTERNAL\r\n"));
    this.#expect("DATA");
    this.#stream.write(textEncoder.encode("DATA\r\n"));
    this.#expect("OK ");
    this.#stream.write(textEncoder.encode("BEGIN\r\n"));
  }

  #expect(beginning: string): void {
    let line = "";
    while (!line.endsWith("\r\n") && line.length < 1000) line += textDecoder.decode(this.#stream.read(1));
    if (!line.startsWith(beginning)) throw new BusError("org.freedesktop.DBus.Error.AuthFailed", line.trim());
  }

  [Symbol.dispose](): void {
    this.#stream[Symbol.dispose]();
  }
}
