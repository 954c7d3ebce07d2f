/**
 * Integers, floats and booleans. Those without `le` or `be` in their name have the machine's byte order, as what
 * programs write has.
 *
 * @module
 */

import { misfit, wrongType } from "./_misfit.ts";
import { Codec } from "./codec.ts";
import { trust } from "./trust.ts";

const LITTLE_ENDIAN: boolean = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

type View = DataView<ArrayBuffer>;

/** A codec of integers: what bit-fields and enums are made of. */
export abstract class IntegerCodec<T extends number | bigint> extends Codec<T> {
  /** Whether there are values below zero. */
  readonly signed: boolean;
  /** The bits of a value. */
  readonly bits: number;
  /** Whether the first byte is the lowest. */
  readonly littleEndian: boolean;

  /**
   * Makes a codec of integers.
   *
   * @param name The C type's name.
   * @param bits The bits of a value.
   * @param signed Whether there are values below zero.
   * @param littleEndian Whether the first byte is the lowest.
   */
  constructor(name: string, bits: number, signed: boolean, littleEndian: boolean) {
    super(name, bits / 8, bits / 8);
    this.signed = signed;
    this.bits = bits;
    this.littleEndian = littleEndian;
  }
}

/** Integers of up to 32 bits. */
abstract class SmallInteger extends IntegerCodec<number> {
  readonly #min: number;
  readonly #max: number;

  constructor(name: string, bits: number, signed: boolean, littleEndian: boolean) {
    super(name, bits, signed, littleEndian);
    this.#min = signed ? -(2 ** (bits - 1)) : 0;
    this.#max = signed ? 2 ** (bits - 1) - 1 : 2 ** bits - 1;
  }

  protected check(value: number): void {
    if (Number.isInteger(value) && value >= this.#min && value <= this.#max) return;
    if (typeof value !== "number") wrongType(this.name, value, "a number");
    misfit(this.name, `${value} is not an integer from ${this.#min} to ${this.#max}`);
  }
}

// One class a width, so that each has one shape of call inside, which V8 turns into a single load or store.

class Int8 extends SmallInteger {
  decode(view: View, offset: number): number {
    return view.getInt8(offset);
  }
  encode(view: View, offset: number, value: number): void {
    this.check(value);
    view.setInt8(offset, value);
  }
}

class Uint8 extends SmallInteger {
  decode(view: View, offset: number): number {
    return view.getUint8(offset);
  }
  encode(view: View, offset: number, value: number): void {
    this.check(value);
    view.setUint8(offset, value);
  }
}

class Int16 extends SmallInteger {
  decode(view: View, offset: number): number {
    return view.getInt16(offset, this.littleEndian);
  }
  encode(view: View, offset: number, value: number): void {
    this.check(value);
    view.setInt16(offset, value, this.littleEndian);
  }
}

class Uint16 extends SmallInteger {
  decode(view: View, offset: number): number {
    return view.getUint16(offset, this.littleEndian);
  }
  encode(view: View, offset: number, value: number): void {
    this.check(value);
    view.setUint16(offset, value, this.littleEndian);
  }
}

class Int32 extends SmallInteger {
  decode(view: View, offset: number): number {
    return view.getInt32(offset, this.littleEndian);
  }
  encode(view: View, offset: number, value: number): void {
    this.check(value);
    view.setInt32(offset, value, this.littleEndian);
  }
}

class Uint32 extends SmallInteger {
  decode(view: View, offset: number): number {
    return view.getUint32(offset, this.littleEndian);
  }
  encode(view: View, offset: number, value: number): void {
    this.check(value);
    view.setUint32(offset, value, this.littleEndian);
  }
}

/** Integers of 64 and 128 bits. */
abstract class BigInteger extends IntegerCodec<bigint> {
  readonly #min: bigint;
  readonly #max: bigint;

