/** How a value is reached: the access that a program was compiled with, and the same one in the kernel's types. */

import { fieldsAreCompatible, typesAreCompatible, typesMatch } from "./_core_compat.ts";
import {
  type CoreAccessor,
  type CoreSpec,
  type CoreTypes,
  isComposite,
  isEnum,
  MAX_PATH,
  sameName,
} from "./_core_types.ts";
import type { BtfCoreRelo, CoreReloKind } from "./ext.ts";
import type { BtfComposite } from "./types.ts";

/** What a kind of relocation is about. */
export const coreReloSubjects: Readonly<Record<CoreReloKind, "field" | "type" | "enumval">> = {
  field_byte_offset: "field",
  field_byte_size: "field",
  field_exists: "field",
  field_signed: "field",
  field_lshift_u64: "field",
  field_rshift_u64: "field",
  type_id_local: "type",
  type_id_target: "type",
  type_exists: "type",
  type_size: "type",
  enumval_exists: "enumval",
  enumval_value: "enumval",
  type_matches: "type",
};

function malformedRelo(relo: BtfCoreRelo, reason: string): SyntaxError {
  return new SyntaxError(`Cannot read a CO-RE relocation: access "${relo.access}" of type ${relo.typeId}: ${reason}`);
}

/** Reads an access such as `0:2:1`. C name: `bpf_core_parse_spec`. */
export function parseCoreSpec(types: CoreTypes, relo: BtfCoreRelo): CoreSpec {
  if (!/^\d+(:\d+)*$/.test(relo.access)) throw malformedRelo(relo, "it is not made of numbers and colons");
  const path = relo.access.split(":").map(Number);
  if (path.length > MAX_PATH) throw malformedRelo(relo, `it has more than ${MAX_PATH} steps`);
  if (relo.typeId >= types.btf.typeCount) throw malformedRelo(relo, "there is no such type");
  const spec: CoreSpec = { types, rootTypeId: relo.typeId, accessors: [], path, bitOffset: 0 };
  const subject = coreReloSubjects[relo.kind];
  if (subject === "type") {
    if (relo.access !== "0") throw malformedRelo(relo, "a type is accessed as a whole");
    return spec;
  }
  let [id, type] = types.resolve(relo.typeId);
  const [first, ...steps] = path;
  if (subject === "enumval") {
    const value = isEnum(type) ? type.values[first] : undefined;
    if (value === undefined || steps.length > 0) throw malformedRelo(relo, "there is no such value of an enum");
    spec.accessors.push({ typeId: id, index: first, name: value.name });
    return spec;
  }
  // The first number counts elements, as if the type were an array of itself.
  spec.accessors.push({ typeId: id, index: first, name: undefined });
  spec.bitOffset = first === 0 ? 0 : first * types.size(id) * 8;
  for (const step of steps) {
    [id, type] = types.resolve(id);
    if (isComposite(type)) {
      const member = type.members[step];
      if (member === undefined) throw malformedRelo(relo, `${type.kind} ${type.name} has no member ${step}`);
      spec.bitOffset += member.bitsOffset;
      if (member.name !== "") spec.accessors.push({ typeId: id, index: step, name: member.name });
      id = member.typeId;
    } else if (type.kind === "array") {
      const last = spec.accessors.at(-1);
      if (!types.isFlexible(last, type) && step >= type.nrElems) {
        throw malformedRelo(relo, `an array has ${type.nrElems} elements`);
      }
      [id] = types.resolve(type.typeId);
      spec.accessors.push({ typeId: id, index: step, name: undefined });
      spec.bitOffset += step * types.size(id) * 8;
    } else {
      throw malformedRelo(relo, `a step into a type of kind ${type.kind}`);
    }
  }
  return spec;
}

/**
 * The same access in a type of the kernel. C name: `bpf_core_spec_match`.
 *
 * @returns The access; undefined where the type has no such one.
 */
export function matchCoreSpec(
  local: CoreSpec,
  kind: CoreReloKind,
  target: CoreTypes,
  targetId: number,
): CoreSpec | undefined {
  const spec: CoreSpec = { types: target, rootTypeId: targetId, accessors: [], path: [], bitOffset: 0 };
  const subject = coreReloSubjects[kind];
  if (subject === "type") {
    const pair = { local: local.types, localId: local.rootTypeId, target, targetId };
    return (kind === "type_matches" ? typesMatch(pair) : typesAreCompatible(pair)) ? spec : undefined;
  }
  if (subject === "enumval") {
    const [id, type] = target.resolve(targetId);
    const wanted = local.accessors[0].name!;
    const index = isEnum(type) ? type.values.findIndex(({ name }) => sameName(name, wanted)) : -1;
    if (index < 0 || !isEnum(type)) return undefined;
    spec.accessors.push({ typeId: id, index, name: type.values[index].name });
    spec.path.push(index);
    return spec;
  }
  let id = targetId;
  for (const [step, accessor] of local.accessors.entries()) {
    if (accessor.name !== undefined) {
      const next = matchMember(local, accessor, spec, id);
      if (next === undefined) return undefined;
      id = next;
      continue;
    }
    let type;
    [id, type] = target.resolve(id);
    // The first accessor counts elements of the type itself; the others are of arrays.
    if (step > 0) {
      if (type.kind !== "array") return undefined;
      if (!target.isFlexible(spec.accessors.at(-1), type) && accessor.index >= type.nrElems) return undefined;
      [id] = target.resolve(type.typeId);
    }
    if (spec.path.length === MAX_PATH) {
      throw target.btf.malformedType(targetId, `it is nested more than ${MAX_PATH} deep`);
    }
    spec.accessors.push({ typeId: id, index: accessor.index, name: undefined });
    spec.path.push(accessor.index);
    if (accessor.index > 0) spec.bitOffset += accessor.index * target.size(id) * 8;
  }
  return spec;
}

/**
 * Looks for a member by name, in anonymous structs and unions too. C name: `bpf_core_match_member`.
 *
 * @returns The type of the member, which the spec then ends with; undefined where there is none that fits.
 */
function matchMember(local: CoreSpec, accessor: CoreAccessor, spec: CoreSpec, targetId: number): number | undefined {
  const [id, type] = spec.types.resolve(targetId);
  if (!isComposite(type)) return undefined;
  for (const [index, member] of type.members.entries()) {
    if (member.name !== "" && member.name !== accessor.name) continue;
    if (spec.path.length === MAX_PATH) {
      throw spec.types.btf.malformedType(id, `it is nested more than ${MAX_PATH} deep`);
    }
    const { bitOffset, path: { length } } = spec;
    spec.bitOffset += member.bitsOffset;
    spec.path.push(index);
    if (member.name === "") {
      const found = matchMember(local, accessor, spec, member.typeId);
      if (found !== undefined) return found;
    } else {
      const { typeId } = (local.types.type(accessor.typeId) as BtfComposite).members[accessor.index];
      const pair = { local: local.types, localId: typeId, target: spec.types, targetId: member.typeId };
      if (fieldsAreCompatible(pair)) {
        spec.accessors.push({ typeId: id, index, name: member.name });
        return member.typeId;
      }
      // A name is there once: what is found with another type is not looked for again.
      return undefined;
    }
    // Nothing in there: what was added on the way is taken back.
    spec.bitOffset = bitOffset;
    spec.path.length = length;
  }
  return undefined;
}
