/**
 * Types of BTF, one method a kind.
 *
 * @module
 */

import type { BtfEnumValue, BtfIntEncoding, BtfLinkage, BtfMember, BtfParam, BtfSecVar, BtfType } from "./types.ts";

/** A member as {@linkcode BtfTypeBuilder.struct} takes it. */
export type BtfMemberInit = Omit<BtfMember, "bitfieldSize"> & {
  /** Its width in bits; 0 where it is no bitfield. @default {0} */
  readonly bitfieldSize?: number;
};

function completeMember(member: BtfMemberInit): BtfMember {
  const { name, typeId, bitsOffset, bitfieldSize = 0 } = member;
  return { name, typeId, bitsOffset, bitfieldSize };
}

/** The methods of a {@linkcode BtfBuilder} that add one type each. */
export abstract class BtfTypeBuilder {
  /**
   * Adds any type.
   *
   * @param type The type, as {@linkcode Btf.type} gives it.
   * @returns Its id.
   * @throws {RangeError} If it is void, or a number in it does not fit.
   */
  abstract add(type: BtfType): number;

  /**
   * Adds an integer. C name: `BTF_KIND_INT`.
   *
   * @param name Its name.
   * @param size Bytes: 1, 2, 4, 8 or 16.
   * @param encoding How it is meant; unsigned by default.
   * @returns Its id.
   * @throws {RangeError} If a number does not fit.
   */
  int(name: string, size: number, encoding: BtfIntEncoding = "none"): number {
    return this.add({ kind: "int", name, size, bitsOffset: 0, nrBits: 8 * size, encoding });
  }

  /**
   * Adds a floating-point number. C name: `BTF_KIND_FLOAT`.
   *
   * @param name Its name.
   * @param size Bytes: 2, 4, 8, 12 or 16.
   * @returns Its id.
   * @throws {RangeError} If a number does not fit.
   */
  float(name: string, size: number): number {
    return this.add({ kind: "float", name, size });
  }

  /**
   * Adds a pointer. C name: `BTF_KIND_PTR`.
   *
   * @param typeId The id of what it points to; 0 for void.
   * @returns Its id.
   * @throws {RangeError} If a number does not fit.
   */
  ptr(typeId: number): number {
    return this.add({ kind: "ptr", name: "", typeId });
  }

  /**
   * Adds a qualified type. C name: `BTF_KIND_CONST`, `BTF_KIND_VOLATILE`, `BTF_KIND_RESTRICT`.
   *
   * @param kind The qualifier.
   * @param typeId The id of the type that is qualified.
   * @returns Its id.
   * @throws {RangeError} If a number does not fit.
   */
  qualified(kind: "const" | "volatile" | "restrict", typeId: number): number {
    return this.add({ kind, name: "", typeId });
  }

  /**
   * Adds an array. C name: `BTF_KIND_ARRAY`.
   *
   * @param typeId The id of an element's type.
   * @param nrElems How many elements.
   * @param indexTypeId The id of an index's type: an integer, which the kernel asks for.
   * @returns Its id.
   * @throws {RangeError} If a number does not fit.
   */
  array(typeId: number, nrElems: number, indexTypeId: number): number {
    return this.add({ kind: "array", name: "", typeId, indexTypeId, nrElems });
  }

  /**
   * Adds a struct. C name: `BTF_KIND_STRUCT`.
   *
   * @param name Its name; empty for an anonymous one.
   * @param size Bytes.
   * @param members Its members, by their place.
   * @returns Its id.
   * @throws {RangeError} If a number does not fit.
   */
  struct(name: string, size: number, members: readonly BtfMemberInit[]): number {
    return this.add({ kind: "struct", name, size, members: members.map(completeMember) });
  }

  /**
   * Adds a union. C name: `BTF_KIND_UNION`.
   *
   * @param name Its name; empty for an anonymous one.
   * @param size Bytes.
   * @param members Its members.
   * @returns Its id.
   * @throws {RangeError} If a number does not fit.
   */
  union(name: string, size: number, members: readonly BtfMemberInit[]): number {
    return this.add({ kind: "union", name, size, members: members.map(completeMember) });
  }

