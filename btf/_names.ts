/** Finds types by name without decoding all names: a hash table over the bytes of the strings. */

import { hashName, type Strings } from "./_strings.ts";

const encoder = new TextEncoder();

/** Types by the hash of their names. */
export class NameTable {
  readonly #strings: Strings;
  /** Which types there are, and the offset of each one's name among the strings. */
  readonly #indexes: Uint32Array;
  readonly #offsets: Uint32Array;
  readonly #mask: number;
  /** The first type of each hash, and the next one after each type: counted from 1, 0 ends. */
  readonly #first: Uint32Array;
  readonly #next: Uint32Array;

  /**
   * Makes the table.
   *
   * @param strings The strings.
   * @param indexes The types, in ascending order.
   * @param offsets The offsets of their names.
   */
  constructor(strings: Strings, indexes: Uint32Array, offsets: Uint32Array) {
    const count = indexes.length;
    let size = 16;
    while (size < count) size *= 2;
    const mask = size - 1;
    const first = new Uint32Array(size);
    const next = new Uint32Array(count + 1);
    // Backwards, so that each chain runs forward.
    for (let place = count - 1; place >= 0; place--) {
      const offset = offsets[place];
      if (strings.isEmpty(offset)) continue;
      const bucket = strings.hash(offset) & mask;
      next[place + 1] = first[bucket];
      first[bucket] = place + 1;
    }
    this.#strings = strings;
    this.#indexes = indexes;
    this.#offsets = offsets;
    this.#mask = mask;
    this.#first = first;
    this.#next = next;
  }

  /** The types of a name, in their order. */
  *find(name: string): Generator<number, void> {
    const wanted = encoder.encode(`${name}\0`);
    for (let entry = this.#first[hashName(wanted, 0) & this.#mask]; entry !== 0; entry = this.#next[entry]) {
      if (this.#strings.startsWith(this.#offsets[entry - 1], wanted)) yield this.#indexes[entry - 1];
    }
  }
}
