/**
 * Whether a type of an object may stand for one of the kernel, outside of relocations: externs ask that.
 *
 * @module
 */

import { typesAreCompatible } from "./_core_compat.ts";
import { CoreTypes, essentialName } from "./_core_types.ts";
import type { Btf } from "./btf.ts";

/** A type by its id in some BTF. */
export interface TypeIn {
  /** The BTF. */
  readonly btf: Btf;
  /** The type's id. */
  readonly typeId: number;
}

/**
 * Whether a type of the kernel is of the same make as an object's: names and members do not count, kinds and the
 * parameters of functions do. C name: `bpf_core_types_are_compat`.
 *
 * @param local The object's type.
 * @param target The kernel's type.
 * @returns Whether it is.
 * @throws {SyntaxError} If more than 32 types are nested in each other.
 */
export function coreTypesCompatible(local: TypeIn, target: TypeIn): boolean {
  return typesAreCompatible({
    local: new CoreTypes(local.btf),
    localId: local.typeId,
    target: new CoreTypes(target.btf),
    targetId: target.typeId,
  });
}

/**
 * A name without its flavor: `task_struct` of `task_struct___old`. C name: `bpf_core_essential_name_len`.
 *
 * @param name The name.
 * @returns What stands before the last `___` that has something other than underscores on both sides.
 */
export function coreEssentialName(name: string): string {
  return essentialName(name);
}
