/**
 * A struct of the kernel's API, written and read by field name.
 *
 * @module
 */

import { structLayouts } from "../uapi/structs.gen.ts";
import { fdNumber, type FdSource } from "./fd.ts";
import type { Bytes } from "./kernel.ts";
import { addressOf, allocate, cString, LITTLE_ENDIAN } from "./memory.ts";

/** Where a field is, as the generated layouts say. */
export interface Field {
  /** Its first byte. */
  readonly offset: number;
  /** Its bytes. */
  readonly size: number;
  /** Its type: "u32", "s32", "u64", "char", … */
  readonly kind: string;
  /** The first bit, of a bit field. */
  readonly bit?: number;
}

/** A field and what it holds. */
export interface FieldValue {
  /** Its name. */
  readonly name: string;
  /** Its value: an integer, or the bytes of an array. */
  readonly value: number | bigint | Bytes;
  /** The buffer that it points at, where it is a pointer that was set. */
  readonly buffer: Bytes | undefined;
}

/** The name of a struct in the generated layouts. */
export type StructName = keyof typeof structLayouts;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/**
 * A struct's bytes: zeroed, written and read by field name. Buffers enter it only through {@link StructBuffer.pointer},
 * so that they stay alive as long as it does.
 *
 * @typeParam F The names of its fields.
 */
export class StructBuffer<F extends string> {
  /** The struct's bytes. */
  readonly bytes: Bytes;
  readonly #name: string;
  readonly #view: DataView;
  readonly #fields: Readonly<Record<string, Field>>;
  /** What the pointers point at, by field, and what those buffers point at. */
  // Made when they are needed: most structs have neither pointers nor a listener that asks what was written.
  #buffers: Map<string, Bytes> | undefined;
  #kept: Bytes[] | undefined;
  #written: string[] | undefined;

  /**
   * Makes a struct whose fields are all zero.
   *
   * @param name The struct's name, for messages.
   * @param layout Its size and fields.
   */
  constructor(name: string, layout: { readonly size: number; readonly fields: Readonly<Record<string, Field>> }) {
    this.#name = name;
    this.bytes = allocate(layout.size);
    this.#view = new DataView(this.bytes.buffer);
    this.#fields = layout.fields;
  }

  /** The names of the fields that were written with something else than zero. */
  get written(): Iterable<string> {
    return this.#written ?? [];
  }