  constructor(name: string, bits: number, signed: boolean, littleEndian: boolean) {
    super(name, bits, signed, littleEndian);
    this.#min = signed ? -(1n << BigInt(bits - 1)) : 0n;
    this.#max = (1n << BigInt(signed ? bits - 1 : bits)) - 1n;
  }

  protected check(value: bigint): void {
    if (typeof value !== "bigint") wrongType(this.name, value, "a bigint");
    if (value < this.#min || value > this.#max) {
      misfit(this.name, `${value}n is not an integer from ${this.#min} to ${this.#max}`);
    }
  }
}

class Int64 extends BigInteger {
  decode(view: View, offset: number): bigint {
    return view.getBigInt64(offset, this.littleEndian);
  }
  encode(view: View, offset: number, value: bigint): void {
    this.check(value);
    view.setBigInt64(offset, value, this.littleEndian);
  }
}

class Uint64 extends BigInteger {
  decode(view: View, offset: number): bigint {
    return view.getBigUint64(offset, this.littleEndian);
  }
  encode(view: View, offset: number, value: bigint): void {
    this.check(value);
    view.setBigUint64(offset, value, this.littleEndian);
  }
}

class Integer128 extends BigInteger {
  decode(view: View, offset: number): bigint {
    const [low, high] = this.littleEndian ? [offset, offset + 8] : [offset + 8, offset];
    const top = this.signed ? view.getBigInt64(high, this.littleEndian) : view.getBigUint64(high, this.littleEndian);
    return top << 64n | view.getBigUint64(low, this.littleEndian);
  }
  encode(view: View, offset: number, value: bigint): void {
    this.check(value);
    const [low, high] = this.littleEndian ? [offset, offset + 8] : [offset + 8, offset];
    view.setBigUint64(low, BigInt.asUintN(64, value), this.littleEndian);
    view.setBigUint64(high, BigInt.asUintN(64, value >> 64n), this.littleEndian);
  }
}

class Float extends Codec<number> {
  decode(view: View, offset: number): number {
    return this.size === 4 ? view.getFloat32(offset, LITTLE_ENDIAN) : view.getFloat64(offset, LITTLE_ENDIAN);
  }
  encode(view: View, offset: number, value: number): void {
    if (typeof value !== "number") wrongType(this.name, value, "a number");
    if (this.size === 4) view.setFloat32(offset, value, LITTLE_ENDIAN);
    else view.setFloat64(offset, value, LITTLE_ENDIAN);
  }
}

class Bool extends Codec<boolean> {
  decode(view: View, offset: number): boolean {
    return view.getUint8(offset) !== 0;
  }
  encode(view: View, offset: number, value: boolean): void {
    if (typeof value !== "boolean") wrongType(this.name, value, "a boolean");
    view.setUint8(offset, value ? 1 : 0);
  }
}

/** An unsigned integer of 8 bits. C names: `__u8`, `unsigned char`. */
export const u8: IntegerCodec<number> = trust(new Uint8("u8", 8, false, LITTLE_ENDIAN));
/** A signed integer of 8 bits. C names: `__s8`, `signed char`. */
export const i8: IntegerCodec<number> = trust(new Int8("i8", 8, true, LITTLE_ENDIAN));
/** An unsigned integer of 16 bits. C names: `__u16`, `unsigned short`. */
export const u16: IntegerCodec<number> = trust(new Uint16("u16", 16, false, LITTLE_ENDIAN));
/** A signed integer of 16 bits. C names: `__s16`, `short`. */
export const i16: IntegerCodec<number> = trust(new Int16("i16", 16, true, LITTLE_ENDIAN));
/** An unsigned integer of 32 bits. C names: `__u32`, `unsigned int`. */
export const u32: IntegerCodec<number> = trust(new Uint32("u32", 32, false, LITTLE_ENDIAN));
/** A signed integer of 32 bits. C names: `__s32`, `int`. */
export const i32: IntegerCodec<number> = trust(new Int32("i32", 32, true, LITTLE_ENDIAN));
/** An unsigned integer of 64 bits, as a bigint. C names: `__u64`, `unsigned long`, a pointer. */
export const u64: IntegerCodec<bigint> = trust(new Uint64("u64", 64, false, LITTLE_ENDIAN));
/** A signed integer of 64 bits, as a bigint. C names: `__s64`, `long`. */
export const i64: IntegerCodec<bigint> = trust(new Int64("i64", 64, true, LITTLE_ENDIAN));
/** An unsigned integer of 128 bits, as a bigint. C name: `unsigned __int128`. */
export const u128: IntegerCodec<bigint> = trust(new Integer128("u128", 128, false, LITTLE_ENDIAN));
/** A signed integer of 128 bits, as a bigint. C name: `__int128`. */
export const i128: IntegerCodec<bigint> = trust(new Integer128("i128", 128, true, LITTLE_ENDIAN));

/** An unsigned little-endian integer of 16 bits. C name: `__le16`. */
export const u16le: IntegerCodec<number> = trust(new Uint16("u16le", 16, false, true));
/** A signed little-endian integer of 16 bits. */
export const i16le: IntegerCodec<number> = trust(new Int16("i16le", 16, true, true));
/** An unsigned little-endian integer of 32 bits. C name: `__le32`. */
export const u32le: IntegerCodec<number> = trust(new Uint32("u32le", 32, false, true));
/** A signed little-endian integer of 32 bits. */
export const i32le: IntegerCodec<number> = trust(new Int32("i32le", 32, true, true));
/** An unsigned little-endian integer of 64 bits, as a bigint. C name: `__le64`. */
export const u64le: IntegerCodec<bigint> = trust(new Uint64("u64le", 64, false, true));
/** A signed little-endian integer of 64 bits, as a bigint. */
export const i64le: IntegerCodec<bigint> = trust(new Int64("i64le", 64, true, true));
/** An unsigned little-endian integer of 128 bits, as a bigint. */
export const u128le: IntegerCodec<bigint> = trust(new Integer128("u128le", 128, false, true));
/** A signed little-endian integer of 128 bits, as a bigint. */
export const i128le: IntegerCodec<bigint> = trust(new Integer128("i128le", 128, true, true));

/** An unsigned big-endian integer of 16 bits. C name: `__be16`. */
export const u16be: IntegerCodec<number> = trust(new Uint16("u16be", 16, false, false));
/** A signed big-endian integer of 16 bits. */
export const i16be: IntegerCodec<number> = trust(new Int16("i16be", 16, true, false));
/** An unsigned big-endian integer of 32 bits. C name: `__be32`. */
export const u32be: IntegerCodec<number> = trust(new Uint32("u32be", 32, false, false));
/** A signed big-endian integer of 32 bits. */
export const i32be: IntegerCodec<number> = trust(new Int32("i32be", 32, true, false));
/** An unsigned big-endian integer of 64 bits, as a bigint. C name: `__be64`. */
export const u64be: IntegerCodec<bigint> = trust(new Uint64("u64be", 64, false, false));
/** A signed big-endian integer of 64 bits, as a bigint. */
export const i64be: IntegerCodec<bigint> = trust(new Int64("i64be", 64, true, false));
/** An unsigned big-endian integer of 128 bits, as a bigint. */
export const u128be: IntegerCodec<bigint> = trust(new Integer128("u128be", 128, false, false));
/** A signed big-endian integer of 128 bits, as a bigint. */
export const i128be: IntegerCodec<bigint> = trust(new Integer128("i128be", 128, true, false));

/** A float of 32 bits; values are rounded to it. C name: `float`. */
export const f32: Codec<number> = trust(new Float("f32", 4));
/** A float of 64 bits. C name: `double`. */
export const f64: Codec<number> = trust(new Float("f64", 8));
/** A boolean in one byte. C name: `bool`. */
export const bool: Codec<boolean> = trust(new Bool("bool", 1));
