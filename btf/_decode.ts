/** Makes a type's object from its words. */

import * as k from "./_layout.ts";
import { btfKinds } from "./kinds.ts";
import type { BtfIntEncoding, BtfLinkage, BtfMember, BtfType } from "./types.ts";

/** The encodings of integers by number. C name: `BTF_INT_*`. */
export const INT_ENCODINGS: Readonly<Record<number, BtfIntEncoding>> = { 0: "none", 1: "signed", 2: "char", 4: "bool" };
/** The linkages by number. */
export const LINKAGES: readonly BtfLinkage[] = ["static", "global", "extern"];

/**
 * Makes a type.
 *
 * @param words The words of all types, which have been checked.
 * @param at Where the type is among them.
 * @param text The string at an offset.
 * @returns The type.
 */
export function decodeType(words: Uint32Array, at: number, text: (offset: number) => string): BtfType {
  const info = words[at + 1];
  const number = (info >>> 24) & k.KIND_MASK;
  const vlen = info & k.VLEN_MASK;
  const flag = info >>> 31 === 1;
  const sizeOrType = words[at + 2];
  const rest = at + k.TYPE_WORDS;
  const name = text(words[at]);
  const kind = btfKinds[number];
  /** One value a member. */
  const each = <T>(make: (place: number) => T): T[] => {
    const made: T[] = new Array(vlen);
    for (let index = 0; index < vlen; index++) made[index] = make(rest + k.WORDS_EACH[number] * index);
    return made;
  };
  switch (kind) {
    case "void":
      return { kind, name: "" };
    case "int": {
      const data = words[rest];
      const encoding = INT_ENCODINGS[data >>> 24];
      return { kind, name, size: sizeOrType, bitsOffset: (data >>> 16) & 0xff, nrBits: data & 0xffff, encoding };
    }
    case "ptr":
    case "volatile":
    case "const":
    case "restrict":
    case "typedef":
      return { kind, name, typeId: sizeOrType };
    case "array":
      return { kind, name, typeId: words[rest], indexTypeId: words[rest + 1], nrElems: words[rest + 2] };
    case "struct":
    case "union": {
      const members = each((place) => decodeMember(words, place, flag, text(words[place])));
      return { kind, name, size: sizeOrType, members };
    }
    case "enum": {
      const values = each((place) => ({
        name: text(words[place]),
        val: flag ? words[place + 1] | 0 : words[place + 1],
      }));
      return { kind, name, size: sizeOrType, signed: flag, values };
    }
    case "enum64": {
      const values = each((place) => {
        const val = BigInt(words[place + 2]) << 32n | BigInt(words[place + 1]);
        return { name: text(words[place]), val: flag ? BigInt.asIntN(64, val) : val };
      });
      return { kind, name, size: sizeOrType, signed: flag, values };
    }
    case "fwd":
      return { kind, name, fwdKind: flag ? "union" : "struct" };
    case "func":
      return { kind, name, typeId: sizeOrType, linkage: LINKAGES[vlen] };
    case "func_proto": {
      const params = each((place) => ({ name: text(words[place]), typeId: words[place + 1] }));
      return { kind, name, retTypeId: sizeOrType, params };
    }
    case "var":
      return { kind, name, typeId: sizeOrType, linkage: LINKAGES[words[rest]] };
    case "datasec": {
      const vars = each((place) => ({ typeId: words[place], offset: words[place + 1], size: words[place + 2] }));
      return { kind, name, size: sizeOrType, vars };
    }
    case "float":
      return { kind, name, size: sizeOrType };
    case "decl_tag":
      return { kind, name, typeId: sizeOrType, componentIdx: words[rest] | 0, attribute: flag };
    case "type_tag":
      return { kind, name, typeId: sizeOrType, attribute: flag };
  }
}

/**
 * Makes a member of a struct or union.
 *
 * @param words The words of all types.
 * @param at Where the member is among them.
 * @param flag Whether its offset has a bitfield's width in it.
 * @param name Its name.
 * @returns The member.
 */
export function decodeMember(words: Uint32Array, at: number, flag: boolean, name: string): BtfMember {
  const offset = words[at + 2];
  return {
    name,
    typeId: words[at + 1],
    bitsOffset: flag ? offset & 0xffffff : offset,
    bitfieldSize: flag ? offset >>> 24 : 0,
  };
}
