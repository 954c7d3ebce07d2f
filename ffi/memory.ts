/**
 * Memory that the kernel reads and writes: buffers, their addresses for the pointers inside of structs, and strings.
 *
 * @module
 */

import type { Bytes } from "./kernel.ts";

/** Whether the machine is little-endian: the byte order of every struct that the kernel reads. */
export const LITTLE_ENDIAN: boolean = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/**
 * Memory for the kernel to read and write, zeroed. It never moves: V8 keeps small typed arrays on its moving heap until
 * somebody asks for their buffer, so the buffer is made first.
 *
 * @param size The number of bytes.
 * @returns The memory, as bytes.
 */
export function allocate(size: number): Bytes {
  return new Uint8Array(new ArrayBuffer(size));
}

/**
 * The address of a buffer's first byte. It is valid while the buffer is reachable and not detached: the caller keeps it
 * alive over every use of the address.
 *
 * @param bytes The buffer.
 * @returns The address; 0 for an empty buffer.
 */
export function addressOf(bytes: Bytes): bigint {
  if (bytes.length === 0) return 0n;
  // SAFETY: takes the address of memory that `bytes` keeps alive; nothing is read or written here.
  return BigInt(Deno.UnsafePointer.value(Deno.UnsafePointer.of(bytes)));
}

const encoder = new TextEncoder();

/** Characters up to which bytes are written here: asking the encoder costs more than they do. */
const SHORT = 16;

/** A short string of ASCII characters, as the names in /proc are; undefined for any other. */
function shortCString(text: string): Bytes | undefined {
  if (text.length > SHORT) return undefined;
  const bytes = new Uint8Array(text.length + 1);
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 0 || code > 0x7f) return undefined;
    bytes[at] = code;
  }
  return bytes;
}

function longCString(text: string): Bytes {
  if (text.includes("\0")) throw new TypeError("Cannot pass a string to the kernel: it contains a NUL character");
  return encoder.encode(`${text}\0`);
}

/**
 * A string as C takes it.
 *
 * @param text The text, without NUL.
 * @returns Its UTF-8 bytes and a NUL.
 * @throws {TypeError} For a text that contains NUL, which C would cut short.
 */
export function cString(text: string): Bytes {
  return shortCString(text) ?? longCString(text);
}
