/** What is told of a type by its words, without its object being made: its size, and a member by name. */

import { decodeMember } from "./_decode.ts";
import * as k from "./_layout.ts";
import { MAX_DEPTH } from "./_malformed.ts";
import type { Strings } from "./_strings.ts";
import type { BtfMember } from "./types.ts";

/** A type among the words of the BTF that has it. */
export interface RawType {
  readonly kind: number;
  /** The words of all types, and where its own start. */
  readonly words: Uint32Array;
  readonly start: number;
  /** The names of all types. */
  readonly strings: Strings;
}

/** What types are looked up in. */
export interface RawTypes {
  /** The id of what typedefs and qualifiers stand for. */
  resolve(id: number): number;
  /** A type by its id. */
  raw(id: number): RawType;
  /** The error of a type that makes no sense. */
  malformedType(id: number, reason: string): SyntaxError;
}

/** The size of a type's values, as {@linkcode Btf.sizeOf} gives it. */
export function sizeOf(types: RawTypes, id: number): number | undefined {
  const checked = (size: number): number => {
    if (size > 0xffffffff) throw types.malformedType(id, "it is larger than 4 GiB");
    return size;
  };
  let [actual, elements] = [id, 1];
  for (let step = 0; step <= MAX_DEPTH; step++) {
    const { kind, words, start } = types.raw(types.resolve(actual));
    const sizeOrType = words[start + 2];
    switch (kind) {
      case k.PTR:
        return checked(8 * elements);
      case k.INT:
      case k.STRUCT:
      case k.UNION:
      case k.ENUM:
      case k.ENUM64:
      case k.FLOAT:
      case k.DATASEC:
        return checked(sizeOrType * elements);
      case k.ARRAY:
        elements = checked(elements * words[start + k.TYPE_WORDS + 2]);
        actual = words[start + k.TYPE_WORDS];
        break;
      case k.VAR:
        actual = sizeOrType;
        break;
      default:
        return undefined;
    }
  }
  throw types.malformedType(id, `more than ${MAX_DEPTH} arrays are nested in each other`);
}

const encoder = new TextEncoder();

/** Looks for a member by its name, in anonymous members too. All names are compared with, so none is made a text of. */
export class MemberSearch {
  readonly #types: RawTypes;
  readonly #name: string;
  /** Its name and a NUL. */
  readonly #wanted: Uint8Array;
  /** The types that are known not to have it: they may be nested in several places. */
  readonly #without = new Set<number>();

  /** Looks for a name, which is not empty. */
  constructor(types: RawTypes, name: string) {
    this.#types = types;
    this.#name = name;
    this.#wanted = encoder.encode(`${name}\0`);
  }

  /** The member of a type, its place counted from the type's start; undefined where there is none. */
  in(id: number, depth = 0): BtfMember | undefined {
    const actual = this.#types.resolve(id);
    if (this.#without.has(actual)) return undefined;
    const { kind, words, start, strings } = this.#types.raw(actual);
    if (kind !== k.STRUCT && kind !== k.UNION) return undefined;
    if (depth > MAX_DEPTH) throw this.#types.malformedType(id, `it is nested more than ${MAX_DEPTH} deep`);
    const flag = words[start + 1] >>> 31 === 1;
    const first = start + k.TYPE_WORDS;
    const end = first + (words[start + 1] & k.VLEN_MASK) * k.WORDS_EACH[kind];
    for (let at = first; at < end; at += k.WORDS_EACH[kind]) {
      if (strings.startsWith(words[at], this.#wanted)) return decodeMember(words, at, flag, this.#name);
      if (!strings.isEmpty(words[at])) continue;
      const inner = this.in(words[at + 1], depth + 1);
      if (inner === undefined) continue;
      return { ...inner, bitsOffset: decodeMember(words, at, flag, "").bitsOffset + inner.bitsOffset };
    }
    this.#without.add(actual);
    return undefined;
  }
}
