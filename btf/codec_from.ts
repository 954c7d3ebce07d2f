/**
 * Codecs from BTF: the values of any type as JavaScript values.
 *
 * @module
 */

import {
  array,
  BitfieldCodec,
  bool,
  bytes,
  type Codec,
  cstr,
  enumOf,
  f32,
  f64,
  i128be,
  i128le,
  i16be,
  i16le,
  i32be,
  i32le,
  i64be,
  i64le,
  i8,
  type IntegerCodec,
  structAt,
  type StructMember,
  u128be,
  u128le,
  u16be,
  u16le,
  u32be,
  u32le,
  u64be,
  u64le,
  u8,
  union,
} from "../codec.ts";
import { checkValues } from "./_counts.ts";
import { flatMembers, isChar } from "./_flatten.ts";
import { FloatOf } from "./_float.ts";
import { LITTLE_ENDIAN_HOST } from "./_layout.ts";
import type { Btf } from "./btf.ts";
import type { BtfEnum, BtfEnum64 } from "./types.ts";

type AnyInteger = IntegerCodec<number> | IntegerCodec<bigint>;

/** Integers by their bytes: unsigned and signed, little-endian and big-endian. */
const INTEGERS: Readonly<Record<number, readonly [le: AnyInteger, sle: AnyInteger, be: AnyInteger, sbe: AnyInteger]>> =
  {
    1: [u8, i8, u8, i8],
    2: [u16le, i16le, u16be, i16be],
    4: [u32le, i32le, u32be, i32be],
    8: [u64le, i64le, u64be, i64be],
    16: [u128le, i128le, u128be, i128be],
  };

/** Makes the codecs of a BTF's types, each once. */
class CodecMaker {
  readonly #btf: Btf;
  readonly #littleEndian: boolean;
  readonly #made = new Map<number, Codec<unknown>>();

  constructor(btf: Btf) {
    this.#btf = btf;
    this.#littleEndian = btf.byteOrder === "little";
  }

  make(id: number): Codec<unknown> {
    const actual = this.#btf.resolve(id);
    let made = this.#made.get(actual);
    if (made === undefined) {
      checkValues(this.#btf, actual);
      made = this.#of(actual);
      this.#made.set(actual, made);
    }
    return made;
  }

  #of(id: number): Codec<unknown> {
    const btf = this.#btf;
    const type = btf.type(id);
    switch (type.kind) {
      case "int":
        if (type.encoding === "bool") return this.#bool(type.size);
        return this.#integer(type.size, type.encoding === "signed");
      case "ptr":
        return this.#integer(8, false);
      case "enum":
      case "enum64":
        return this.#enum(type);
      case "float":
        return this.#float(type.size);
      case "array": {
        if (isChar(btf, type.typeId)) return cstr(type.nrElems);
        return array(this.make(type.typeId), type.nrElems);
      }
      case "var":
        return this.make(type.typeId);
      case "struct":
      case "union":
      case "datasec":
        return this.#composite(id, type.kind, type.name);
      default:
        throw new TypeError(`Cannot make a codec of ${type.kind} "${type.name}": it has no values`);
    }
  }

