/** The strings of BTF, which continue those of its base. */

import { malformed } from "./_malformed.ts";

/** Bytes of a type's name at most: more is taken as malformed, since the kernel's own limit is 511. */
export const MAX_NAME = 1024;

const UNDERSCORE = 0x5f;

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

  /**
   * Those whose names may have a flavor: `___` in them. Few strings do, so that all others are passed over unread.
   *
   * @param count How many names there are.
   * @param offsetOf The offset of each.
   * @returns Their numbers.
   */
  flavored(count: number, offsetOf: (index: number) => number): number[] {
    const bytes = this.#bytes;
    // For each string with three underscores in it: where the last three end, and where the string starts.
    const starts: number[] = [];
    const lasts: number[] = [];
    // Of three bytes in a row each third place sees one.
    for (let place = 2; place < bytes.length; place += 3) {
      if (bytes[place] !== UNDERSCORE) continue;
      let at = place;
      while (bytes[at - 1] === UNDERSCORE) at--;
      let end = place + 1;
      while (bytes[end] === UNDERSCORE) end++;
      if (end - at < 3) continue;
      at = end - 3;
      const start = bytes.lastIndexOf(0, at) + 1;
      if (starts.at(-1) === start) lasts[lasts.length - 1] = at;
      else starts.push(start), lasts.push(at);
    }
    if (starts.length === 0) return [];
    const found: number[] = [];
    for (let index = 0; index < count; index++) {
      const place = offsetOf(index) - this.#start;
      let [low, high] = [0, starts.length];
      while (low < high) {
        const middle = (low + high) >> 1;
        if (starts[middle] <= place) low = middle + 1;
        else high = middle;
      }
      if (low > 0 && place <= lasts[low - 1]) found.push(index);
    }
    return found;
  }
}
