/** What a relocation comes to: the number that the program was compiled with, and the one of this kernel. */

import { coreReloSubjects } from "./_core_spec.ts";
import { type CoreSpec, isEnum } from "./_core_types.ts";
import type { BtfCoreRelo, CoreReloKind } from "./ext.ts";
import type { BtfComposite, BtfTypeOf } from "./types.ts";

/** A relocation's answer in one BTF. */
export interface CoreValue {
  /** The number; undefined where the kernel has no such thing, and the instruction must not run. */
  readonly value: bigint | undefined;
  /** Whether a compiler has put the same number into the instruction. */
  readonly exact: boolean;
  /** The bytes and the type of a field that is accessed, which an instruction's size goes by. */
  readonly access: { readonly size: number; readonly typeId: number } | undefined;
}

function known(value: number | bigint, exact = true, access?: CoreValue["access"]): CoreValue {
  return { value: BigInt(value), exact, access };
}

const ABSENT: CoreValue = { value: undefined, exact: true, access: undefined };

/**
 * What a relocation comes to by one access. C names: `bpf_core_calc_field_relo`, `bpf_core_calc_type_relo`,
 * `bpf_core_calc_enumval_relo`.
 *
 * @param relo What is asked for.
 * @param spec The access; undefined where there is none.
 * @returns The answer.
 */
export function coreValue({ kind }: BtfCoreRelo, spec: CoreSpec | undefined): CoreValue {
  switch (kind) {
    case "field_exists":
    case "enumval_exists":
    case "type_exists":
    case "type_matches":
      return known(spec === undefined ? 0 : 1);
    case "type_id_local":
    case "type_id_target":
      // Ids change when objects are linked: what stands in the instruction says nothing.
      return known(spec?.rootTypeId ?? 0, false);
    case "type_size":
      return known(spec === undefined ? 0 : spec.types.size(spec.rootTypeId));
  }
  if (spec === undefined) return ABSENT;
  if (coreReloSubjects[kind] === "enumval") {
    const [{ typeId, index }] = spec.accessors;
    const type = spec.types.type(typeId);
    return known(isEnum(type) ? BigInt.asUintN(64, BigInt(type.values[index].val)) : 0);
  }
  return fieldValue(kind, spec);
}

/** The smallest unit of 1, 2, 4 or 8 bytes, aligned to itself, that holds a bitfield. */
function bitfieldUnit(spec: CoreSpec, bits: number, size: number): { start: number; size: number } {
  const at = spec.bitOffset;
  for (let unit = size; unit <= 8; unit *= 2) {
    const start = Math.floor(at / 8 / unit) * unit;
    if (at + bits <= (start + unit) * 8) return { start, size: unit };
  }
  throw spec.types.btf.malformedType(spec.rootTypeId, `a bitfield at bit ${at} cannot be read with 8 bytes`);
}

function fieldValue(kind: CoreReloKind, spec: CoreSpec): CoreValue {
  const { types, bitOffset } = spec;
  const { typeId, index, name } = spec.accessors[spec.accessors.length - 1];
  if (name === undefined) {
    const size = types.size(typeId);
    if (kind === "field_byte_offset") return known(Math.floor(bitOffset / 8), true, { size, typeId });
    if (kind === "field_byte_size") return known(size);
    throw new SyntaxError(`Cannot read a CO-RE relocation: ${kind} of an element of an array`);
  }
  const member = (types.type(typeId) as BtfComposite).members[index];
  const [fieldId, field] = types.resolve(member.typeId);
  const isBitfield = member.bitfieldSize > 0;
  const { start, size } = isBitfield
    ? bitfieldUnit(spec, member.bitfieldSize, (field as BtfTypeOf<"int">).size)
    : { start: Math.floor(bitOffset / 8), size: types.size(fieldId) };
  const bits = isBitfield ? member.bitfieldSize : size * 8;
  switch (kind) {
    case "field_byte_offset":
      return known(start, !isBitfield, isBitfield ? undefined : { size: elementSize(spec, fieldId), typeId: fieldId });
    case "field_byte_size":
      return known(size, !isBitfield);
    case "field_signed":
      return known((isEnum(field) && field.signed) || (field.kind === "int" && field.encoding === "signed") ? 1 : 0);
    case "field_lshift_u64": {
      const first = bitOffset - start * 8;
      const shift = types.btf.byteOrder === "little" ? 64 - (first + bits) : (8 - size) * 8 + first;
      return known(BigInt.asUintN(64, BigInt(shift)), !isBitfield);
    }
    default:
      return known(BigInt.asUintN(64, BigInt(64 - bits)));
  }
}

/** The bytes of what a field holds; of an array those of an element. */
function elementSize({ types }: CoreSpec, fieldId: number): number {
  let [id, type] = types.resolve(fieldId);
  while (type.kind === "array") [id, type] = types.resolve(type.typeId);
  return types.size(id);
}
