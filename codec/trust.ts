/**
 * Which codecs may see memory that must not be written to. Memory that the kernel shares read-only takes the process
 * down with the first write to it, and a DataView can always write: only the library's own codecs, which do not write
 * when they decode, are handed one. Others are handed a copy.
 *
 * @module
 */

import type { Codec } from "./codec.ts";

const trusted = new WeakSet<Codec<unknown>>();

/**
 * Marks a codec of the library's own.
 *
 * @param codec The codec, which only reads when it decodes.
 * @returns The codec.
 */
export function trust<C extends Codec<unknown>>(codec: C): C {
  trusted.add(codec);
  return codec;
}

/**
 * Whether a codec only reads when it decodes, as far as this library can know.
 *
 * @param codec The codec.
 * @returns True for the library's own codecs, where what they are made of is, too.
 */
export function isTrusted(codec: Codec<unknown>): boolean {
  return trusted.has(codec);
}

/**
 * Marks a codec that is made of others, where those are trusted.
 *
 * @param codec The codec.
 * @param parts What it is made of.
 * @returns The codec.
 */
export function trustAs<C extends Codec<unknown>>(codec: C, parts: readonly Codec<unknown>[]): C {
  return parts.every(isTrusted) ? trust(codec) : codec;
}
