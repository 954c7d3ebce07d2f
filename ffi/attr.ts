/**
 * `union bpf_attr`, written by field name.
 *
 * @module
 */

import { attrLayouts } from "../uapi/attr.gen.ts";
import { type CommandName, commands } from "../uapi/enums.gen.ts";
import { fdNumber, type FdSource } from "./fd.ts";
import { type Bytes, cString } from "./kernel.ts";
import { addressOf, allocate, LITTLE_ENDIAN } from "./memory.ts";

/** The names of the fields of a command's attr. */
export type AttrField<C extends CommandName> = keyof (typeof attrLayouts)[C]["fields"] & string;

interface Field {
  readonly offset: number;
  readonly size: number;
  readonly kind: string;
}

const encoder = new TextEncoder();

/**
 * The attr of one command: zeroed, as large as the command's last field needs, written and read by field name. Buffers
 * enter it only through {@link Attr.pointer}, so that they stay alive as long as the attr does.
 *
 * @typeParam C The command.
 */
export class Attr<C extends CommandName = CommandName> {
  /** The command that it is for. */
  readonly command: C;
  /** The bytes that bpf(2) takes. */
  readonly bytes: Bytes;
  readonly #view: DataView;
  readonly #fields: Readonly<Record<string, Field>>;
  /** What the pointers point at, by field. */
  readonly #buffers = new Map<string, Bytes>();

  /**
   * Makes an attr whose fields are all zero.
   *
   * @param command The command that it is for.
   */
  constructor(command: C) {
    const layout = attrLayouts[command];
    this.command = command;
    this.bytes = allocate(layout.size);
    this.#view = new DataView(this.bytes.buffer);
    this.#fields = layout.fields;
  }

  /** The command's number. */
  get number(): number {
    return commands[this.command];
  }

  /** The fields that hold something else than zero, in the order of their offsets. */
  *entries(): Generator<[field: string, value: number | bigint | Bytes]> {
    for (const [name, { offset, size, kind }] of Object.entries(this.#fields)) {
      const buffer = this.#buffers.get(name);
      const bytes = this.bytes.subarray(offset, offset + size);
      if (buffer !== undefined) yield [name, buffer];
      else if (bytes.every((byte) => byte === 0)) continue;
      else if (kind === "char") yield [name, bytes];
      else if (kind === "u64") yield [name, this.#view.getBigUint64(offset, LITTLE_ENDIAN)];
      else if (kind === "s32") yield [name, this.#view.getInt32(offset, LITTLE_ENDIAN)];
      else yield [name, this.#view.getUint32(offset, LITTLE_ENDIAN)];
    }
  }

  /**
   * Where a field starts.
   *
   * @param field Its name.
   * @returns Its offset in {@link Attr.bytes}.
   */
  offset(field: AttrField<C>): number {
    return this.#field(field).offset;
  }

  /**
   * Writes an unsigned 32-bit field.
   *
   * @param field Its name.
   * @param value An integer from 0 to 2³² − 1.
   * @returns This attr.
   * @throws {RangeError} Where the value does not fit.
   */
  u32(field: AttrField<C>, value: number): this {
    if (!Number.isInteger(value) || value < 0 || value > 0xffffffff) {
      throw new RangeError(`Cannot set ${field}: ${value} is not an integer from 0 to 4294967295`);
    }
    this.#view.setUint32(this.#field(field).offset, value, LITTLE_ENDIAN);
    return this;
  }

  /**
   * Writes a signed 32-bit field.
   *
   * @param field Its name.
   * @param value An integer from −2³¹ to 2³¹ − 1.
   * @returns This attr.
   * @throws {RangeError} Where the value does not fit.
   */
  s32(field: AttrField<C>, value: number): this {
    if (!Number.isInteger(value) || value < -0x80000000 || value > 0x7fffffff) {
      throw new RangeError(`Cannot set ${field}: ${value} is not an integer from -2147483648 to 2147483647`);
    }
    this.#view.setInt32(this.#field(field).offset, value, LITTLE_ENDIAN);
    return this;
  }

  /**
   * Writes an unsigned 64-bit field.
   *
   * @param field Its name.
   * @param value An integer from 0 to 2⁶⁴ − 1; as a number, a safe one.
   * @returns This attr.
   * @throws {RangeError} Where the value does not fit.
   */
  u64(field: AttrField<C>, value: number | bigint): this {
    if (typeof value === "number" && !Number.isSafeInteger(value)) {
      throw new RangeError(`Cannot set ${field}: ${value} is not a safe integer; pass a bigint`);
    }
    const big = BigInt(value);
    if (big < 0n || big > 0xffff_ffff_ffff_ffffn) {
      throw new RangeError(`Cannot set ${field}: ${value} is not an integer from 0 to 18446744073709551615`);
    }
    this.#view.setBigUint64(this.#field(field).offset, big, LITTLE_ENDIAN);
    return this;
  }

  /**
   * Writes the number of a file descriptor that the caller keeps open over the call.
   *
   * @param field Its name.
   * @param source The descriptor.
   * @returns This attr.
   * @throws {TypeError} Where it is no descriptor, or a closed one.
   */
  fd(field: AttrField<C>, source: FdSource): this {
    return this.u32(field, fdNumber(source, field));
  }

  /**
   * Writes a fixed array of characters, NUL-terminated.
   *
   * @param field Its name.
   * @param text The text.
   * @returns This attr.
   * @throws {TypeError} Where the text contains NUL.
   * @throws {RangeError} Where the text's UTF-8 bytes and a NUL are more than the array holds.
   */
  chars(field: AttrField<C>, text: string): this {
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
   * Writes a buffer's address, and keeps the buffer alive as long as the attr.
   *
   * @param field Its name.
   * @param bytes The buffer; an empty one is a null pointer.
   * @returns This attr.
   */
  pointer(field: AttrField<C>, bytes: Bytes): this {
    this.#buffers.set(field, bytes);
    this.#view.setBigUint64(this.#field(field).offset, addressOf(bytes), LITTLE_ENDIAN);
    return this;
  }

  /**
   * Writes the address of a NUL-terminated copy of a string.
   *
   * @param field Its name.
   * @param text The text.
   * @returns This attr.
   * @throws {TypeError} Where the text contains NUL.
   */
  string(field: AttrField<C>, text: string): this {
    return this.pointer(field, cString(text));
  }

  /**
   * Reads a 32-bit field, which the kernel may have written.
   *
   * @param field Its name.
   * @returns Its value, unsigned.
   */
  getU32(field: AttrField<C>): number {
    return this.#view.getUint32(this.#field(field).offset, LITTLE_ENDIAN);
  }

  /**
   * Reads a 64-bit field, which the kernel may have written.
   *
   * @param field Its name.
   * @returns Its value, unsigned.
   */
  getU64(field: AttrField<C>): bigint {
    return this.#view.getBigUint64(this.#field(field).offset, LITTLE_ENDIAN);
  }

  #field(name: string): Field {
    const field = this.#fields[name];
    if (field === undefined) {
      throw new TypeError(`Cannot use field ${name}: BPF_${this.command.toUpperCase()} has none`);
    }
    return field;
  }
}
