/**
 * The heads of functions, as bpftool writes them above their instructions.
 *
 * @module
 */

import type { Btf, BtfTypeOf } from "../btf/mod.ts";

const MAX_DEPTH = 32;

/** A function's type around its name: `int entry(void * ctx)`. */
function protoText(btf: Btf, proto: BtfTypeOf<"func_proto">, name: string, depth: number): string {
  const params = proto.params.map((param) =>
    param.typeId === 0
      ? "..."
      : param.name === ""
      ? typeText(btf, param.typeId, depth + 1).trimEnd()
      : `${typeText(btf, param.typeId, depth + 1)}${param.name}`
  );
  return `${typeText(btf, proto.retTypeId, depth + 1)}${name}(${params.length === 0 ? "void" : params.join(", ")})`;
}

/** A type as it stands before a name, with a space behind words and stars: `const struct xdp_md * `. */
function typeText(btf: Btf, id: number, depth: number): string {
  const type = btf.type(id);
  if (depth > MAX_DEPTH) throw btf.malformedType(id, `more than ${MAX_DEPTH} types stand for each other`);
  switch (type.kind) {
    case "void":
      return "void ";
    case "ptr":
      return `${typeText(btf, type.typeId, depth + 1)}* `;
    case "const":
    case "volatile":
    case "restrict":
      return `${type.kind} ${typeText(btf, type.typeId, depth + 1)}`;
    case "array":
      return `${typeText(btf, type.typeId, depth + 1)}[${type.nrElems}]`;
    case "fwd":
      return `${type.fwdKind} ${type.name} `;
    case "struct":
    case "union":
    case "enum":
      return `${type.kind} ${type.name} `;
    case "func_proto":
      return protoText(btf, type, "", depth);
    default:
      return `${type.name} `;
  }
}

/**
 * The head of a function: its result, its name and its parameters.
 *
 * @param btf The types.
 * @param funcId The id of its func.
 * @returns Such as `int entry(struct xdp_md * ctx)`.
 */
export function signatureOf(btf: Btf, funcId: number): string {
  const { name, typeId } = btf.type(funcId) as BtfTypeOf<"func">;
  return protoText(btf, btf.type(typeId) as BtfTypeOf<"func_proto">, name, 0);
}
