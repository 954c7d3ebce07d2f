/**
 * Hexadecimal, as `@std/encoding/hex` has it.
 *
 * @module
 */

import { bytesOf, decoding } from "./_bytes.ts";

/**
 * Writes bytes as lower-case hexadecimal.
 *
 * @param src The bytes, or text whose UTF-8 is meant.
 * @returns Two digits a byte.
 */
export function encodeHex(src: string | Uint8Array | ArrayBuffer): string {
  return bytesOf(src).toHex();
}

/**
 * Reads hexadecimal.
 *
 * @param src Two digits a byte, in upper or lower case.
 * @returns The bytes.
 * @throws {TypeError} Where `src` has another character, or an odd number of digits.
 */
export function decodeHex(src: string): Uint8Array<ArrayBuffer> {
  return decoding("hex", () => Uint8Array.fromHex(src));
}