  /**
   * Adds an enum of at most 32 bits, signed where a value is negative. C name: `BTF_KIND_ENUM`.
   *
   * @param name Its name; empty for an anonymous one.
   * @param values Its values.
   * @param size Bytes: 1, 2, 4 or 8.
   * @returns Its id.
   * @throws {RangeError} If a number does not fit.
   */
  enum(name: string, values: readonly BtfEnumValue[], size = 4): number {
    return this.add({ kind: "enum", name, size, signed: values.some(({ val }) => val < 0), values });
  }

  /**
   * Adds an enum of 64 bits, signed where a value is negative. C name: `BTF_KIND_ENUM64`.
   *
   * @param name Its name; empty for an anonymous one.
   * @param values Its values.
   * @param size Bytes: 1, 2, 4 or 8.
   * @returns Its id.
   * @throws {RangeError} If a number does not fit.
   */
  enum64(name: string, values: readonly BtfEnumValue<bigint>[], size = 8): number {
    return this.add({ kind: "enum64", name, size, signed: values.some(({ val }) => val < 0n), values });
  }

  /**
   * Adds a declaration of a struct or union. C name: `BTF_KIND_FWD`.
   *
   * @param name Its name.
   * @param fwdKind What is declared.
   * @returns Its id.
   * @throws {RangeError} If a number does not fit.
   */
  fwd(name: string, fwdKind: "struct" | "union" = "struct"): number {
    return this.add({ kind: "fwd", name, fwdKind });
  }

  /**
   * Adds another name for a type. C name: `BTF_KIND_TYPEDEF`.
   *
   * @param name The new name.
   * @param typeId The id of the type.
   * @returns Its id.
   * @throws {RangeError} If a number does not fit.
   */
  typedef(name: string, typeId: number): number {
    return this.add({ kind: "typedef", name, typeId });
  }

  /**
   * Adds the type of a function. C name: `BTF_KIND_FUNC_PROTO`.
   *
   * @param retTypeId The id of its result's type; 0 for void.
   * @param params Its parameters; the last one of type 0 and without a name is `...`.
   * @returns Its id.
   * @throws {RangeError} If a number does not fit.
   */
  funcProto(retTypeId: number, params: readonly BtfParam[]): number {
    return this.add({ kind: "func_proto", name: "", retTypeId, params });
  }

  /**
   * Adds a function. C name: `BTF_KIND_FUNC`.
   *
   * @param name Its name.
   * @param typeId The id of its func_proto.
   * @param linkage How far it can be seen.
   * @returns Its id.
   * @throws {RangeError} If a number does not fit.
   */
  func(name: string, typeId: number, linkage: BtfLinkage = "global"): number {
    return this.add({ kind: "func", name, typeId, linkage });
  }

  /**
   * Adds a variable. C name: `BTF_KIND_VAR`.
   *
   * @param name Its name.
   * @param typeId The id of its type.
   * @param linkage How far it can be seen.
   * @returns Its id.
   * @throws {RangeError} If a number does not fit.
   */
  var(name: string, typeId: number, linkage: BtfLinkage = "global"): number {
    return this.add({ kind: "var", name, typeId, linkage });
  }

  /**
   * Adds a section of variables. C name: `BTF_KIND_DATASEC`.
   *
   * @param name Its name, such as `.bss`.
   * @param size Bytes.
   * @param vars Its variables, by their place.
   * @returns Its id.
   * @throws {RangeError} If a number does not fit.
   */
  datasec(name: string, size: number, vars: readonly BtfSecVar[]): number {
    return this.add({ kind: "datasec", name, size, vars });
  }

  /**
   * Adds a tag of a type, a function or a variable, or of one of its components. C name: `BTF_KIND_DECL_TAG`.
   *
   * @param name The tag.
   * @param typeId The id of what is tagged.
   * @param componentIdx Which member or parameter is tagged; −1 for the whole.
   * @returns Its id.
   * @throws {RangeError} If a number does not fit.
   */
  declTag(name: string, typeId: number, componentIdx = -1): number {
    return this.add({ kind: "decl_tag", name, typeId, componentIdx, attribute: false });
  }

  /**
   * Adds a tag of a pointer's target. C name: `BTF_KIND_TYPE_TAG`.
   *
   * @param name The tag.
   * @param typeId The id of the type that is tagged.
   * @returns Its id.
   * @throws {RangeError} If a number does not fit.
   */
  typeTag(name: string, typeId: number): number {
    return this.add({ kind: "type_tag", name, typeId, attribute: false });
  }
}
