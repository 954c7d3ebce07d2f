/** The strings of BTF, which continue those of its base. */

import { malformed } from "./_malformed.ts";

/** Bytes of a type's name at most: more is taken as malformed, since the kernel's own limit is 511. */
export const MAX_NAME = 1024;

/** Bytes of a name that count for its hash: names may be as long as the file, and overlap. */
const HASHED_BYTES = 64;

const UNDERSCORE = 0x5f;

/**
 * FNV-1a up to the NUL.
 *
 * @param bytes Where the name is.
 * @param place Where it starts.
 * @returns A number of 32 bits.
 */
export function hashName(bytes: Uint8Array, place: number): number {
  let mixed = 0x811c9dc5;
  const end = Math.min(place + HASHED_BYTES, bytes.length);
  for (let at = place; at < end; at++) {
    const byte = bytes[at];
    if (byte === 0) break;
    mixed = Math.imul(mixed ^ byte, 0x01000193);
  }
  return mixed ^ (mixed >>> 15);
}

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

  /** Whether a string is empty, or not there. */
  isEmpty(offset: number): boolean {
    if (this.#base !== undefined && offset < this.#start) return this.#base.isEmpty(offset);
    const place = offset - this.#start;
    return place >= this.#bytes.length || this.#bytes[place] === 0;
  }

  /** What {@linkcode hashName} gives of a string. */
  hash(offset: number): number {
    if (this.#base !== undefined && offset < this.#start) return this.#base.hash(offset);
    return hashName(this.#bytes, offset - this.#start);
  }

  /** Whether bytes stand at an offset. */
  startsWith(offset: number, wanted: Uint8Array): boolean {
    if (this.#base !== undefined && offset < this.#start) return this.#base.startsWith(offset, wanted);
    const place = offset - this.#start;
    for (let at = 0; at < wanted.length; at++) if (this.#bytes[place + at] !== wanted[at]) return false;
    return true;
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
