/** Finds types by name without decoding all names: a hash table over the bytes of the strings. */

import { hashName, type Strings } from "./_strings.ts";

const encoder = new TextEncoder();

/** The types of a BTF by the hash of their names. */
export class NameTable {
  readonly #strings: Strings;
  readonly #offsetOf: (index: number) => number;
  readonly #mask: number;
  /** The first type of each hash, and the next one after each type: counted from 1, 0 ends. */
  readonly #first: Uint32Array;
  readonly #next: Uint32Array;

  /**
   * Makes the table.
   *
   * @param strings The strings.
   * @param count The number of types.
   * @param offsetOf The offset of the name of each among the strings.
   */
  constructor(strings: Strings, count: number, offsetOf: (index: number) => number) {
    this.#strings = strings;
    this.#offsetOf = offsetOf;
    let size = 16;
    while (size < count) size *= 2;
    this.#mask = size - 1;
    const first = new Uint32Array(size);
    const next = new Uint32Array(count + 1);
    // Backwards, so that each chain runs forward.
    for (let index = count - 1; index >= 0; index--) {
      const offset = offsetOf(index);
      if (strings.isEmpty(offset)) continue;
      const bucket = strings.hash(offset) & this.#mask;
      next[index + 1] = first[bucket];
      first[bucket] = index + 1;
    }
    this.#first = first;
    this.#next = next;
  }

  /** The types of a name, in their order. */
  *find(name: string): Generator<number, void> {
    const wanted = encoder.encode(`${name}\0`);
    for (let entry = this.#first[hashName(wanted, 0) & this.#mask]; entry !== 0; entry = this.#next[entry]) {
      const index = entry - 1;
      if (this.#strings.startsWith(this.#offsetOf(index), wanted)) yield index;
    }
  }
}
