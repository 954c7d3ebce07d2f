/** Finds where each type starts, and that nothing in them points outside. */

import {
  ARRAY,
  DATASEC,
  DECL_TAG,
  ENUM,
  ENUM64,
  FLOAT,
  FUNC,
  FUNC_PROTO,
  INT,
  KIND_MASK,
  LAST_KIND,
  POINTING,
  STRUCT,
  TYPE_WORDS,
  UNION,
  VAR,
  VLEN_MASK,
  VOID,
  WORDS_EACH,
  WORDS_ONCE,
} from "./_layout.ts";
import { malformed } from "./_malformed.ts";
import type { Sections } from "./_sections.ts";

/** What types may point to. */
export interface Limits {
  /** The id of the first type. */
  readonly firstId: number;
  /** Where names end. */
  readonly stringEnd: number;
}

const ONCE = Uint8Array.from(WORDS_ONCE);
const EACH = Uint8Array.from(WORDS_EACH);

const KINDS = [...WORDS_EACH.keys()];
const NONE = 0xff;
/** The kinds whose third word is a type's id. */
const POINTS: Uint8Array = Uint8Array.from(KINDS, (kind) => POINTING.includes(kind) ? 1 : 0);
/** Which word of a member is its name, by kind. */
const MEMBER_NAME = Uint8Array.from(KINDS, (kind) => EACH[kind] > 0 && kind !== DATASEC ? 0 : NONE);
/** Which word of a member is its type's id, by kind. */
const MEMBER_TYPE = Uint8Array.from(
  KINDS,
  (kind) => kind === DATASEC ? 0 : [STRUCT, UNION, FUNC_PROTO].includes(kind) ? 1 : NONE,
);
/** The kinds that {@linkcode checkRules} knows. */
const HAS_RULES = Uint8Array.from(
  KINDS,
  (kind) => [INT, FLOAT, ENUM, ENUM64, FUNC, VAR, DECL_TAG].includes(kind) ? 1 : 0,
);

/** Encodings of integers that exist: none, signed, char and bool. */
const INT_ENCODINGS = [0, 1, 2, 4];

/**
 * Finds the types.
 *
 * @param sections The sections of the BTF.
 * @returns The place of each type among the words.
 */
export function placeTypes({ words, typesAt }: Sections): Uint32Array {
  const end = words.length;
  const starts = new Uint32Array(Math.ceil(end / TYPE_WORDS));
  let count = 0;
  for (let at = 0; at < end;) {
    if (at + TYPE_WORDS > end) throw malformed(typesAt + 4 * at, "a type is cut off");
    const info = words[at + 1];
    const kind = (info >>> 24) & KIND_MASK;
    if (kind === VOID || kind > LAST_KIND) throw malformed(typesAt + 4 * at + 4, `there is no kind ${kind}`);
    const next = at + TYPE_WORDS + ONCE[kind] + EACH[kind] * (info & VLEN_MASK);
    if (next > end) throw malformed(typesAt + 4 * at, "a type is cut off");
    starts[count++] = at;
    at = next;
  }
  return starts.slice(0, count);
}

/**
 * Checks the types. This is a loop of its own, as the number of types is not known before all are found; and a kernel's BTF
 * has so many that what a loop keeps in registers decides what it costs.
 *
 * @param sections The sections of the BTF.
 * @param starts The place of each type among the words.
 * @param limits What types may point to.
 * @throws {SyntaxError} For the first that points outside; its `offset` says where.
 */
export function checkTypes({ words, typesAt }: Sections, starts: Uint32Array, { firstId, stringEnd }: Limits): void {
  const idEnd = firstId + starts.length;
  // The empty name is one even where there are no strings.
  const nameEnd = Math.max(stringEnd, 1);
  const noName = (at: number): SyntaxError =>
    malformed(typesAt + 4 * at, `a name at ${words[at]} is past the ${stringEnd} bytes of strings`);
  const noType = (at: number): SyntaxError =>
    malformed(typesAt + 4 * at, `there is no type ${words[at]}, the last is ${idEnd - 1}`);
  for (let index = 0; index < starts.length; index++) {
    const at = starts[index];
    if (words[at] >= nameEnd) throw noName(at);
    const info = words[at + 1];
    const kind = (info >>> 24) & KIND_MASK;
    if (POINTS[kind] === 1 && words[at + 2] >= idEnd) throw noType(at + 2);
    if (kind === ARRAY) {
      if (words[at + 3] >= idEnd) throw noType(at + 3);
      if (words[at + 4] >= idEnd) throw noType(at + 4);
    }
    const each = EACH[kind];
    if (each > 0) {
      const members = at + TYPE_WORDS;
      const end = members + each * (info & VLEN_MASK);
      if (MEMBER_NAME[kind] !== NONE) {
        for (let word = members + MEMBER_NAME[kind]; word < end; word += each) {
          if (words[word] >= nameEnd) throw noName(word);
        }
      }
      if (MEMBER_TYPE[kind] !== NONE) {
        for (let word = members + MEMBER_TYPE[kind]; word < end; word += each) {
          if (words[word] >= idEnd) throw noType(word);
        }
      }
    }
    if (HAS_RULES[kind] === 1) checkRules(words, at, typesAt);
  }
}

/** What only some kinds have to be right in: apart, as a kind that comes late would undo what the loop was compiled to. */
function checkRules(words: Uint32Array, at: number, typesAt: number): void {
  const offset = typesAt + 4 * at;
  const info = words[at + 1];
  const size = words[at + 2];
  const more = words[at + 3];
  switch ((info >>> 24) & KIND_MASK) {
    case INT:
      return checkInt(size, more, offset + 12);
    case FLOAT:
      return checkFloat(size, offset + 8);
    case ENUM:
    case ENUM64:
      if (!isPowerOfTwo(size, 8)) throw malformed(offset + 8, `an enum has 1, 2, 4 or 8 bytes, not ${size}`);
      return;
    case FUNC:
      // It counts its linkage where others count members.
      return checkLinkage(info & VLEN_MASK, offset + 4);
    case VAR:
      return checkLinkage(more, offset + 4);
    case DECL_TAG:
      if ((more | 0) < -1) throw malformed(offset + 12, `there is no component ${more | 0}`);
  }
}

function isPowerOfTwo(size: number, most: number): boolean {
  return size > 0 && size <= most && (size & (size - 1)) === 0;
}

function checkLinkage(linkage: number, offset: number): void {
  if (linkage > 2) throw malformed(offset, `there is no linkage ${linkage}`);
}

function checkInt(size: number, data: number, offset: number): void {
  const [encoding, bitsOffset, nrBits] = [data >>> 24, (data >>> 16) & 0xff, data & 0xffff];
  if (!INT_ENCODINGS.includes(encoding)) throw malformed(offset, `there is no encoding ${encoding} of integers`);
  if (!isPowerOfTwo(size, 16)) throw malformed(offset - 4, `an integer has 1, 2, 4, 8 or 16 bytes, not ${size}`);
  if (bitsOffset + nrBits > 8 * size) {
    throw malformed(offset, `${nrBits} bits at bit ${bitsOffset} do not fit in ${size} bytes`);
  }
}

function checkFloat(size: number, offset: number): void {
  if (size !== 12 && (size === 1 || !isPowerOfTwo(size, 16))) {
    throw malformed(offset, `a floating-point number has 2, 4, 8, 12 or 16 bytes, not ${size}`);
  }
}
