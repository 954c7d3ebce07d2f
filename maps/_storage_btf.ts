/**
 * The BTF that the kernel wants of storage maps: a key of `int`, and a value of the right size.
 *
 * @module
 */

import { btfLoad } from "../cmds/btf.ts";
import type { Codec } from "../codec.ts";
import { LITTLE_ENDIAN } from "../ffi/memory.ts";
import type { AnyToken } from "../tokens/token.ts";
import type { Prepared } from "./_families.ts";

const MAGIC = 0xeb9f;
const HEADER_SIZE = 24;
const [KIND_INT, KIND_ARRAY] = [1, 3];
const SIGNED = 1 << 24;

const STRINGS = "\0int\0char\0";

/** Types 1 `int`, 2 `char`, 3 `char[size]`. */
function btfBytes(size: number): Uint8Array<ArrayBuffer> {
  const types = [
    ...[1, KIND_INT << 24, 4, SIGNED | 32],
    ...[5, KIND_INT << 24, 1, SIGNED | 8],
    ...[0, KIND_ARRAY << 24, 0, 2, 1, size],
  ];
  const bytes = new Uint8Array(HEADER_SIZE + 4 * types.length + STRINGS.length);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, MAGIC, LITTLE_ENDIAN);
  view.setUint8(2, 1);
  [HEADER_SIZE, 0, 4 * types.length, 4 * types.length, STRINGS.length]
    .forEach((word, index) => view.setUint32(4 + 4 * index, word, LITTLE_ENDIAN));
  types.forEach((word, index) => view.setUint32(HEADER_SIZE + 4 * index, word, LITTLE_ENDIAN));
  bytes.set(new TextEncoder().encode(STRINGS), HEADER_SIZE + 4 * types.length);
  return bytes;
}

/** Loads the BTF for values of a codec. */
export function storageBtf(token: AnyToken, value: Codec<unknown>): Prepared {
  const fd = btfLoad(token as never, btfBytes(value.size));
  return {
    options: { btf: { fd, keyTypeId: 1, valueTypeId: 3 } },
    [Symbol.dispose]: () => fd.close(),
  };
}
