/** The strings of BTF, which continue those of its base. */

import { malformed } from "./_malformed.ts";

/** Bytes of a type's name at most: more is taken as malformed, since the kernel's own limit is 511. */
export const MAX_NAME = 1024;

/** The strings of a BTF by their offset. */
export class Strings {
  /** Bytes, with those of the base. */
  readonly length: number;
  readonly #base: Strings | undefined;
  readonly #start: number;
  readonly #bytes: Uint8Array;
  readonly #offset: number;
  readonly #decoder = new TextDecoder();

  /**
   * Strings of a BTF.
   *
   * @param bytes Its string section.
   * @param offset Where that stands in the BTF.
   * @param base The strings before its own.
   */
  constructor(bytes: Uint8Array, offset: number, base: Strings | undefined) {
    this.#bytes = bytes;
    this.#offset = offset;
    this.#base = base;
    this.#start = base?.length ?? 0;
    this.length = this.#start + bytes.length;
  }

  /** The bytes that hold a string, and where it starts among them. */
  find(offset: number): [bytes: Uint8Array, place: number] {
    if (this.#base !== undefined && offset < this.#start) return this.#base.find(offset);
    return [this.#bytes, offset - this.#start];
  }

  /** The string at an offset, as {@linkcode Btf.text} gives it. */
  text(offset: number, limit: number): string {
    if (offset === 0) return "";
    if (this.#base !== undefined && offset < this.#start) return this.#base.text(offset, limit);
    const start = offset - this.#start;
    if (!Number.isInteger(start) || start < 0 || start >= this.#bytes.length) {
      throw new RangeError(`Cannot read a string: ${offset} is not among the ${this.length} bytes of strings`);
    }
    const length = this.#bytes.subarray(start, start + limit + 1).indexOf(0);
    if (length < 0) throw malformed(this.#offset + start, `a string is longer than ${limit} bytes`);
    return this.#decoder.decode(this.#bytes.subarray(start, start + length));
  }
}
