/**
 * Types of BTF as TypeScript, for whoever writes a module of its own around them.
 *
 * @module
 */

import { TypeScriptPrinter } from "./_ts_types.ts";
import type { Btf } from "./btf.ts";

/** Writes types as TypeScript: those that have names are declared once, others stand where they are used. */
export class TypeScriptTypes {
  readonly #printer: TypeScriptPrinter;

  /**
   * Starts without declarations.
   *
   * @param btf The types.
   * @param reserved Names that the module has already, which no declaration gets.
   */
  constructor(btf: Btf, reserved: Iterable<string> = []) {
    this.#printer = new TypeScriptPrinter(btf, { codecs: false, reserved });
  }

  /**
   * A type in TypeScript, as {@linkcode codecFrom} decodes it.
   *
   * @param id The type's id.
   * @returns Its name, which is declared, or the type itself.
   * @throws {TypeError} If the type has no values.
   * @throws {SyntaxError} If it makes no sense, or is too large to be written.
   */
  typeOf(id: number): string {
    return this.#printer.typeOf(id);
  }

  /** The declarations of all types that were asked for, and of those that they need. */
  get declarations(): string {
    return this.#printer.declarations;
  }
}
