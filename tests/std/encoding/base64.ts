/**
 * Base64, as `@std/encoding/base64` has it.
 *
 * @module
 */

import { bytesOf, decoding } from "./_bytes.ts";

/**
 * Writes bytes as padded base64.
 *
 * @param data The bytes, or text whose UTF-8 is meant.
 * @returns The base64 text.
 */
export function encodeBase64(data: ArrayBuffer | Uint8Array | string): string {
  return bytesOf(data).toBase64();
}

/**
 * Reads base64.
 *
 * @param b64 The base64 text, padded or not.
 * @returns The bytes.
 * @throws {TypeError} Where `b64` is not base64.
 */
export function decodeBase64(b64: string): Uint8Array<ArrayBuffer> {
  return decoding("base64", () => {
    // The engine skips white space, the real package refuses it.
    if (/\s/.test(b64)) throw new SyntaxError("Invalid character (white space)");
    return Uint8Array.fromBase64(b64);
  });
}
