/**
 * Bit-fields: members of structs that have some bits of an integer.
 *
 * @module
 */

import { misfit } from "./_misfit.ts";
import { Codec } from "./codec.ts";
import { IntegerCodec } from "./integers.ts";
import { isTrusted, trust } from "./trust.ts";

type View = DataView<ArrayBuffer>;

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

/** A bit-field in its place: it reads and writes the bytes that hold its bits, and leaves other bits as they are. */
export class BitfieldCodec<T> extends Codec<T> {
  readonly #base: Codec<T>;
  readonly #width: bigint;
  readonly #shift: bigint;
  readonly #signed: boolean;
  /** Where the base reads and writes the bits as a value of their own. */
  readonly #scratch: View;

  /**
   * Puts a bit-field in its place.
   *
   * @param member The bit-field.
   * @param bit Its first bit, counted from the lowest of its first byte: 0 to 7. Big-endian machines count from the
   * highest.
   */
  constructor({ base, width }: BitfieldMember<T>, bit: number) {
    super(`${base.name} : ${width}`, Math.ceil((bit + width) / 8), 1);
    this.#base = base;
    this.#width = BigInt(width);
    this.#shift = BigInt(LITTLE_ENDIAN ? bit : 8 * this.size - bit - width);
    this.#signed = base instanceof IntegerCodec && base.signed;
    this.#scratch = new DataView(new ArrayBuffer(base.size));
    if (isTrusted(base)) trust(this);
  }

  decode(view: View, offset: number): T {
    const raw = BigInt.asUintN(Number(this.#width), load(view, offset, this.size) >> this.#shift);
    store(this.#scratch, 0, this.#base.size, this.#signed ? BigInt.asIntN(Number(this.#width), raw) : raw);
    return this.#base.decode(this.#scratch, 0);
  }

  encode(view: View, offset: number, value: T): void {
    this.#base.encode(this.#scratch, 0, value);
    const whole = load(this.#scratch, 0, this.#base.size);
    const raw = BigInt.asUintN(Number(this.#width), whole);
    const back = this.#signed ? BigInt.asIntN(Number(this.#width), raw) : raw;
    if (BigInt.asUintN(8 * this.#base.size, back) !== whole) {
      misfit(this.name, `${String(value)} does not fit ${this.#width} bits`);
    }
    const mask = ((1n << this.#width) - 1n) << this.#shift;
    store(view, offset, this.size, load(view, offset, this.size) & ~mask | raw << this.#shift);
  }
}

/** The bytes as one integer in the machine's order. */
function load(view: View, offset: number, size: number): bigint {
  let value = 0n;
  for (let index = 0; index < size; index++) {
    value = value << 8n | BigInt(view.getUint8(offset + (LITTLE_ENDIAN ? size - 1 - index : index)));
  }
  return value;
}

function store(view: View, offset: number, size: number, value: bigint): void {
  for (let index = 0; index < size; index++) {
    const place = offset + (LITTLE_ENDIAN ? index : size - 1 - index);
    view.setUint8(place, Number(BigInt.asUintN(8, value >> BigInt(8 * index))));
  }
}
