/**
 * A stand-in for `@std/encoding` where JSR cannot be reached: the functions that this project uses, with the real
 * package's signatures, over the engine's own `Uint8Array` methods.
 *
 * @module
 */

export { decodeBase64, encodeBase64 } from "./base64.ts";
export { decodeHex, encodeHex } from "./hex.ts";
