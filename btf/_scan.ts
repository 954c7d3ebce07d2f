/** The one pass over the types that finds where each starts, and that nothing in them points outside. */

import * as k from "./_layout.ts";
import { malformed } from "./_malformed.ts";
import type { Sections } from "./_sections.ts";

/** What types may point to. */
export interface Limits {
  /** The id of the first type. */
  readonly firstId: number;
  /** Where names end. */
  readonly stringEnd: number;
}

const ONCE = Uint8Array.from(k.WORDS_ONCE);
const EACH = Uint8Array.from(k.WORDS_EACH);

/** Encodings of integers that exist: none, signed, char and bool. */
const INT_ENCODINGS = [0, 1, 2, 4];

/**
 * Finds and checks the types.
 *
 * The highest id and name are remembered with their place and compared once at the end: the number of types is not
 * known before.
 *
 * @param sections The sections of the BTF.
 * @param limits What types may point to.
 * @returns The place of each type among the words.
 */
export function scanTypes({ words, typesAt }: Sections, limits: Limits): Uint32Array {
  const end = words.length;
  const starts = new Uint32Array(Math.ceil(end / k.TYPE_WORDS));
  let count = 0;
  let topName = 0;
  let topNameAt = 0;
  let topId = 0;
  let topIdAt = 0;
  for (let at = 0; at < end;) {
    if (at + k.TYPE_WORDS > end) throw malformed(typesAt + 4 * at, "a type is cut off");
    const info = words[at + 1];
    const kind = (info >>> 24) & k.KIND_MASK;
    if (kind === k.VOID || kind > k.LAST_KIND) throw malformed(typesAt + 4 * at + 4, `there is no kind ${kind}`);
    const vlen = info & k.VLEN_MASK;
    const next = at + k.TYPE_WORDS + ONCE[kind] + EACH[kind] * vlen;
    if (next > end) throw malformed(typesAt + 4 * at, "a type is cut off");
    starts[count++] = at;
    if (words[at] > topName) {
      topName = words[at];
      topNameAt = at;
    }
    const rest = at + k.TYPE_WORDS;
    switch (kind) {
      case k.STRUCT:
      case k.UNION:
        for (let i = rest; i < next; i += 3) {
          if (words[i] > topName) {
            topName = words[i];
            topNameAt = i;
          }
          if (words[i + 1] > topId) {
            topId = words[i + 1];
            topIdAt = i + 1;
          }
        }
        break;
      case k.FUNC_PROTO:
        if (words[at + 2] > topId) {
          topId = words[at + 2];
          topIdAt = at + 2;
        }
        for (let i = rest; i < next; i += 2) {
          if (words[i] > topName) {
            topName = words[i];
            topNameAt = i;
          }
          if (words[i + 1] > topId) {
            topId = words[i + 1];
            topIdAt = i + 1;
          }
        }
        break;
      case k.ENUM:
      case k.ENUM64:
        if (!isPowerOfTwo(words[at + 2], 8)) throw malformed(typesAt + 4 * at + 8, enumSize(words[at + 2]));
        for (let i = rest; i < next; i += EACH[kind]) {
          if (words[i] > topName) {
            topName = words[i];
            topNameAt = i;
          }
        }
        break;
      case k.DATASEC:
        for (let i = rest; i < next; i += 3) {
          if (words[i] > topId) {
            topId = words[i];
            topIdAt = i;
          }
        }
        break;
      case k.ARRAY:
        if (words[rest] > topId) {
          topId = words[rest];
          topIdAt = rest;
        }
        if (words[rest + 1] > topId) {
          topId = words[rest + 1];
          topIdAt = rest + 1;
        }
        break;
      case k.INT:
        checkInt(words[at + 2], words[rest], typesAt + 4 * rest);
        break;
      case k.FLOAT:
        checkFloat(words[at + 2], typesAt + 4 * at + 8);
        break;
      case k.FWD:
        break;
      default: {
        // A func counts its linkage where others count members.
        const linkage = kind === k.FUNC ? vlen : kind === k.VAR ? words[rest] : 0;
        if (kind === k.DECL_TAG && (words[rest] | 0) < -1) {
          throw malformed(typesAt + 4 * rest, `there is no component ${words[rest] | 0}`);
        }
        if (linkage > 2) throw malformed(typesAt + 4 * at + 4, `there is no linkage ${linkage}`);
        if (words[at + 2] > topId) {
          topId = words[at + 2];
          topIdAt = at + 2;
        }
      }
    }
    at = next;
  }
  if (topId >= limits.firstId + count) {
    throw malformed(typesAt + 4 * topIdAt, `there is no type ${topId}, the last is ${limits.firstId + count - 1}`);
  }
  if (topName >= limits.stringEnd && topName > 0) {
    throw malformed(typesAt + 4 * topNameAt, `a name at ${topName} is past the ${limits.stringEnd} bytes of strings`);
  }
  return starts.slice(0, count);
}

function isPowerOfTwo(size: number, most: number): boolean {
  return size > 0 && size <= most && (size & (size - 1)) === 0;
}

function enumSize(size: number): string {
  return `an enum has 1, 2, 4 or 8 bytes, not ${size}`;
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