  /** Every field in the order of the layout: its name, its value, and what it points at. */
  *entries(): Generator<FieldValue> {
    for (const [name, { offset, size, kind }] of Object.entries(this.#fields)) {
      const value = kind === "u64"
        ? this.#view.getBigUint64(offset, LITTLE_ENDIAN)
        : kind === "s32"
        ? this.#view.getInt32(offset, LITTLE_ENDIAN)
        : kind === "u32"
        ? this.#view.getUint32(offset, LITTLE_ENDIAN)
        : this.bytes.subarray(offset, offset + size);
      yield { name, value, buffer: this.#buffers?.get(name) };
    }
  }

  /**
   * Where a field starts.
   *
   * @param field Its name.
   * @returns Its offset in {@link StructBuffer.bytes}.
   */
  offset(field: F): number {
    return this.#field(field).offset;
  }

  /**
   * Writes an unsigned 32-bit field.
   *
   * @param field Its name.
   * @param value An integer from 0 to 2³² − 1.
   * @returns This struct.
   * @throws {RangeError} Where the value does not fit.
   */
  u32(field: F, value: number): this {
    if (!Number.isInteger(value) || value < 0 || value > 0xffffffff) {
      throw new RangeError(`Cannot set ${field}: ${value} is not an integer from 0 to 4294967295`);
    }
    this.#view.setUint32(this.#write(field, value !== 0).offset, value, LITTLE_ENDIAN);
    return this;
  }

  /**
   * Writes a signed 32-bit field.
   *
   * @param field Its name.
   * @param value An integer from −2³¹ to 2³¹ − 1.
   * @returns This struct.
   * @throws {RangeError} Where the value does not fit.
   */
  s32(field: F, value: number): this {
    if (!Number.isInteger(value) || value < -0x80000000 || value > 0x7fffffff) {
      throw new RangeError(`Cannot set ${field}: ${value} is not an integer from -2147483648 to 2147483647`);
    }
    this.#view.setInt32(this.#write(field, value !== 0).offset, value, LITTLE_ENDIAN);
    return this;
  }

  /**
   * Writes an unsigned 64-bit field.
   *
   * @param field Its name.
   * @param value An integer from 0 to 2⁶⁴ − 1; as a number, a safe one.
   * @returns This struct.
   * @throws {RangeError} Where the value does not fit.
   */
  u64(field: F, value: number | bigint): this {
    if (typeof value === "number" && !Number.isSafeInteger(value)) {
      throw new RangeError(`Cannot set ${field}: ${value} is not a safe integer; pass a bigint`);
    }
    const big = BigInt(value);
    if (big < 0n || big > 0xffff_ffff_ffff_ffffn) {
      throw new RangeError(`Cannot set ${field}: ${value} is not an integer from 0 to 18446744073709551615`);
    }
    this.#view.setBigUint64(this.#write(field, big !== 0n).offset, big, LITTLE_ENDIAN);
    return this;
  }

  /**
   * Sets a bit field of one bit.
   *
   * @param field Its name.
   * @returns This struct.
   */
  bit(field: F): this {
    const { offset, bit = 0 } = this.#write(field, true);
    const before = this.#view.getBigUint64(offset, LITTLE_ENDIAN);
    this.#view.setBigUint64(offset, before | 1n << BigInt(bit), LITTLE_ENDIAN);
    return this;
  }

  /**
   * Writes the number of a file descriptor that the caller keeps open over the call.
   *
   * @param field Its name.
   * @param source The descriptor.
   * @returns This struct.
   * @throws {TypeError} Where it is no descriptor, or a closed one.
   */
  fd(field: F, source: FdSource): this {
    return this.u32(field, fdNumber(source, field));
  }

  /**
   * Writes a fixed array of characters, NUL-terminated.
   *
   * @param field Its name.
   * @param text The text.
   * @returns This struct.
   * @throws {TypeError} Where the text contains NUL.
   * @throws {RangeError} Where the text's UTF-8 bytes and a NUL are more than the array holds.
   */
  chars(field: F, text: string): this {
    const { offset, size } = this.#field(field);
    const bytes = encoder.encode(text);
    if (text.includes("\0")) throw new TypeError(`Cannot set ${field}: it contains a NUL character`);
    if (bytes.length >= size) {
      throw new RangeError(`Cannot set ${field}: ${bytes.length} bytes are more than the limit of ${size - 1}`);
    }
    this.bytes.set(bytes, offset);
    return this;
  }

  /**
   * Writes a buffer's address, and keeps the buffer alive as long as the struct.
   *
   * @param field Its name.
   * @param bytes The buffer; an empty one is a null pointer.
   * @returns This struct.
   */
  pointer(field: F, bytes: Bytes): this {
    if (!(bytes instanceof Uint8Array)) throw new TypeError(`Cannot set ${field}: it is no Uint8Array`);
    (this.#buffers ??= new Map()).set(field, bytes);
    this.#view.setBigUint64(this.#write(field, bytes.length > 0).offset, addressOf(bytes), LITTLE_ENDIAN);
    return this;
  }

  /**
   * Writes the address of a NUL-terminated copy of a string.
   *
   * @param field Its name.
   * @param text The text.
   * @returns This struct.
   * @throws {TypeError} Where the text contains NUL.
   */
  string(field: F, text: string): this {
    return this.pointer(field, cString(text));
  }

  /**
   * Writes the address of an array of addresses of NUL-terminated copies of strings: C's `const char **`.
   *
   * @param field Its name.
   * @param texts The texts.
   * @returns This struct.
   * @throws {TypeError} Where a text contains NUL.
   */
  strings(field: F, texts: readonly string[]): this {
    const addresses = allocate(8 * texts.length);
    const view = new DataView(addresses.buffer);
    texts.forEach((text, index) => {
      const bytes = cString(text);
      (this.#kept ??= []).push(bytes);
      view.setBigUint64(8 * index, addressOf(bytes), LITTLE_ENDIAN);
    });
    return this.pointer(field, addresses);
  }

  /**
   * Writes the address of an array of integers.
   *
   * @param field Its name.
   * @param values The integers.
   * @param size 4 or 8: the bytes of each.
   * @returns This struct.
   * @throws {RangeError} Where an integer does not fit.
   */
  integers(field: F, values: readonly (number | bigint)[], size: 4 | 8): this {
    const bytes = allocate(size * values.length);
    const view = new DataView(bytes.buffer);
    values.forEach((value, index) => {
      if (typeof value === "number" && !Number.isSafeInteger(value)) {
        throw new RangeError(`Cannot set ${field}: element ${index}, ${value}, is not a safe integer`);
      }
      const big = BigInt(value);
      if (big < 0n || big >> BigInt(8 * size) !== 0n) {
        throw new RangeError(`Cannot set ${field}: element ${index}, ${value}, does not fit ${8 * size} bits`);
      }
      if (size === 8) view.setBigUint64(8 * index, big, LITTLE_ENDIAN);
      else view.setUint32(4 * index, Number(big), LITTLE_ENDIAN);
    });
    return this.pointer(field, bytes);
  }

  /**
   * Writes the address of an array of file descriptors that the caller keeps open over the call.
   *
   * @param field Its name.
   * @param sources The descriptors.
   * @returns This struct.
   * @throws {TypeError} Where one is no descriptor, or a closed one.
   */
  fds(field: F, sources: readonly FdSource[]): this {
    return this.integers(field, sources.map((source, index) => fdNumber(source, `${field}[${index}]`)), 4);
  }

  /**
   * Reads a fixed array of characters up to its NUL.
   *
   * @param field Its name.
   * @returns The text.
   */
  getChars(field: F): string {
    return textOf(this.getBytes(field));
  }

  /**
   * Whether a pointer was set.
   *
   * @param field Its name.
   * @returns True after {@link StructBuffer.pointer}.
   */
  has(field: F): boolean {
    return this.#buffers?.has(field) ?? false;
  }

  /**
   * Reads a field's bytes, or, where {@link StructBuffer.pointer} set it, those that it points at.
   *
   * @param field Its name.
   * @returns The bytes, not copied.
   */
  getBytes(field: F): Bytes {
    const { offset, size } = this.#field(field);
    return this.#buffers?.get(field) ?? this.bytes.subarray(offset, offset + size);
  }

  /**
   * Reads a 32-bit field, which the kernel may have written.
   *
   * @param field Its name.
   * @returns Its value, unsigned.
   */
  getU32(field: F): number {
    return this.#view.getUint32(this.#field(field).offset, LITTLE_ENDIAN);
  }

  /**
   * Reads a 64-bit field, which the kernel may have written.
   *
   * @param field Its name.
   * @returns Its value, unsigned.
   */
  getU64(field: F): bigint {
    return this.#view.getBigUint64(this.#field(field).offset, LITTLE_ENDIAN);
  }

  #write(name: string, something: boolean): Field {
    // A few names: a list costs less than a set, and is made once a struct that is used again and again.
    if (something && !(this.#written ??= []).includes(name)) this.#written.push(name);
    return this.#field(name);
  }

  #field(name: string): Field {
    const field = this.#fields[name];
    if (field === undefined) {
      throw new TypeError(`Cannot use field ${name}: ${this.#name} has none`);
    }
    return field;
  }
}

/**
 * The text in a buffer, up to its first NUL.
 *
 * @param bytes The buffer.
 * @returns The text.
 */
export function textOf(bytes: Bytes): string {
  const end = bytes.indexOf(0);
  return decoder.decode(end < 0 ? bytes : bytes.subarray(0, end));
}

/**
 * A struct of the generated layouts, zeroed.
 *
 * @param name Its C name.
 * @returns Its bytes, by field name.
 */
export function structBuffer<N extends StructName>(
  name: N,
): StructBuffer<keyof (typeof structLayouts)[N]["fields"] & string> {
  return new StructBuffer(`struct ${name}`, structLayouts[name]);
}
