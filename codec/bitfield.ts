/**
 * Bit-fields: members of structs that have some bits of an integer.
 *
 * @module
 */

import { misfit } from "./_misfit.ts";
import { Codec } from "./codec.ts";
import { IntegerCodec } from "./integers.ts";
import { isTrusted, trust } from "./trust.ts";

const LITTLE_ENDIAN: boolean = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** A bit-field that has no place yet: `struct()` gives it one. */
export interface BitfieldMember<T> {
  /** The type that C declares it with. */
  readonly base: Codec<T>;
  /** Its bits. */
  readonly width: number;
}

/**
 * A bit-field of a struct. C name: `T name : width`.
 *
 * @typeParam T The JavaScript value.
 * @param base The type that C declares it with: an integer of the machine's byte order, an enum or `bool`.
 * @param width Its bits.
 * @returns A field for `struct()`.
 * @throws {RangeError} For more bits than the type has.
 */
export function bits<T>(base: Codec<T>, width: number): BitfieldMember<T> {
  if (!Number.isInteger(width) || width < 1 || width > 8 * base.size) {
    throw new RangeError(`Cannot make a bit-field of ${base.name}: ${width} bits are not from 1 to ${8 * base.size}`);
  }
  return { base, width };
}

/** What {@linkcode BitfieldCodec} cannot tell from the type that a bit-field is declared with. */
export interface BitfieldOptions {
  /** Whether the first byte is the lowest. By default, as the machine has it. */
  readonly littleEndian?: boolean | undefined;
  /** Whether there are values below zero. By default, where the type is an integer or enum that has them. */
  readonly signed?: boolean | undefined;
}

/** A bit-field in its place: it reads and writes the bytes that hold its bits, and leaves other bits as they are. */
export class BitfieldCodec<T> extends Codec<T> {
  readonly #base: Codec<T>;
  readonly #width: bigint;
  readonly #shift: bigint;
  readonly #signed: boolean;
  readonly #littleEndian: boolean;
  /** Where the base reads and writes the bits as a value of their own. */
  readonly #scratch: DataView<ArrayBuffer>;

  /**
   * Puts a bit-field in its place.
   *
   * @param member The bit-field.
   * @param bit Its first bit, counted from the lowest of its first byte: 0 to 7. Big-endian machines count from the
   * highest.
   * @param options What the type that it is declared with does not tell.
   * @throws {TypeError} For an integer of the other byte order.
   */
  constructor({ base, width }: BitfieldMember<T>, bit: number, options: BitfieldOptions = {}) {
    super(`${base.name} : ${width}`, Math.ceil((bit + width) / 8), 1);
    this.#base = base;
    this.#width = BigInt(width);
    this.#littleEndian = options.littleEndian ?? LITTLE_ENDIAN;
    if (base instanceof IntegerCodec && base.bits > 8 && base.littleEndian !== this.#littleEndian) {
      const order = this.#littleEndian ? "little" : "big";
      throw new TypeError(`Cannot make a bit-field of ${base.name}: its bytes are to be in ${order}-endian order`);
    }
    this.#shift = BigInt(this.#littleEndian ? bit : 8 * this.size - bit - width);
    this.#signed = options.signed ?? ("signed" in base && base.signed === true);
    this.#scratch = new DataView(new ArrayBuffer(base.size));
    // A class of somebody's own that extends this one may decode otherwise.
    if (new.target === BitfieldCodec && isTrusted(base)) trust(this);
  }

  /**
   * Reads the bits as a value of their type.
   *
   * @param view The memory.
   * @param offset The byte that has the first bit.
   * @returns The value.
   */
  decode(view: DataView<ArrayBuffer>, offset: number): T {
    const whole = load(view, offset, this.size, this.#littleEndian);
    const raw = BigInt.asUintN(Number(this.#width), whole >> this.#shift);
    const told = this.#signed ? BigInt.asIntN(Number(this.#width), raw) : raw;
    store(this.#scratch, 0, this.#base.size, told, this.#littleEndian);
    return this.#base.decode(this.#scratch, 0);
  }

  /**
   * Writes the bits, and leaves the others of their bytes as they are.
   *
   * @param view The memory.
   * @param offset The byte that has the first bit.
   * @param value The value.
   * @throws {RangeError} Where the value does not fit the bits.
   */
  encode(view: DataView<ArrayBuffer>, offset: number, value: T): void {
    this.#base.encode(this.#scratch, 0, value);
    const whole = load(this.#scratch, 0, this.#base.size, this.#littleEndian);
    const raw = BigInt.asUintN(Number(this.#width), whole);
    const back = this.#signed ? BigInt.asIntN(Number(this.#width), raw) : raw;
    if (BigInt.asUintN(8 * this.#base.size, back) !== whole) {
      misfit(this.name, `${String(value)} does not fit ${this.#width} bits`);
    }
    const mask = ((1n << this.#width) - 1n) << this.#shift;
    const kept = load(view, offset, this.size, this.#littleEndian) & ~mask;
    store(view, offset, this.size, kept | raw << this.#shift, this.#littleEndian);
  }
}

/** The bytes as one integer. */
function load(view: DataView<ArrayBuffer>, offset: number, size: number, littleEndian: boolean): bigint {
  let value = 0n;
  for (let index = 0; index < size; index++) {
    value = value << 8n | BigInt(view.getUint8(offset + (littleEndian ? size - 1 - index : index)));
  }
  return value;
}

function store(view: DataView<ArrayBuffer>, offset: number, size: number, value: bigint, littleEndian: boolean): void {
  for (let index = 0; index < size; index++) {
    const place = offset + (littleEndian ? index : size - 1 - index);
    view.setUint8(place, Number(BigInt.asUintN(8, value >> BigInt(8 * index))));
  }
}
