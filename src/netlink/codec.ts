// Wire formats as values. A codec writes and reads one kind of thing; small codecs are put together into structs
// and attribute tables, and the TypeScript type is inferred from the table. So a message layout is declared once,
// and encoding, decoding and types can't disagree. Byte order is in the codec's name, never a flag.
import { aligned, type Codec, CodecError, named, type ValueOf } from "./buffer.ts";

const NESTED = 0x8000; // NLA_F_NESTED

const textEncoder = new TextEncoder();
const textDecoder = new TextDecoder();

function unfit(value: unknown, format: string): CodecError {
  return new CodecError("", `${String(value)} is not ${format}`);
}

/** An unsigned byte. */
export const u8: Codec<number> = {
  encode(writer, value) {
    if ((value & 0xff) !== value) throw unfit(value, "an unsigned 8-bit number");
    const at = writer.advance(1);
    writer.bytes[at] = value;
  },
  decode: (reader) => reader.view.getUint8(reader.take(1)),
};

function number16(littleEndian: boolean): Codec<number> {
  return {
    encode(writer, value) {
      if ((value & 0xffff) !== value) throw unfit(value, "an unsigned 16-bit number");
      const at = writer.advance(2);
      writer.view.setUint16(at, value, littleEndian);
    },
    decode: (reader) => reader.view.getUint16(reader.take(2), littleEndian),
  };
}

function number32(littleEndian: boolean): Codec<number> {
  return {
    encode(writer, value) {
      if (value >>> 0 !== value) throw unfit(value, "an unsigned 32-bit number");
      const at = writer.advance(4);
      writer.view.setUint32(at, value, littleEndian);
    },
    decode: (reader) => reader.view.getUint32(reader.take(4), littleEndian),
  };
}

function signed32(littleEndian: boolean): Codec<number> {
  return {
    encode(writer, value) {
      if ((value | 0) !== value) throw unfit(value, "a signed 32-bit number");
      const at = writer.advance(4);
      writer.view.setInt32(at, value, littleEndian);
    },
    decode: (reader) => reader.view.getInt32(reader.take(4), littleEndian),
  };
}

function number64(littleEndian: boolean): Codec<bigint> {
  return {
    encode(writer, value) {
      if (BigInt.asUintN(64, value) !== value) throw unfit(value, "an unsigned 64-bit number");
      const at = writer.advance(8);
      writer.view.setBigUint64(at, value, littleEndian);
    },
    decode: (reader) => reader.view.getBigUint64(reader.take(8), littleEndian),
  };
}

// Host order is little endian: Warren is built for x86_64 and arm64 only.
/** 16 bits, host order. */
export const u16 = number16(true);
/** 32 bits, host order. */
export const u32 = number32(true);
/** 64 bits, host order. */
export const u64 = number64(true);
/** 32 bits, signed, host order. */
export const i32 = signed32(true);
/** 16 bits, network order. */
export const be16 = number16(false);
/** 32 bits, network order. */
export const be32 = number32(false);
/** 32 bits, signed, network order (nf_tables priorities and verdict codes). */
export const be32Signed = signed32(false);
/** 64 bits, network order. */
export const be64 = number64(false);

function textCodec(terminator: 0 | 1): Codec<string> {
  return {
    encode(writer, value) {
      const length = value.length;
      const start = writer.advance(length + terminator);
      for (let index = 0; index < length; index++) {
        const unit = value.charCodeAt(index);
        if (unit === 0) throw unfit(JSON.stringify(value), "text without NUL");
        if (unit > 0x7f) {
          writer.offset = start;
          const encoded = textEncoder.encode(value);
          if (encoded.includes(0)) throw unfit(JSON.stringify(value), "text without NUL");
          const restart = writer.advance(encoded.length + terminator);
          writer.bytes.set(encoded, restart);
          break;
        }
        writer.bytes[start + index] = unit;
      }
      if (terminator === 1) writer.bytes[writer.offset - 1] = 0;
    },
    decode(reader) {
      const start = reader.take(reader.left);
      let end = start;
      while (end < reader.end && reader.bytes[end] !== 0) end++;
      return textDecoder.decode(reader.bytes.subarray(start, end));
    },
  };
}

/** UTF-8 text with a NUL at its end; text that contains NUL is refused, because the kernel would cut it there. */
export const text = textCodec(1);

/** UTF-8 text without the NUL, for attributes whose length limit counts it (IFLA_IFALIAS) or that go without it. */
export const bareText = textCodec(0);

