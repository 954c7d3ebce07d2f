/** The bytes of what the encoders take; a string counts as its UTF-8. */
export function bytesOf(data: string | Uint8Array | ArrayBuffer): Uint8Array {
  if (typeof data === "string") return new TextEncoder().encode(data);
  return data instanceof Uint8Array ? data : new Uint8Array(data);
}

/** Runs a decoder of the engine, whose SyntaxError is a TypeError in the real package. */
export function decoding(what: string, decode: () => Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  try {
    return decode();
  } catch (cause) {
    throw new TypeError(`Cannot decode input as ${what}: ${cause instanceof Error ? cause.message : cause}`, { cause });
  }
}
