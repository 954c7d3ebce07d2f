/**
 * Bytes, strings in fixed arrays of characters, and arrays.
 *
 * @module
 */

import { misfit, within, wrongType } from "./_misfit.ts";
import { Codec } from "./codec.ts";
import { trust, trustAs } from "./trust.ts";

type View = DataView<ArrayBuffer>;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

function memory(view: View, offset: number, length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(view.buffer, view.byteOffset + offset, length);
}

function checkCount(what: string, count: number): void {
  if (!Number.isSafeInteger(count) || count < 0) {
    throw new RangeError(`Cannot make a codec of ${what}: ${count} is not an integer from 0`);
  }
}

class BytesCodec extends Codec<Uint8Array<ArrayBuffer>> {
  decode(view: View, offset: number): Uint8Array<ArrayBuffer> {
    return memory(view, offset, this.size).slice();
  }
  encode(view: View, offset: number, value: Uint8Array<ArrayBuffer>): void {
    if (!(value instanceof Uint8Array)) wrongType(this.name, value, "a Uint8Array");
    if (value.length !== this.size) misfit(this.name, `${value.length} bytes are not the ${this.size} that it has`);
    memory(view, offset, this.size).set(value);
  }
}

/**
 * Bytes as they are. C name: `__u8[n]`.
 *
 * @param size How many.
 * @returns A codec of `Uint8Array`s of just that many bytes, copied.
 * @throws {RangeError} For a size that is no integer from 0.
 */
export function bytes(size: number): Codec<Uint8Array<ArrayBuffer>> {
  return trust(new BytesCodec(`bytes(${size})`, size, 1));
}

class StringCodec extends Codec<string> {
  decode(view: View, offset: number): string {
    let end = 0;
    while (end < this.size && view.getUint8(offset + end) !== 0) end++;
    return decoder.decode(memory(view, offset, end));
  }
  encode(view: View, offset: number, value: string): void {
    if (typeof value !== "string") wrongType(this.name, value, "a string");
    if (value.includes("\0")) misfit(this.name, "it contains a NUL character");
    // A lone surrogate would be written as another character: two strings, one key.
    if (!value.isWellFormed()) misfit(this.name, "it contains half of a surrogate pair");
    const target = memory(view, offset, this.size);
    const text = encoder.encode(value);
    // An array without elements has no room for a NUL, and is an empty string all the same.
    if (text.length >= this.size && (text.length > 0 || this.size > 0)) {
      misfit(this.name, `${text.length} bytes of UTF-8 are more than the limit of ${Math.max(0, this.size - 1)}`);
    }
    target.fill(0).set(text);
  }
}

/**
 * A NUL-terminated string in a fixed array of characters, read up to its NUL and padded with zeros. C name: `char[n]`.
 *
 * @param size The array's bytes, with the NUL.
 * @returns A codec of strings, UTF-8.
 * @throws {RangeError} For a size that is no integer from 0.
 */
export function cstr(size: number): Codec<string> {
  return trust(new StringCodec(`cstr(${size})`, size, 1));
}

class ArrayCodec<T> extends Codec<T[]> {
  readonly #element: Codec<T>;
  readonly #length: number;

  constructor(element: Codec<T>, length: number) {
    checkCount(`an array of ${element.name}`, length);
    super(`${element.name}[${length}]`, element.size * length, element.alignment);
    this.#element = element;
    this.#length = length;
  }

  decode(view: View, offset: number): T[] {
    const values: T[] = [];
    for (let index = 0; index < this.#length; index++) {
      values.push(this.#element.decode(view, offset + index * this.#element.size));
    }
    return values;
  }

  encode(view: View, offset: number, value: T[]): void {
    if (!Array.isArray(value) && !ArrayBuffer.isView(value)) wrongType(this.name, value, "an array");
    if (value.length !== this.#length) misfit(this.name, `${value.length} elements are not the ${this.#length} it has`);
    for (let index = 0; index < this.#length; index++) {
      try {
        this.#element.encode(view, offset + index * this.#element.size, value[index]);
      } catch (error) {
        within(error, `[${index}]`);
      }
    }
  }
}

/**
 * An array. C name: `T[n]`.
 *
 * @typeParam T The JavaScript value of an element.
 * @param element The codec of an element.
 * @param length How many there are.
 * @returns A codec of arrays of just that length.
 * @throws {RangeError} For a length that is no integer from 0.
 */
export function array<T>(element: Codec<T>, length: number): Codec<T[]> {
  return trustAs(new ArrayCodec(element, length), [element]);
}
