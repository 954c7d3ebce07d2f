/**
 * Addresses of buffers, for the pointers inside of structs that the kernel reads.
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
