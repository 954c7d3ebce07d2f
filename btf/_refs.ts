/** The ids in a type. */

import type { BtfType } from "./types.ts";

/**
 * A type with other ids in it.
 *
 * @param type The type.
 * @param map The new id of each id.
 * @returns A type like it.
 */
export function mapIds(type: BtfType, map: (id: number) => number): BtfType {
  switch (type.kind) {
    case "array":
      return { ...type, typeId: map(type.typeId), indexTypeId: map(type.indexTypeId) };
    case "struct":
    case "union":
      return { ...type, members: type.members.map((member) => ({ ...member, typeId: map(member.typeId) })) };
    case "func_proto":
      return {
        ...type,
        retTypeId: map(type.retTypeId),
        params: type.params.map((param) => ({ ...param, typeId: map(param.typeId) })),
      };
    case "datasec":
      return { ...type, vars: type.vars.map((one) => ({ ...one, typeId: map(one.typeId) })) };
    case "void":
    case "int":
    case "float":
    case "fwd":
    case "enum":
    case "enum64":
      return type;
    default:
      return { ...type, typeId: map(type.typeId) };
  }
}

/**
 * The ids of the types that a type is made of.
 *
 * @param type The type.
 * @returns The ids, in the order in which BTF has them.
 */
export function idsIn(type: BtfType): number[] {
  switch (type.kind) {
    case "array":
      return [type.typeId, type.indexTypeId];
    case "struct":
    case "union":
      return type.members.map((member) => member.typeId);
    case "func_proto":
      return [type.retTypeId, ...type.params.map((param) => param.typeId)];
    case "datasec":
      return type.vars.map((one) => one.typeId);
    case "void":
    case "int":
    case "float":
    case "fwd":
    case "enum":
    case "enum64":
      return [];
    default:
      return [type.typeId];
  }
}
