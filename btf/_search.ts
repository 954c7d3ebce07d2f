/** Finds types by name: one by one at first, by a table once that has cost as much as a table does. */

import { KIND_MASK } from "./_layout.ts";
import { NameTable } from "./_names.ts";
import type { Strings } from "./_strings.ts";

const encoder = new TextEncoder();

/** What a table costs, in passes over all types: whoever looks for few names needs none. */
const TABLE_COST = 8;

/** What was looked for among the types of a kind. */
interface Searched {
  /** Types that were passed. */
  passed: number;
  table: NameTable | undefined;
}

/** The types of a BTF by kind and name. They are known by their place among its own. */
export class TypeSearch {
  readonly #words: Uint32Array;
  readonly #starts: Uint32Array;
  readonly #strings: Strings;
  readonly #searched = new Map<number, Searched>();
  #flavored: readonly number[] | undefined;

  /**
   * Finds types.
   *
   * @param words The words of all types.
   * @param starts Where each starts.
   * @param strings Their names.
   */
  constructor(words: Uint32Array, starts: Uint32Array, strings: Strings) {
    this.#words = words;
    this.#starts = starts;
    this.#strings = strings;
  }

  /** The types of a kind and a name, in their order. */
  *find(kind: number, name: string): Generator<number, void> {
    let searched = this.#searched.get(kind);
    if (searched === undefined) this.#searched.set(kind, searched = { passed: 0, table: undefined });
    if (searched.passed >= TABLE_COST * this.#starts.length) searched.table ??= this.#tableOf(kind);
    if (searched.table !== undefined) return yield* searched.table.find(name);
    const wanted = encoder.encode(`${name}\0`);
    for (let from = 0;;) {
      const index = this.#next(kind, wanted, from);
      searched.passed += index - from + 1;
      if (index === this.#starts.length) return;
      yield index;
      from = index + 1;
    }
  }

  /** Those whose names may have a flavor. */
  flavored(): readonly number[] {
    return this.#flavored ??= this.#strings.flavored(
      this.#starts.length,
      (index) => this.#words[this.#starts[index]],
    );
  }

  /** The first type of a kind and a name, of those from one on; the number of types where there is none. */
  #next(kind: number, wanted: Uint8Array, from: number): number {
    const words = this.#words;
    const starts = this.#starts;
    const strings = this.#strings;
    for (let index = from; index < starts.length; index++) {
      const start = starts[index];
      if (((words[start + 1] >>> 24) & KIND_MASK) === kind && strings.startsWith(words[start], wanted)) return index;
    }
    return starts.length;
  }

  #tableOf(kind: number): NameTable {
    const words = this.#words;
    const starts = this.#starts;
    const indexes = new Uint32Array(starts.length);
    const offsets = new Uint32Array(starts.length);
    let count = 0;
    for (let index = 0; index < starts.length; index++) {
      const start = starts[index];
      if (((words[start + 1] >>> 24) & KIND_MASK) !== kind) continue;
      indexes[count] = index;
      offsets[count++] = words[start];
    }
    return new NameTable(this.#strings, indexes.slice(0, count), offsets.slice(0, count));
  }
}
