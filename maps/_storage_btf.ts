/**
 * The BTF that the kernel wants of storage maps: a key of `int`, and a value of the right size.
 *
 * @module
 */

import { BtfBuilder } from "../btf/mod.ts";
import { btfLoad } from "../cmds/btf.ts";
import type { Codec } from "../codec.ts";
import type { AnyToken, PermissionToken } from "../tokens/token.ts";
import type { Prepared } from "./_families.ts";

/** Loads the BTF for values of a codec. */
export function storageBtf(token: AnyToken, value: Codec<unknown>): Prepared {
  const btf = new BtfBuilder();
  const keyTypeId = btf.int("int", 4, "signed");
  const valueTypeId = btf.array(btf.int("unsigned char", 1), value.size, keyTypeId);
  // What loading it asks for is checked when the command is made.
  const fd = btfLoad(token as PermissionToken<"CAP_BPF">, btf.bytes());
  return { options: { btf: { fd, keyTypeId, valueTypeId } }, [Symbol.dispose]: () => fd.close() };
}
