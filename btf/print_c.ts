/**
 * BTF as C.
 *
 * @module
 */

import { CPrinter } from "./_c_printer.ts";
import type { Btf } from "./btf.ts";

const HEAD = `#ifndef __VMLINUX_H__
#define __VMLINUX_H__

#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute push (__attribute__((preserve_access_index)), apply_to = record)
#endif

`;

const TAIL = `#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute pop
#endif

#endif /* __VMLINUX_H__ */
`;

/**
 * Prints types as C for clang's bpf target: all of them, as the `vmlinux.h` that programs include, or some with what
 * they need. Each type stands after what it needs, pointers need a declaration only. Sizes and offsets are those of the
 * BTF: where C would place members elsewhere there is padding, or `__attribute__((packed))`.
 *
 * Names that C does not allow get a `_`, those that come twice `___2` at their end. Functions and variables are
 * printed where their ids are given.
 *
 * @param btf The types.
 * @param ids The ids of the types to print. @default {all types, with an include guard and preserve_access_index}
 * @returns The text.
 * @throws {RangeError} If there is no type of an id.
 * @throws {SyntaxError} If C cannot say it: types that hold each other in a circle, members that overlap.
 * @example
 * ```ts
 * import { BtfBuilder, Btf, printC } from "@bpf/deno/btf";
 *
 * const builder = new BtfBuilder();
 * const int = builder.int("int", 4, "signed");
 * const point = builder.struct("point", 4, [{ name: "x", typeId: int, bitsOffset: 0 }]);
 * console.log(printC(Btf.parse(builder.bytes()), [point])); // struct point { int x; };
 * ```
 */
export function printC(btf: Btf, ids?: Iterable<number>): string {
  const printer = new CPrinter(btf);
  if (ids === undefined) {
    printer.all();
    return HEAD + printer.text() + TAIL;
  }
  for (const id of ids) printer.one(id);
  return printer.text().replace(/\n+$/, "\n");
}
