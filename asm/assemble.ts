/**
 * Instructions and labels to the bytes of a program.
 *
 * @module
 */

import type { Insn, Item } from "./insn.ts";
import { encode } from "./codec.ts";
import { describe } from "./_render.ts";
import { resolveItems } from "./_resolve.ts";

/**
 * Turns labels into distances, and checks every instruction.
 *
 * @param items Instructions and labels
 * @returns The instructions, without labels
 * @throws {RangeError} If a label is unknown, there twice or too far away, or an opcode, register, offset or
 * immediate is out of range; the message names the instruction and its slot
 */
export function resolve(items: readonly Item[]): Insn[] {
  return resolveItems(items, ({ slot, item, reason }) => {
    const what = "code" in item ? `instruction ${slot} (${describe(item)})` : `label at instruction ${slot}`;
    throw new RangeError(`Cannot assemble ${what}: ${reason}`);
  });
}

/**
 * Assembles a program.
 *
 * @param items Instructions and labels
 * @returns The bytes, as BPF_PROG_LOAD takes them
 * @throws {RangeError} If a label is unknown, there twice or too far away, or an opcode, register, offset or
 * immediate is out of range; the message names the instruction and its slot
 * @example
 * ```ts
 * import { add64, assemble, call, exit, jmp, label, ldMapFd, ldx, mov64, r0, r1, r10, r2, st, stx } from "./mod.ts";
 *
 * const map = { fd: 5 };
 * const bytes = assemble([
 *   st("w", r10, -4, 0), // the key, 0, on the stack
 *   ldMapFd(r1, map),
 *   mov64(r2, r10),
 *   add64(r2, -4),
 *   call("map_lookup_elem"),
 *   jmp("jeq", r0, 0, "out"),
 *   ldx("dw", r1, r0),
 *   add64(r1, 1),
 *   stx("dw", r0, r1),
 *   label("out"),
 *   mov64(r0, 0),
 *   exit(),
 * ]);
 * ```
 */
export function assemble(items: readonly Item[]): Uint8Array<ArrayBuffer> {
  return encode(resolve(items));
}