/** Bytes as they are; reads all that is left. */
export const bytes: Codec<Uint8Array> = {
  encode(writer, value) {
    const at = writer.advance(value.length);
    writer.bytes.set(value, at);
  },
  decode(reader) {
    const start = reader.take(reader.left);
    return reader.copy(start, reader.end);
  },
};

/** Exactly so many bytes. What doesn't fit is told by its length only, because it may be a secret. */
export function exactBytes(count: number): Codec<Uint8Array> {
  return {
    encode(writer, value) {
      if (value.length !== count) throw new CodecError("", `${value.length} bytes, expected ${count}`);
      bytes.encode(writer, value);
    },
    decode(reader) {
      const start = reader.take(count);
      return reader.copy(start, start + count);
    },
  };
}

/** Zero bytes in a struct, which take no place in its value. */
export function padding(count: number): Codec<undefined> {
  return {
    encode(writer) {
      const at = writer.advance(count);
      writer.bytes.fill(0, at, at + count);
    },
    decode(reader) {
      reader.take(count);
      return undefined;
    },
  };
}

type Fields = Readonly<Record<string, Codec<unknown>>>;

/** The value of a struct: one property a field, without padding. */
export type Struct<Table extends Fields> = {
  readonly [Name in keyof Table as ValueOf<Table[Name]> extends undefined ? never : Name]: ValueOf<
    Table[Name]
  >;
};

/** A C struct: fields in the order in which they are declared. */
export function struct<const Table extends Fields>(table: Table): Codec<Struct<Table>> {
  const fields = Object.entries(table);
  return {
    encode(writer, value) {
      const values: Readonly<Record<string, unknown>> = value;
      for (const [name, codec] of fields) {
        try {
          codec.encode(writer, values[name]);
        } catch (error) {
          throw named(name, error);
        }
      }
    },
    decode(reader) {
      const values: Record<string, unknown> = {};
      for (const [name, codec] of fields) {
        try {
          const value = codec.decode(reader);
          if (value !== undefined) values[name] = value;
        } catch (error) {
          throw named(name, error);
        }
      }
      return values as Struct<Table>;
    },
  };
}

/** An attribute that a table doesn't know, kept as it came. */
export interface UnknownAttribute {
  readonly type: number;
  readonly bytes: Uint8Array;
}

type AttributeTable = Readonly<Record<string, readonly [type: number, codec: Codec<unknown>]>>;

/** The value of an attribute table: every attribute may be missing. */
export type Attributes<Table extends AttributeTable> = {
  readonly [Name in keyof Table]?: ValueOf<Table[Name][1]> | undefined;
} & { readonly unknown?: readonly UnknownAttribute[] | undefined };

/**
 * A set of attributes by name, such as `attributes({ mtu: [4, u32] })`. They are written in the order of the
 * value's properties; `undefined` is left out, 0 is sent. Attributes that the table doesn't know are kept under
 * `unknown`, and only if there are any. As an attribute's payload it goes without NLA_F_NESTED, as iproute2
 * writes most of rtnetlink; `nested` adds it.
 */
export function attributes<const Table extends AttributeTable>(table: Table): Codec<Attributes<Table>> {
  // Made on the first decode only: most tables of a process are never read.
  let byType: (readonly [name: string, codec: Codec<unknown>] | undefined)[] | undefined;
  function entryOf(type: number): readonly [name: string, codec: Codec<unknown>] | undefined {
    if (byType === undefined) {
      byType = [];
      for (const name in table) {
        const entry = table[name];
        if (entry !== undefined) byType[entry[0]] = [name, entry[1]];
      }
    }
    return byType[type];
  }
  return {
    encode(writer, value) {
      const values: Readonly<Record<string, unknown>> = value;
      for (const name in values) {
        const content = values[name];
        if (content === undefined || name === "unknown") continue;
        const entry = table[name];
        if (entry === undefined) throw new CodecError(name, "no such attribute");
        writer.attribute(name, entry[0], entry[1], content);
      }
      for (const other of value.unknown ?? []) {
        writer.attribute(`attribute ${other.type}`, other.type, bytes, other.bytes);
      }
    },
    decode(reader) {
      const values: Record<string, unknown> = {};
      let unknown: UnknownAttribute[] | undefined;
      reader.eachAttribute((type) => {
        const entry = entryOf(type);
        if (entry !== undefined) values[entry[0]] = reader.whole(entry[0], entry[1]);
        else if (reader.keepUnknown) {
          unknown ??= [];
          unknown.push({ type, bytes: bytes.decode(reader) });
        }
      });
      if (unknown !== undefined) values.unknown = unknown;
      return values as Attributes<Table>;
    },
  };
}

