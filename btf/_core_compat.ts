/** Which types CO-RE takes for each other. */

import { type CoreTypes, isComposite, isEnum, sameKind, sameName } from "./_core_types.ts";
import { MAX_DEPTH } from "./_malformed.ts";
import type { BtfComposite, BtfType, BtfTypeOf } from "./types.ts";

/** A type of the program, and one of the kernel. */
interface Pair {
  readonly local: CoreTypes;
  readonly localId: number;
  readonly target: CoreTypes;
  readonly targetId: number;
}

function tooDeep({ local, localId }: Pair): SyntaxError {
  return local.btf.malformedType(localId, `more than ${MAX_DEPTH} types are nested in each other`);
}

/**
 * Whether a member of the program's type stands for one of the kernel's: structs for structs whatever they hold,
 * integers for integers. C name: `bpf_core_fields_are_compat`.
 */
export function fieldsAreCompatible(pair: Pair): boolean {
  let { localId, targetId } = pair;
  for (let depth = 0; depth <= MAX_DEPTH; depth++) {
    const [, local] = pair.local.resolve(localId);
    const [, target] = pair.target.resolve(targetId);
    if (isComposite(local) && isComposite(target)) return true;
    if (!sameKind(local, target)) return false;
    switch (local.kind) {
      case "ptr":
      case "float":
        return true;
      case "fwd":
      case "enum":
      case "enum64":
        return local.name === "" || target.name === "" || sameName(local.name, target.name);
      case "int":
        return local.bitsOffset === 0 && (target as BtfTypeOf<"int">).bitsOffset === 0;
      case "array":
        localId = local.typeId;
        targetId = (target as BtfTypeOf<"array">).typeId;
        break;
      default:
        return false;
    }
  }
  throw tooDeep(pair);
}

/**
 * Whether a type of the kernel is of the same make as the program's, names and members aside. C name:
 * `bpf_core_types_are_compat`.
 */
export function typesAreCompatible(pair: Pair, level: number = MAX_DEPTH): boolean {
  let { localId, targetId } = pair;
  if (!sameKind(pair.local.type(localId), pair.target.type(targetId))) return false;
  for (let depth = 0; depth <= MAX_DEPTH; depth++) {
    if (level <= 0) throw tooDeep(pair);
    const [, local] = pair.local.resolve(localId);
    const [, target] = pair.target.resolve(targetId);
    if (!sameKind(local, target)) return false;
    switch (local.kind) {
      case "void":
      case "struct":
      case "union":
      case "enum":
      case "enum64":
      case "fwd":
        return true;
      case "int":
        return local.bitsOffset === 0 && (target as BtfTypeOf<"int">).bitsOffset === 0;
      case "ptr":
      case "array":
        localId = local.typeId;
        targetId = (target as BtfTypeOf<"ptr" | "array">).typeId;
        break;
      case "func_proto": {
        const { params, retTypeId } = target as BtfTypeOf<"func_proto">;
        if (local.params.length !== params.length) return false;
        for (const [index, param] of local.params.entries()) {
          const inner = {
            ...pair,
            localId: pair.local.resolve(param.typeId)[0],
            targetId: pair.target.resolve(params[index].typeId)[0],
          };
          if (!typesAreCompatible(inner, level - 1)) return false;
        }
        localId = local.retTypeId;
        targetId = retTypeId;
        break;
      }
      default:
        return false;
    }
  }
  throw tooDeep(pair);
}

/** Whether each value's name of an enum is among those of another. C name: `bpf_core_enums_match`. */
function enumsMatch(local: BtfType, target: BtfType): boolean {
  if (!isEnum(local) || !isEnum(target) || local.size !== target.size) return false;
  if (local.values.length > target.values.length) return false;
  const others = target.values as readonly { readonly name: string }[];
  return local.values.every(({ name }) => others.some((other) => sameName(name, other.name)));
}

/** Whether each member is among those of another, with a type that matches. C name: `bpf_core_composites_match`. */
function compositesMatch(
  pair: Pair,
  types: [BtfComposite, BtfComposite],
  behindPointer: boolean,
  level: number,
): boolean {
  const [local, target] = types;
  if (local.members.length > target.members.length) return false;
  return local.members.every((member) =>
    target.members.some((other) =>
      sameName(member.name, other.name) &&
      typesMatch({ ...pair, localId: member.typeId, targetId: other.typeId }, behindPointer, level - 1)
    )
  );
}

/**
 * Whether a type of the kernel has all that the program's has, names and members too; behind pointers names are enough.
 * C name: `bpf_core_types_match`.
 */
export function typesMatch(pair: Pair, behindPointer = false, level: number = MAX_DEPTH): boolean {
  let { localId, targetId } = pair;
  if (level <= 0) throw tooDeep(pair);
  for (let depth = 0; depth <= MAX_DEPTH; depth++) {
    const [, local] = pair.local.resolve(localId);
    const [, target] = pair.target.resolve(targetId);
    if (!sameName(local.name, target.name)) return false;
    switch (local.kind) {
      case "void":
        return target.kind === "void";
      case "fwd":
        if (target.kind === "fwd") return local.fwdKind === target.fwdKind;
        return behindPointer && target.kind === local.fwdKind;
      case "enum":
      case "enum64":
        return enumsMatch(local, target);
      case "struct":
      case "union":
        if (behindPointer) {
          return target.kind === local.kind || (target.kind === "fwd" && target.fwdKind === local.kind);
        }
        return target.kind === local.kind &&
          compositesMatch(pair, [local, target as BtfComposite], behindPointer, level);
      case "int":
        return target.kind === "int" && local.size === target.size &&
          (local.encoding === "signed") === (target.encoding === "signed");
      case "ptr":
        if (target.kind !== "ptr") return false;
        behindPointer = true;
        [localId, targetId] = [local.typeId, target.typeId];
        break;
      case "array":
        if (target.kind !== "array" || local.nrElems !== target.nrElems) return false;
        [localId, targetId] = [local.typeId, target.typeId];
        break;
      case "func_proto":
        if (target.kind !== "func_proto" || local.params.length !== target.params.length) return false;
        for (const [index, param] of local.params.entries()) {
          const inner = { ...pair, localId: param.typeId, targetId: target.params[index].typeId };
          if (!typesMatch(inner, behindPointer, level - 1)) return false;
        }
        [localId, targetId] = [local.retTypeId, target.retTypeId];
        break;
      default:
        return false;
    }
  }
  throw tooDeep(pair);
}
