/** Types as CO-RE looks at them: decoded once, by the name without its flavor. */

import type { Btf } from "./btf.ts";
import type { BtfComposite, BtfEnum, BtfEnum64, BtfType, BtfTypeOf } from "./types.ts";

/** Decoded types, kept: a relocation looks at the members of the same types again and again. */
export class CoreTypes {
  /** The BTF. */
  readonly btf: Btf;
  readonly #types = new Map<number, BtfType>();

  /** Keeps the decoded types of a BTF. */
  constructor(btf: Btf) {
    this.btf = btf;
  }

  /** A type by its id. */
  type(id: number): BtfType {
    let type = this.#types.get(id);
    if (type === undefined) this.#types.set(id, type = this.btf.type(id));
    return type;
  }

  /** A type behind its typedefs and qualifiers, with its id. C name: `skip_mods_and_typedefs`. */
  resolve(id: number): [id: number, type: BtfType] {
    const actual = this.btf.resolve(id);
    return [actual, this.type(actual)];
  }

  /** The bytes of a type's values. */
  size(id: number): number {
    const size = this.btf.sizeOf(id);
    if (size === undefined) throw this.btf.malformedType(id, "its values have no size");
    return size;
  }

  /** Whether an array has no end: it is the last member of its struct, and has no elements. C name: `is_flex_arr`. */
  isFlexible(accessor: CoreAccessor | undefined, array: BtfTypeOf<"array">): boolean {
    if (accessor?.name === undefined || array.nrElems > 0) return false;
    return isComposite(this.type(accessor.typeId)) &&
      accessor.index === (this.type(accessor.typeId) as BtfComposite).members.length - 1;
  }
}

/** A step of an access: a member by name, or an element. C name: `struct bpf_core_accessor`. */
export interface CoreAccessor {
  /** The type that has the member; of an element the element's. */
  readonly typeId: number;
  /** The member's or the element's number. */
  readonly index: number;
  /** The member's name; undefined for an element. */
  readonly name: string | undefined;
}

/** How a value is reached, in the types of the program or of the kernel. C name: `struct bpf_core_spec`. */
export interface CoreSpec {
  /** The types that it is about. */
  readonly types: CoreTypes;
  /** The type that is accessed first. */
  readonly rootTypeId: number;
  /** The steps that count: anonymous structs are stepped over. */
  readonly accessors: CoreAccessor[];
  /** All steps by their numbers. */
  readonly path: number[];
  /** Bits from the start of the first type. */
  bitOffset: number;
}

/** The longest access. C name: BPF_CORE_SPEC_MAX_LEN. */
export const MAX_PATH = 64;

/** A struct or a union. */
export function isComposite(type: BtfType): type is BtfComposite {
  return type.kind === "struct" || type.kind === "union";
}

/** An enum of either size. */
export function isEnum(type: BtfType): type is BtfEnum | BtfEnum64 {
  return type.kind === "enum" || type.kind === "enum64";
}

/** Whether kinds are taken as the same. C name: `btf_kind_core_compat`. */
export function sameKind(one: BtfType, other: BtfType): boolean {
  return one.kind === other.kind || (isEnum(one) && isEnum(other));
}

const UNDERSCORE = 0x5f;

/**
 * A name without its flavor: `task_struct` of `task_struct___old`. C name: `bpf_core_essential_name_len`.
 *
 * @param name The name.
 * @returns What stands before the last `___` that has something other than underscores on both sides.
 */
export function essentialName(name: string): string {
  for (let at = name.length - 5; at >= 0; at--) {
    if (
      name.charCodeAt(at + 1) === UNDERSCORE && name.charCodeAt(at + 2) === UNDERSCORE &&
      name.charCodeAt(at + 3) === UNDERSCORE && name.charCodeAt(at) !== UNDERSCORE &&
      name.charCodeAt(at + 4) !== UNDERSCORE
    ) {
      return name.slice(0, at + 1);
    }
  }
  return name;
}

/** Whether names are the same but for their flavors. */
export function sameName(one: string, other: string): boolean {
  return one === other || essentialName(one) === essentialName(other);
}