  #composite(id: number, kind: "struct" | "union" | "datasec", typeName: string): Codec<unknown> {
    const btf = this.#btf;
    const members: StructMember[] = [];
    for (const { name, typeId, bitsOffset, bitfieldSize, group } of flatMembers(btf, id)) {
      const made = this.make(typeId);
      const codec = bitfieldSize === 0 ? made : this.#bitfield(id, made, typeId, bitsOffset, bitfieldSize);
      members.push({ name, offset: Math.floor(bitsOffset / 8), codec, group });
    }
    const size = btf.sizeOf(id) ?? 0;
    const alignment = kind === "datasec" ? 1 : btf.alignOf(id) ?? 1;
    const name = typeName === "" ? kind : kind === "datasec" ? typeName : `${kind} ${typeName}`;
    // Members of an anonymous struct are not at the union's start, which only a struct can have.
    if (kind === "union" && btf.members(id).every((member) => member.name !== "")) {
      const byName = Object.fromEntries(members.map((member) => [member.name, member.codec]));
      return union(byName, { name, size, alignment });
    }
    return structAt({ name, size, alignment, members });
  }

  #bitfield(id: number, base: Codec<unknown>, typeId: number, bitsOffset: number, width: number): Codec<unknown> {
    const type = this.#btf.type(this.#btf.resolve(typeId));
    if (type.kind !== "int" && type.kind !== "enum" && type.kind !== "enum64" || width > 8 * type.size) {
      throw this.#btf.malformedType(id, `a bitfield of ${width} bits has type ${typeId}`);
    }
    const signed = type.kind === "int" ? type.encoding === "signed" : type.signed;
    return new BitfieldCodec({ base, width }, bitsOffset % 8, { littleEndian: this.#littleEndian, signed });
  }

  #integer(size: number, signed: boolean): AnyInteger {
    return INTEGERS[size][(this.#littleEndian ? 0 : 2) + (signed ? 1 : 0)];
  }

  #bool(size: number): Codec<unknown> {
    return size === 1 ? bool : this.#integer(size, false);
  }

  #float(size: number): Codec<unknown> {
    if (size !== 4 && size !== 8) return bytes(size);
    if (this.#littleEndian !== LITTLE_ENDIAN_HOST) return new FloatOf(size, this.#littleEndian);
    return size === 4 ? f32 : f64;
  }

  #enum({ name, size, signed, values }: BtfEnum | BtfEnum64): Codec<unknown> {
    const base = this.#integer(size, signed);
    if (values.length === 0) return base;
    const codecName = name === "" ? "enum" : `enum ${name}`;
    const wide = (val: number | bigint): bigint => {
      return signed ? BigInt.asIntN(8 * size, BigInt(val)) : BigInt.asUintN(8 * size, BigInt(val));
    };
    // Values that do not fit in its bytes cannot be met.
    const entries = values.filter(({ val }) => wide(val) === BigInt(val)).map((value) => [value.name, wide(value.val)]);
    if (size === 8) return enumOf<string, bigint>(Object.fromEntries(entries), base as IntegerCodec<bigint>, codecName);
    const numbers = Object.fromEntries(entries.map(([key, val]) => [key, Number(val)]));
    return enumOf<string, number>(numbers, base as IntegerCodec<number>, codecName);
  }
}

const makers = new WeakMap<Btf, CodecMaker>();

/**
 * Makes the codec of a type, for map keys and values, and records of event buffers.
 *
 * | C                                     | JavaScript                                                             |
 * | ------------------------------------- | ---------------------------------------------------------------------- |
 * | integers up to 32 bits, `float`, `double` | number                                                             |
 * | larger integers, pointers             | bigint                                                                 |
 * | `_Bool`                               | boolean                                                                |
 * | `char[n]`                             | string, up to its NUL                                                  |
 * | enums                                 | the name of the value; a number or bigint where it has none            |
 * | arrays                                | array                                                                  |
 * | structs                               | object; members of anonymous structs and unions are among its fields   |
 * | unions                                | object with each member; written, it has one of them                   |
 *
 * Of the members of an anonymous union, one has to be given when a value is written; where more are, they have to agree.
 *
 * @typeParam T The JavaScript value: what the type looks like is known to the caller only.
 * @param btf The types.
 * @param id The type's id.
 * @returns The codec, made once a type.
 * @throws {TypeError} If the type has no values: void, functions, declarations.
 * @throws {RangeError} If there is no type of the id.
 * @throws {SyntaxError} If it makes no sense: members outside of their struct, types that hold each other.
 * @example
 * ```ts
 * import { Btf, BtfBuilder, codecFrom } from "@bpf/deno/btf";
 *
 * const builder = new BtfBuilder();
 * const u32 = builder.int("unsigned int", 4);
 * const id = builder.struct("hits", 4, [{ name: "count", typeId: u32, bitsOffset: 0 }]);
 * const codec = codecFrom<{ count: number }>(Btf.parse(builder.bytes()), id);
 * console.log(codec.decode(new DataView(new Uint8Array([7, 0, 0, 0]).buffer), 0)); // { count: 7 }
 * ```
 */
export function codecFrom<T = unknown>(btf: Btf, id: number): Codec<T> {
  let maker = makers.get(btf);
  if (maker === undefined) makers.set(btf, maker = new CodecMaker(btf));
  return maker.make(id) as Codec<T>;
}
