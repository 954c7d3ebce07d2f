/**
 * Types as `bpftool btf dump` shows them, in JSON and in lines.
 *
 * @module
 */

import type { Btf, BtfType } from "../btf/mod.ts";
import type { Json } from "./_json.ts";

const ENCODINGS = { none: "(none)", signed: "SIGNED", char: "CHAR", bool: "BOOL" } as const;

const named = (name: string): string => name === "" ? "(anon)" : name;

/** What bpftool calls a kind: void is the one that it does not know. */
const kindName = (kind: BtfType["kind"]): string => kind === "void" ? "UNKNOWN" : kind.toUpperCase();

/** What a type has besides id, kind and name; `rows` are its members, values, parameters or variables. */
interface Parts {
  readonly fields: { readonly [name: string]: Json };
  readonly rows?: readonly [name: string, rows: readonly { readonly [name: string]: Json | undefined }[]];
}

function partsOf(type: BtfType): Parts {
  switch (type.kind) {
    case "void":
      return { fields: {} };
    case "int": {
      const { size, bitsOffset: bits_offset, nrBits: nr_bits, encoding } = type;
      return { fields: { size, bits_offset, nr_bits, encoding: ENCODINGS[encoding] } };
    }
    case "array":
      return { fields: { type_id: type.typeId, index_type_id: type.indexTypeId, nr_elems: type.nrElems } };
    case "struct":
    case "union":
      return {
        fields: { size: type.size, vlen: type.members.length },
        rows: [
          "members",
          type.members.map(({ name, typeId, bitsOffset, bitfieldSize }) => ({
            name: named(name),
            type_id: typeId,
            bits_offset: bitsOffset,
            bitfield_size: bitfieldSize > 0 ? bitfieldSize : undefined,
          })),
        ],
      };
    case "enum":
    case "enum64":
      return {
        fields: { encoding: type.signed ? "SIGNED" : "UNSIGNED", size: type.size, vlen: type.values.length },
        rows: [
          "values",
          (type.values as readonly { name: string; val: number | bigint }[]).map(({ name, val }) => ({ name, val })),
        ],
      };
    case "fwd":
      return { fields: { fwd_kind: type.fwdKind } };
    case "func":
      return { fields: { type_id: type.typeId, linkage: type.linkage } };
    case "func_proto":
      return {
        fields: { ret_type_id: type.retTypeId, vlen: type.params.length },
        rows: ["params", type.params.map(({ name, typeId }) => ({ name: named(name), type_id: typeId }))],
      };
    case "var":
      return { fields: { type_id: type.typeId, linkage: type.linkage } };
    case "datasec":
      return {
        fields: { size: type.size, vlen: type.vars.length },
        rows: ["vars", type.vars.map(({ typeId, offset, size }) => ({ type_id: typeId, offset, size }))],
      };
    case "float":
      return { fields: { size: type.size } };
    case "decl_tag":
      return { fields: { type_id: type.typeId, component_idx: type.componentIdx } };
    default:
      return { fields: { type_id: type.typeId } };
  }
}

/** A type in bpftool's JSON. */
export function btfTypeJson(id: number, type: BtfType): { readonly [name: string]: Json } {
  const { fields, rows } = partsOf(type);
  const head = { id, kind: kindName(type.kind), name: named(type.name), ...fields };
  return rows === undefined ? head : { ...head, [rows[0]]: rows[1] as Json };
}

/** A type in lines, as bpftool prints it. */
export function btfTypeText(btf: Btf, id: number, type: BtfType): string {
  const { fields, rows } = partsOf(type);
  const pairs = (values: { readonly [name: string]: Json | undefined }): string =>
    Object.entries(values).filter(([, value]) => value !== undefined).map(([name, value]) => ` ${name}=${value}`).join(
      "",
    );
  // A variable has a comma that nothing else has.
  const rest = type.kind === "var" ? pairs(fields).replace(" linkage", ", linkage") : pairs(fields);
  let text = `[${id}] ${kindName(type.kind)} '${named(type.name)}'${rest}\n`;
  for (const { name, ...row } of rows?.[1] ?? []) {
    text += name === undefined
      ? `\t${pairs(row).trimStart()}${variableText(btf, row.type_id as number)}\n`
      : `\t'${name}'${pairs(row)}\n`;
  }
  return text;
}

/** What stands at a place of a section: a variable. */
function variableText(btf: Btf, id: number): string {
  if (id >= btf.typeCount) return "";
  const { kind, name } = btf.type(id);
  return ` (${kindName(kind)} '${named(name)}')`;
}
