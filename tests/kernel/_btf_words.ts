/**
 * Types of btf/ in the words of `bpftool btf dump -j`.
 *
 * @module
 */

import type { BtfType } from "../../btf/mod.ts";

const ENCODINGS = { none: "(none)", signed: "SIGNED", char: "CHAR", bool: "BOOL" } as const;

/** A type in the words of `bpftool btf dump -j`. */
export function asBpftool(id: number, type: BtfType): Record<string, unknown> {
  const named = (name: string): string => name === "" ? "(anon)" : name;
  const head = { id, kind: type.kind.toUpperCase(), name: named(type.name) };
  switch (type.kind) {
    case "void":
      return head;
    case "int": {
      const { size, bitsOffset: bits_offset, nrBits: nr_bits, encoding } = type;
      return { ...head, size, bits_offset, nr_bits, encoding: ENCODINGS[encoding] };
    }
    case "array":
      return { ...head, type_id: type.typeId, index_type_id: type.indexTypeId, nr_elems: type.nrElems };
    case "struct":
    case "union": {
      const members = type.members.map(({ name, typeId, bitsOffset, bitfieldSize }) => ({
        name: named(name),
        type_id: typeId,
        bits_offset: bitsOffset,
        ...(bitfieldSize > 0 ? { bitfield_size: bitfieldSize } : {}),
      }));
      return { ...head, size: type.size, vlen: members.length, members };
    }
    case "enum":
    case "enum64": {
      // bpftool's JSON extends the sign of values that have none; the next test compares them exactly.
      const shown = (val: number | bigint): number =>
        typeof val === "number" && val > 0x7fffffff ? Number(BigInt.asUintN(64, BigInt(val | 0))) : Number(val);
      const values = type.values.map(({ name, val }) => ({ name, val: shown(val) }));
      const encoding = type.signed ? "SIGNED" : "UNSIGNED";
      return { ...head, encoding, size: type.size, vlen: values.length, values };
    }
    case "fwd":
      return { ...head, fwd_kind: type.fwdKind };
    case "func":
      return { ...head, type_id: type.typeId, linkage: type.linkage };
    case "func_proto": {
      const params = type.params.map(({ name, typeId }) => ({ name: named(name), type_id: typeId }));
      return { ...head, ret_type_id: type.retTypeId, vlen: params.length, params };
    }
    case "var":
      return { ...head, type_id: type.typeId, linkage: type.linkage };
    case "datasec": {
      const vars = type.vars.map(({ typeId, offset, size }) => ({ type_id: typeId, offset, size }));
      return { ...head, size: type.size, vlen: vars.length, vars };
    }
    case "float":
      return { ...head, size: type.size };
    case "decl_tag":
      return { ...head, type_id: type.typeId, component_idx: type.componentIdx };
    default:
      return { ...head, type_id: type.typeId };
  }
}
