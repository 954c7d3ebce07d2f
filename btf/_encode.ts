/** Makes the words of a type from its object, and checks that they can be. */

import { INT_ENCODINGS, LINKAGES } from "./_decode.ts";
import * as k from "./_layout.ts";
import { btfKindNumber } from "./kinds.ts";
import type { BtfIntEncoding, BtfType } from "./types.ts";

/** Numbers of encodings by name. */
const ENCODINGS = new Map<BtfIntEncoding, number>(
  Object.entries(INT_ENCODINGS).map(([number, name]) => [name, Number(number)]),
);

/** The members, values, parameters or variables of a type. */
function partsOf(type: BtfType): readonly unknown[] {
  switch (type.kind) {
    case "struct":
    case "union":
      return type.members;
    case "enum":
    case "enum64":
      return type.values;
    case "func_proto":
      return type.params;
    case "datasec":
      return type.vars;
    default:
      return [];
  }
}

/**
 * Encodes a type.
 *
 * @param type The type.
 * @param name The offset of a string.
 * @returns Its words.
 * @throws {RangeError} If a number does not fit.
 */
export function encodeType(type: BtfType, name: (text: string) => number): number[] {
  const parts = partsOf(type);
  if (parts.length > k.VLEN_MASK) throw refusal(type, `${parts.length} members are more than ${k.VLEN_MASK}`);
  const u32 = (value: number, what: string): number => {
    if (Number.isInteger(value) && value >= 0 && value <= 0xffffffff) return value;
    throw refusal(type, `${what} ${value} is not between 0 and 4294967295`);
  };
  const head = (sizeOrType: number, flag = false, vlen = parts.length): number[] => [
    name(type.name),
    ((flag ? k.KIND_FLAG : 0) | (btfKindNumber(type.kind) << 24) | vlen) >>> 0,
    u32(sizeOrType, "size or type id"),
  ];
  switch (type.kind) {
    case "void":
      throw refusal(type, "void is there from the start, as type 0");
    case "int": {
      const encoding = ENCODINGS.get(type.encoding);
      if (encoding === undefined) throw refusal(type, `there is no encoding "${type.encoding}"`);
      if (![1, 2, 4, 8, 16].includes(type.size)) throw refusal(type, `${type.size} is no size of an integer`);
      const { bitsOffset, nrBits } = type;
      if (!(bitsOffset >= 0 && nrBits >= 0 && bitsOffset + nrBits <= 8 * type.size)) {
        throw refusal(type, `${nrBits} bits at bit ${bitsOffset} do not fit in ${type.size} bytes`);
      }
      return [...head(type.size), encoding << 24 | bitsOffset << 16 | nrBits];
    }
    case "ptr":
    case "volatile":
    case "const":
    case "restrict":
    case "typedef":
      return head(type.typeId);
    case "array":
      return [
        ...head(0),
        ...[u32(type.typeId, "type id"), u32(type.indexTypeId, "type id"), u32(type.nrElems, "element count")],
      ];
    case "struct":
    case "union": {
      const flag = type.members.some((member) => member.bitfieldSize > 0);
      const words = head(type.size, flag);
      for (const member of type.members) {
        const { bitsOffset, bitfieldSize } = member;
        if (bitfieldSize < 0 || bitfieldSize > 0xff) throw refusal(type, `a bitfield has no ${bitfieldSize} bits`);
        if (flag && bitsOffset > 0xffffff) throw refusal(type, `bit ${bitsOffset} is too far beside bitfields`);
        const place = u32(bitsOffset, "bit offset") + (flag ? bitfieldSize * 0x1000000 : 0);
        words.push(name(member.name), u32(member.typeId, "type id"), place);
      }
      return words;
    }
    case "enum": {
      checkEnumSize(type, type.size);
      const words = head(type.size, type.signed);
      for (const { name: valueName, val } of type.values) {
        const [least, most] = type.signed ? [-0x8000_0000, 0x7fff_ffff] : [0, 0xffff_ffff];
        if (!Number.isInteger(val) || val < least || val > most) {
          throw refusal(type, `value ${val} is not between ${least} and ${most}`);
        }
        words.push(name(valueName), val >>> 0);
      }
      return words;
    }
    case "enum64": {
      checkEnumSize(type, type.size);
      const words = head(type.size, type.signed);
      for (const { name: valueName, val } of type.values) {
        if (val !== (type.signed ? BigInt.asIntN(64, val) : BigInt.asUintN(64, val))) {
          throw refusal(type, `value ${val} does not fit in 64 bits`);
        }
        const bits = BigInt.asUintN(64, val);
        words.push(name(valueName), Number(bits & 0xffffffffn), Number(bits >> 32n));
      }
      return words;
    }
    case "fwd":
      return head(0, type.fwdKind === "union");
    case "func":
      return head(type.typeId, false, linkage(type));
    case "func_proto": {
      const words = head(type.retTypeId);
      for (const param of type.params) words.push(name(param.name), u32(param.typeId, "type id"));
      return words;
    }
    case "var":
      return [...head(type.typeId), linkage(type)];
    case "datasec": {
      const words = head(type.size);
      for (const { typeId, offset, size } of type.vars) {
        words.push(u32(typeId, "type id"), u32(offset, "offset"), u32(size, "size"));
      }
      return words;
    }
    case "float":
      if (![2, 4, 8, 12, 16].includes(type.size)) {
        throw refusal(type, `${type.size} is no size of a floating-point number`);
      }
      return head(type.size);
    case "decl_tag":
      if (type.componentIdx < -1 || type.componentIdx > 0x7fff_ffff) {
        throw refusal(type, `there is no component ${type.componentIdx}`);
      }
      return [...head(type.typeId, type.attribute), type.componentIdx >>> 0];
    case "type_tag":
      return head(type.typeId, type.attribute);
  }
}

function linkage(type: Extract<BtfType, { kind: "func" | "var" }>): number {
  const number = LINKAGES.indexOf(type.linkage);
  if (number < 0) throw refusal(type, `there is no linkage "${type.linkage}"`);
  return number;
}

function checkEnumSize(type: BtfType, size: number): void {
  if (![1, 2, 4, 8].includes(size)) throw refusal(type, `an enum has 1, 2, 4 or 8 bytes, not ${size}`);
}

function refusal(type: BtfType, reason: string): RangeError {
  return new RangeError(`Cannot encode ${type.kind} "${type.name}": ${reason}`);
}
