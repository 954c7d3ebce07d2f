/** The header of BTF: where types and strings stand. */

import { BTF_MAGIC, BTF_VERSION } from "../uapi/constants.gen.ts";
import { HEADER_SIZE, LITTLE_ENDIAN_HOST } from "./_layout.ts";
import { malformed } from "./_malformed.ts";

/** The sections of BTF. */
export interface Sections {
  readonly littleEndian: boolean;
  /** The types, a number a word, in this machine's byte order. */
  readonly words: Uint32Array;
  /** Where the types start, in bytes. */
  readonly typesAt: number;
  /** The strings, each ended by a NUL. */
  readonly strings: Uint8Array;
  /** Where the strings start, in bytes. */
  readonly stringsAt: number;
}

/**
 * Tells the byte order by the magic number that BTF and `.BTF.ext` start with.
 *
 * @param bytes The bytes.
 * @param action What cannot be done otherwise.
 * @returns Whether they are little-endian.
 */
export function isLittleEndian(bytes: Uint8Array, action?: string): boolean {
  const magic = bytes.length < 2 ? 0 : bytes[0] | (bytes[1] << 8);
  if (magic === BTF_MAGIC) return true;
  if (magic === ((BTF_MAGIC & 0xff) << 8 | BTF_MAGIC >> 8)) return false;
  throw malformed(0, "it does not start with the magic number 0xeb9f", action);
}

/**
 * Reads the header.
 *
 * @param bytes The BTF.
 * @param isSplit Whether it stands on a base, which has the empty string.
 * @returns The sections.
 */
export function readSections(bytes: Uint8Array, isSplit: boolean): Sections {
  const littleEndian = isLittleEndian(bytes);
  if (bytes.length < HEADER_SIZE) throw malformed(bytes.length, `a header has ${HEADER_SIZE} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes[2] !== BTF_VERSION) throw malformed(2, `version ${bytes[2]} is not ${BTF_VERSION}`);
  if (bytes[3] !== 0) throw malformed(3, `there are no flags 0x${bytes[3].toString(16)}`);
  const [headerLength, typeOff, typeLen, strOff, strLen] = [4, 8, 12, 16, 20].map((at) =>
    view.getUint32(at, littleEndian)
  );
  if (headerLength < HEADER_SIZE || headerLength > bytes.length) {
    throw malformed(4, `a header of ${headerLength} bytes is not between ${HEADER_SIZE} and ${bytes.length}`);
  }
  if (typeOff % 4 !== 0) throw malformed(8, `types at ${typeOff} are not aligned to 4 bytes`);
  if (typeLen % 4 !== 0) throw malformed(12, `${typeLen} bytes of types are not a multiple of 4`);
  const typesAt = headerLength + typeOff;
  const stringsAt = headerLength + strOff;
  if (typesAt + typeLen > bytes.length) throw malformed(12, `the types end at ${typesAt + typeLen}, past the end`);
  if (strOff < typeOff + typeLen) throw malformed(16, "the strings start before the types end");
  if (stringsAt + strLen > bytes.length) throw malformed(20, `the strings end at ${stringsAt + strLen}, past the end`);
  const strings = bytes.subarray(stringsAt, stringsAt + strLen);
  if (!isSplit && strings[0] !== 0) throw malformed(stringsAt, "the first string is not the empty one");
  if (strLen > 0 && strings[strLen - 1] !== 0) throw malformed(stringsAt + strLen - 1, "the last string has no end");
  const words = wordsOf(bytes.subarray(typesAt, typesAt + typeLen), littleEndian);
  return { littleEndian, words, typesAt, strings, stringsAt };
}

/** Types are words and nothing else: a view of them where they are aligned and in this machine's order, else a copy. */
function wordsOf(bytes: Uint8Array, littleEndian: boolean): Uint32Array {
  if (littleEndian === LITTLE_ENDIAN_HOST && bytes.byteOffset % 4 === 0) {
    return new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  }
  const words = new Uint32Array(bytes.length / 4);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let index = 0; index < words.length; index++) words[index] = view.getUint32(4 * index, littleEndian);
  return words;
}
