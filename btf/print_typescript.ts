/**
 * BTF as TypeScript.
 *
 * @module
 */

import { TypeScriptPrinter } from "./_ts_types.ts";
import type { Btf } from "./btf.ts";

/** How {@linkcode printTypeScript} prints. */
export interface PrintTypeScriptOptions {
  /** The module that the codecs are imported from. @default {"@bpf/deno"} */
  readonly from?: string | undefined;
}

/**
 * Prints types as a TypeScript module: an interface and a codec for each struct and union, a union of names and a codec
 * for each enum, those inside of the given types first. It reads and writes what {@linkcode codecFrom} does.
 *
 * Names are those of C without underscores: `struct list_head` becomes the interface `ListHead` and the codec
 * `listHead`.
 *
 * @param btf The types.
 * @param ids The ids of the types to print.
 * @param options The module that the codecs come from.
 * @returns The text of the module.
 * @throws {TypeError} If a type has no values: void, functions, declarations.
 * @throws {RangeError} If there is no type of an id.
 * @throws {SyntaxError} If a type makes no sense: members outside of their struct, types that hold each other.
 * @example
 * ```ts
 * import { Btf, BtfBuilder, printTypeScript } from "@bpf/deno/btf";
 *
 * const builder = new BtfBuilder();
 * const u32 = builder.int("unsigned int", 4);
 * const id = builder.struct("hit_count", 4, [{ name: "hits", typeId: u32, bitsOffset: 0 }]);
 * console.log(printTypeScript(Btf.parse(builder.bytes()), [id])); // export interface HitCount { hits: number; } …
 * ```
 */
export function printTypeScript(btf: Btf, ids: Iterable<number>, options: PrintTypeScriptOptions = {}): string {
  const printer = new TypeScriptPrinter(btf);
  for (const id of ids) printer.declare(id);
  return printer.text(options.from ?? "@bpf/deno");
}
