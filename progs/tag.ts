/**
 * The tag of a program: what the kernel makes of its instructions, so that equal programs can be told.
 *
 * @module
 */

import { encode, type Insn } from "../asm/mod.ts";
import type { Bytes } from "../ffi/kernel.ts";
import { parseRelease } from "../tokens/environment.ts";
import { BPF_PSEUDO_MAP_FD, BPF_PSEUDO_MAP_VALUE, BPF_TAG_SIZE } from "../uapi/constants.gen.ts";

/** The hash that tags are made of: SHA-1 before Linux 6.18, SHA-256 from it on. */
export type TagHash = "SHA-1" | "SHA-256";

/** How a tag is made. */
export interface TagOptions {
  /** The kernel release that it is for, such as `"6.12"`, or the hash itself. @default {the running kernel's} */
  kernel?: string | undefined;
  /** The hash, where it is known. */
  hash?: TagHash | undefined;
}

const INSN_SIZE = 8;
/** BPF_LD | BPF_IMM | BPF_DW. */
const LD_IMM64 = 0x18;
const SHA256_SINCE = parseRelease("6.18");

/** The instructions without what differs from process to process: descriptors of maps, and offsets into them. */
function withoutMaps(insns: Bytes): Bytes {
  const bytes = insns.slice();
  for (let at = 0; at + INSN_SIZE < bytes.length; at += INSN_SIZE) {
    if (bytes[at] !== LD_IMM64) continue;
    const source = bytes[at + 1] >> 4;
    if (source === BPF_PSEUDO_MAP_FD || source === BPF_PSEUDO_MAP_VALUE) {
      bytes.fill(0, at + 4, at + INSN_SIZE);
      bytes.fill(0, at + INSN_SIZE + 4, at + 2 * INSN_SIZE);
    }
    at += INSN_SIZE;
  }
  return bytes;
}

/**
 * The tag that the kernel gives a program: the first 8 bytes of a hash over its instructions as they are loaded, after
 * relocation, with the descriptors of maps left out.
 *
 * @example
 * ```ts
 * import { asm, programTag } from "@bpf/deno";
 *
 * const insns = asm`
 *   r0 = 0
 *   exit
 * `;
 * console.log(await programTag(insns, { kernel: "6.12" })); // a04f5eef06a7f555
 * ```
 *
 * @param insns The instructions: bytes, or what `decode()` gives.
 * @param options The kernel that it is for.
 * @returns 16 hexadecimal digits, as `info.tag` has them.
 */
export async function programTag(insns: Bytes | readonly Insn[], options: TagOptions = {}): Promise<string> {
  const bytes = insns instanceof Uint8Array ? insns : encode(insns);
  const hash = options.hash ??
    (parseRelease(options.kernel ?? Deno.osRelease()) >= SHA256_SINCE ? "SHA-256" : "SHA-1");
  const digest = new Uint8Array(await crypto.subtle.digest(hash, withoutMaps(bytes)));
  return [...digest.subarray(0, BPF_TAG_SIZE)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
