// Bytes on their way to the kernel and back: what they are written into and read from, and what it takes to be a codec.
// Attributes are framed here; what is in them is the affair of codecs, which are put together in codec.ts.
import { memory } from "../sys/libc.ts";

/** A value that doesn't fit its format, or bytes that don't. `path` names the field, such as `info.data.id`. */
export class CodecError extends Error {
  override readonly name = "CodecError";

  constructor(
    readonly path: string,
    readonly problem: string,
  ) {
    super(path === "" ? problem : `${path}: ${problem}`);
  }
}

/** Returns the error with the name of the field in front of its path; another error as it is. */
export function named(name: string, error: unknown): unknown {
  if (!(error instanceof CodecError)) return error;
  return new CodecError(error.path === "" ? name : `${name}.${error.path}`, error.problem);
}

/** Attribute headers and payloads start at multiples of 4 (NLMSG_ALIGNTO, NLA_ALIGNTO in linux/netlink.h). */
export function aligned(length: number): number {
  return (length + 3) & ~3;
}

const ATTRIBUTE_HEADER_BYTES = 4;
const TYPE_MASK = 0x3fff; // NLA_TYPE_MASK

/** A buffer that grows while it is written. Its memory may be handed to the kernel. */
export class Writer {
  bytes = memory(4096);
  view = new DataView(this.bytes.buffer);
  offset = 0;

  /** When set, `locatedName` becomes the path of the attribute that is written at this offset. */
  locateOffset = -1;
  locatedName = "";

  /** Forgets what was written, so that the memory can be used again. */
  reset(): void {
    this.offset = 0;
  }

  /** Returns what was written: a view, valid until the next write. */
  written(): Uint8Array<ArrayBuffer> {
    return this.bytes.subarray(0, this.offset);
  }

  /** Moves on by `count` bytes, with room made for them, and returns where they start. */
  advance(count: number): number {
    const start = this.offset;
    this.offset = start + count;
    if (this.offset > this.bytes.length) {
      const larger = memory(Math.max(this.bytes.length * 2, aligned(this.offset)));
      larger.set(this.bytes);
      this.bytes = larger;
      this.view = new DataView(larger.buffer);
    }
    return start;
  }

  /** Writes zero bytes up to the next multiple of 4. */
  align(): void {
    while ((this.offset & 3) !== 0) {
      const at = this.advance(1);
      this.bytes[at] = 0;
    }
  }

  /** Writes one attribute whose payload is what `codec` makes of `value`. */
  attribute<T>(name: string, type: number, codec: Codec<T>, value: T): void {
    const start = this.advance(ATTRIBUTE_HEADER_BYTES);
    this.view.setUint16(start + 2, type | (codec.typeFlags ?? 0), true);
    try {
      codec.encode(this, value);
    } catch (error) {
      throw named(name, error);
    }
    const length = this.offset - start;
    if (length > 0xffff) throw new CodecError(name, `${length} bytes, an attribute holds at most 65535`);
    this.view.setUint16(start, length, true);
    this.align();
    if (this.locateOffset < 0) return;
    if (start === this.locateOffset) this.locatedName = name;
    else if (start < this.locateOffset && this.locateOffset < this.offset && this.locatedName !== "") {
      this.locatedName = `${name}.${this.locatedName}`;
    }
  }
}

/** Reads bytes between `offset` and `end`; every read is checked against `end`. */
export class Reader {
  readonly view: DataView;

  /** Set to false where nobody asks for unknown attributes: copying those of a link costs more than all the rest. */
  keepUnknown = true;

  constructor(
    readonly bytes: Uint8Array,
    public offset = 0,
    public end = bytes.length,
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** How many bytes are left. */
  get left(): number {
    return this.end - this.offset;
  }

  /** Moves on by `count` bytes and returns where they start; throws CodecError if there are fewer. */
  take(count: number): number {
    const start = this.offset;
    if (count > this.end - start) throw new CodecError("", `${this.end - start} bytes left, ${count} needed`);
    this.offset = start + count;
    return start;
  }

  /** Copies the bytes from `start` to `end`: the buffer below is used again for the next message. */
  copy(start: number, end: number): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.bytes.subarray(start, end));
  }

  /**
   * Calls `visit` for each attribute up to the end, with the reader narrowed to its payload. Throws CodecError for
   * a length that can't be.
   */
  eachAttribute(visit: (type: number) => void): void {
    const end = this.end;
    while (this.offset < end) {
      const start = this.take(ATTRIBUTE_HEADER_BYTES);
      const length = this.view.getUint16(start, true);
      const type = this.view.getUint16(start + 2, true) & TYPE_MASK;
      if (length < ATTRIBUTE_HEADER_BYTES || start + length > end) {
        throw new CodecError(`attribute ${type}`, `length ${length} with ${end - start} bytes left`);
      }
      this.end = start + length;
      visit(type);
      this.end = end;
      this.offset = Math.min(start + aligned(length), end);
    }
  }

  /** Reads all that is left with `codec`; throws CodecError, naming `name`, if bytes are missing or left over. */
  whole<T>(name: string, codec: Codec<T>): T {
    const start = this.offset;
    let value: T;
    try {
      value = codec.decode(this);
    } catch (error) {
      throw named(name, error);
    }
    if (this.offset === this.end) return value;
    throw new CodecError(name, `${this.end - start} bytes, expected ${this.offset - start}`);
  }
}

/** Writes and reads values of one type. */
export interface Codec<T> {
  /** Bits that are added to the type of an attribute that holds this (NLA_F_NESTED). */
  readonly typeFlags?: number;
  encode(writer: Writer, value: T): void;
  decode(reader: Reader): T;
}

/** The type of value that a codec writes and reads. */
export type ValueOf<C> = C extends Codec<infer T> ? T : never;

/** True if both are the same bytes. */
export function sameBytes(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, index) => byte === other[index]);
}
