/**
 * BTF that is changed in place: no type moves, strings and types are added at the end only, so that every id and every
 * offset of a string stays what it was.
 */

import { type BtfKind, btfKindNumber, btfKinds } from "../btf/mod.ts";
import { BTF_MAGIC, BTF_VERSION } from "../uapi/constants.gen.ts";

const HEADER_SIZE = 24;
const HEAD_WORDS = 3;
const VLEN_MASK = 0xffffff;
const KIND_MASK = 0x7f;
const KIND_FLAG = 0x8000_0000;
const LITTLE_ENDIAN_HOST = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** Words that follow a type once, and for each member. */
const ONCE: { readonly [K in BtfKind]?: number } = { int: 1, array: 3, var: 1, decl_tag: 1 };
const EACH: { readonly [K in BtfKind]?: number } = {
  ...{ struct: 3, union: 3, enum: 2, func_proto: 2, datasec: 3, enum64: 3 },
};
const WORDS_ONCE = btfKinds.map((kind) => ONCE[kind] ?? 0);
const WORDS_EACH = btfKinds.map((kind) => EACH[kind] ?? 0);

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** BTF whose words can be changed. It was read by `Btf.parse()` before, which has found it well-formed. */
export class BtfEditor {
  readonly #littleEndian: boolean;
  #words: Uint32Array;
  #used: number;
  readonly #starts: number[] = [0];
  readonly #strings: Uint8Array;
  readonly #added: Uint8Array[] = [];
  #stringLength: number;

  /**
   * Takes a copy of BTF.
   *
   * @param bytes The BTF.
   */
  constructor(bytes: Uint8Array) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const littleEndian = this.#littleEndian = view.getUint16(0, true) === BTF_MAGIC;
    const [header, typeOff, typeLen, strOff, strLen] = [4, 8, 12, 16, 20].map((at) => view.getUint32(at, littleEndian));
    this.#used = typeLen / 4;
    const types = bytes.slice(header + typeOff, header + typeOff + typeLen);
    this.#words = new Uint32Array(types.buffer);
    if (littleEndian !== LITTLE_ENDIAN_HOST) {
      const swapped = new DataView(types.buffer);
      for (let at = 0; at < types.length; at += 4) swapped.setUint32(at, swapped.getUint32(at, true), false);
    }
    this.#strings = bytes.subarray(header + strOff, header + strOff + strLen);
    this.#stringLength = strLen;
    for (let at = 0; at < this.#used;) {
      this.#starts.push(at);
      const info = this.#words[at + 1];
      const kind = info >>> 24 & KIND_MASK;
      at += HEAD_WORDS + WORDS_ONCE[kind] + WORDS_EACH[kind] * (info & VLEN_MASK);
    }
  }

  /** The id that the next type gets. */
  get nextId(): number {
    return this.#starts.length;
  }

  /** The kind of a type. */
  kind(id: number): BtfKind {
    return btfKinds[this.#words[this.#starts[id] + 1] >>> 24 & KIND_MASK];
  }

  /** How many members a type has. */
  count(id: number): number {
    return this.#words[this.#starts[id] + 1] & VLEN_MASK;
  }

  /** Whether the flag above the kind is set. */
  flag(id: number): boolean {
    return (this.#words[this.#starts[id] + 1] & KIND_FLAG) !== 0;
  }

  /** Changes the kind, keeping the members unless their number is given. */
  setKind(id: number, kind: BtfKind, count: number = this.count(id), flag = false): void {
    this.#words[this.#starts[id] + 1] = ((flag ? KIND_FLAG : 0) | btfKindNumber(kind) << 24 | count) >>> 0;
  }

  /** A word of a type: 0 its name, 2 its size or type, 3 and later what its kind adds. */
  word(id: number, index: number): number {
    return this.#words[this.#starts[id] + index];
  }

  /** Changes a word of a type. */
  setWord(id: number, index: number, value: number): void {
    this.#words[this.#starts[id] + index] = value;
  }

  /** A word of a member, of which each has as many as its kind. */
  memberWord(id: number, member: number, index: number): number {
    return this.#words[this.#memberAt(id, member) + index];
  }

  /** Changes a word of a member. */
  setMemberWord(id: number, member: number, index: number, value: number): void {
    this.#words[this.#memberAt(id, member) + index] = value;
  }

  #memberAt(id: number, member: number): number {
    const start = this.#starts[id];
    const kind = this.#words[start + 1] >>> 24 & KIND_MASK;
    return start + HEAD_WORDS + WORDS_ONCE[kind] + WORDS_EACH[kind] * member;
  }

  /** Sorts the members of a type by one of their words. */
  sortMembers(id: number, by: number): void {
    const size = WORDS_EACH[this.#words[this.#starts[id] + 1] >>> 24 & KIND_MASK];
    const [at, count] = [this.#memberAt(id, 0), this.count(id)];
    const members = Array.from(
      { length: count },
      (_, index) => this.#words.slice(at + index * size, at + (index + 1) * size),
    );
    members.sort((a, b) => a[by] - b[by]);
    members.forEach((member, index) => this.#words.set(member, at + index * size));
  }

  /** The text of a string. */
  text(offset: number): string {
    if (offset >= this.#strings.length) return "";
    return decoder.decode(this.#strings.subarray(offset, this.#strings.indexOf(0, offset)));
  }

  /** The name of a type. */
  name(id: number): string {
    return this.text(this.word(id, 0));
  }

  /** Adds a string. */
  addString(text: string): number {
    const offset = this.#stringLength;
    const bytes = encoder.encode(`${text}\0`);
    this.#added.push(bytes);
    this.#stringLength += bytes.length;
    return offset;
  }

  /** Adds a type by its words. */
  addType(words: readonly number[]): number {
    if (this.#used + words.length > this.#words.length) {
      const larger = new Uint32Array(this.#used + words.length + 64);
      larger.set(this.#words.subarray(0, this.#used));
      this.#words = larger;
    }
    this.#starts.push(this.#used);
    this.#words.set(words, this.#used);
    this.#used += words.length;
    return this.#starts.length - 1;
  }

  /** The BTF as it is now. */
  bytes(): Uint8Array<ArrayBuffer> {
    const typeLength = 4 * this.#used;
    const bytes = new Uint8Array(HEADER_SIZE + typeLength + this.#stringLength);
    const view = new DataView(bytes.buffer);
    view.setUint16(0, BTF_MAGIC, this.#littleEndian);
    view.setUint8(2, BTF_VERSION);
    [HEADER_SIZE, 0, typeLength, typeLength, this.#stringLength].forEach((value, index) => {
      view.setUint32(4 + 4 * index, value, this.#littleEndian);
    });
    if (this.#littleEndian === LITTLE_ENDIAN_HOST) {
      new Uint32Array(bytes.buffer, HEADER_SIZE, this.#used).set(this.#words.subarray(0, this.#used));
    } else {
      for (let index = 0; index < this.#used; index++) {
        view.setUint32(HEADER_SIZE + 4 * index, this.#words[index], this.#littleEndian);
      }
    }
    let at = HEADER_SIZE + typeLength;
    for (const text of [this.#strings, ...this.#added]) {
      bytes.set(text, at);
      at += text.length;
    }
    return bytes;
  }
}

/** A type's second word. */
export function btfInfo(kind: BtfKind, count = 0): number {
  return btfKindNumber(kind) << 24 | count;
}