/** The same codec, but an attribute that holds it carries NLA_F_NESTED. */
export function nested<T>(codec: Codec<T>): Codec<T> {
  return { ...codec, typeFlags: NESTED };
}

/**
 * The same codec, made when it is first used. For large tables that most processes never use: each attribute in one costs
 * every start a microsecond and 300 bytes.
 */
export function later<T>(make: () => Codec<T>): Codec<T> {
  let made: Codec<T> | undefined;
  const codec = () => {
    made ??= make();
    return made;
  };
  return {
    encode: (writer, value) => codec().encode(writer, value),
    decode: (reader) => codec().decode(reader),
  };
}

/** Values in a nest, one attribute each. All are written with `type`; any type is read. */
export function list<T>(codec: Codec<T>, type = 1): Codec<readonly T[]> {
  return {
    encode(writer, values) {
      let index = 0;
      for (const value of values) writer.attribute(`${index++}`, type, codec, value);
    },
    decode(reader) {
      const values: T[] = [];
      reader.eachAttribute(() => {
        values.push(reader.whole(`${values.length}`, codec));
      });
      return values;
    },
  };
}

/** A fixed header with attributes after it: the body of most messages. */
export interface Headed<Header, Rest> {
  readonly header: Header;
  readonly attributes: Rest;
}

/** A struct followed by attributes, such as ifinfomsg with its IFLA_*. */
export function headed<Header, Rest>(header: Codec<Header>, rest: Codec<Rest>): Codec<Headed<Header, Rest>> {
  return {
    encode(writer, value) {
      header.encode(writer, value.header);
      writer.align();
      rest.encode(writer, value.attributes);
    },
    decode(reader) {
      const start = header.decode(reader);
      reader.offset = Math.min(aligned(reader.offset), reader.end);
      return { header: start, attributes: rest.decode(reader) };
    },
  };
}

type Kinds = Readonly<Record<string, Codec<unknown>>>;

/** One of several kinds with the data of that kind; `other` is a kind that the table doesn't know. */
export type Choice<Table extends Kinds> =
  | {
      readonly [Kind in keyof Table & string]: {
        readonly kind: Kind;
        readonly data?: ValueOf<Table[Kind]> | undefined;
      };
    }[keyof Table & string]
  | { readonly kind: "other"; readonly name: string; readonly data?: Uint8Array | undefined };

/**
 * Two attributes of which the first names a kind and the second holds what that kind needs: link kinds, nf_tables
 * expressions. Other attributes beside them are passed over. Reads undefined when no kind is named.
 */
export function choice<const Table extends Kinds>(
  kindName: readonly [type: number, codec: Codec<string>],
  dataType: number,
  table: Table,
): Codec<Choice<Table> | undefined> {
  const kinds: Kinds = table;
  return {
    encode(writer, value) {
      if (value === undefined) return;
      const { kind, data, name }: { kind: string; data?: unknown; name?: string } = value;
      const codec = kind === "other" ? bytes : kinds[kind];
      if (codec === undefined) throw new CodecError("kind", `no such kind: ${kind}`);
      writer.attribute("kind", kindName[0], kindName[1], name ?? kind);
      if (data !== undefined) writer.attribute("data", dataType, codec, data);
    },
    decode(reader) {
      let name: string | undefined;
      let dataStart = -1;
      let dataEnd = -1;
      reader.eachAttribute((type) => {
        if (type === kindName[0]) name = kindName[1].decode(reader);
        else if (type === dataType) {
          dataStart = reader.offset;
          dataEnd = reader.end;
        }
      });
      if (name === undefined) return undefined;
      const codec = Object.hasOwn(kinds, name) ? kinds[name] : undefined;
      const chosen: { kind: string; name?: string; data?: unknown } =
        codec === undefined ? { kind: "other", name } : { kind: name };
      if (dataStart >= 0) {
        // The kind may stand behind its data, so the data is read last.
        const after = reader.offset;
        const end = reader.end;
        reader.offset = dataStart;
        reader.end = dataEnd;
        chosen.data = reader.whole(name, codec ?? bytes);
        reader.offset = after;
        reader.end = end;
      }
      return chosen as Choice<Table>;
    },
  };
}
