/** Finds types by name without decoding all names: a hash table over the bytes of the strings. */

/** Bytes of a name that count for its hash: names may be as long as the file, and overlap. */
const HASHED_BYTES = 64;

/** Tells the bytes that hold a type's name, and where it starts among them. */
export type NamePlace = (index: number) => readonly [bytes: Uint8Array, place: number];

const encoder = new TextEncoder();

/** The types of a BTF by the hash of their names. */
export class NameTable {
  readonly #placeOf: NamePlace;
  readonly #mask: number;
  /** The first type of each hash, and the next one after each type: counted from 1, 0 ends. */
  readonly #first: Uint32Array;
  readonly #next: Uint32Array;

  /**
   * Makes the table.
   *
   * @param count The number of types.
   * @param placeOf Where the name of each is.
   */
  constructor(count: number, placeOf: NamePlace) {
    this.#placeOf = placeOf;
    let size = 16;
    while (size < count) size *= 2;
    this.#mask = size - 1;
    this.#first = new Uint32Array(size);
    this.#next = new Uint32Array(count + 1);
    // Backwards, so that each chain runs forward.
    for (let index = count - 1; index >= 0; index--) {
      const [strings, place] = placeOf(index);
      if (place >= strings.length || strings[place] === 0) continue;
      const bucket = hash(strings, place) & this.#mask;
      this.#next[index + 1] = this.#first[bucket];
      this.#first[bucket] = index + 1;
    }
  }

  /** The types of a name, in their order. */
  *find(name: string): Generator<number, void> {
    const wanted = encoder.encode(`${name}\0`);
    for (let entry = this.#first[hash(wanted, 0) & this.#mask]; entry !== 0; entry = this.#next[entry]) {
      const index = entry - 1;
      if (startsWith(...this.#placeOf(index), wanted)) yield index;
    }
  }
}

/** FNV-1a up to the NUL. */
function hash(strings: Uint8Array, place: number): number {
  let mixed = 0x811c9dc5;
  const end = Math.min(place + HASHED_BYTES, strings.length);
  for (let at = place; at < end; at++) {
    const byte = strings[at];
    if (byte === 0) break;
    mixed = Math.imul(mixed ^ byte, 0x01000193);
  }
  return mixed ^ (mixed >>> 15);
}

function startsWith(strings: Uint8Array, place: number, wanted: Uint8Array): boolean {
  for (let at = 0; at < wanted.length; at++) if (strings[place + at] !== wanted[at]) return false;
  return true;
}
