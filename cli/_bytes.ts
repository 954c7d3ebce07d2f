/**
 * Keys and values as command lines give them: `0x2 0 0 0`, `hex 48 65 6c 6c`.
 *
 * @module
 */

import type { Bytes } from "../ffi/kernel.ts";
import { allocate } from "../ffi/memory.ts";
import { CommandError, parseNumber, type Words } from "./_words.ts";

/**
 * Takes bytes from the words: as many as there have to be.
 *
 * @param words The words; `hex` in front says that all are hexadecimal.
 * @param size How many bytes.
 * @param what What they are, for errors.
 * @returns The bytes.
 */
export function parseBytes(words: Words, size: number, what: string): Bytes {
  // A byte can be "h" for no base, so that the keyword may be shortened.
  const isHex = words.accept("hex");
  const bytes = allocate(size);
  for (let at = 0; at < size; at++) {
    const word = words.peek;
    if (word === undefined) throw new CommandError(`expected ${size} bytes of ${what} got ${at}`);
    const value = isHex ? parseHex(word) : parseNumber(word);
    if (value === undefined) throw new CommandError(`error parsing byte: ${word}`);
    if (value < 0 || value > 255) throw new CommandError(`error parsing byte: ${word} is not from 0 to 255`);
    bytes[at] = value;
    words.next("a byte");
  }
  return bytes;
}

function parseHex(word: string): number | undefined {
  return /^(0x)?[0-9a-f]{1,8}$/i.test(word) ? parseInt(word, 16) : undefined;
}

/** Bytes as bpftool prints them: two spaces after eight, sixteen in a line. C name: `fprint_hex`. */
export function hexText(bytes: Uint8Array): string {
  let text = "";
  for (const [at, byte] of bytes.entries()) {
    if (at > 0) text += at % 16 === 0 ? "\n" : at % 8 === 0 ? "  " : " ";
    text += byte.toString(16).padStart(2, "0");
  }
  return text;
}

/** Bytes in one line, with a space between them. */
export function spacedHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" ");
}
