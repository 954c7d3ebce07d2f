/** What a relocation asks for, in libbpf's words. */

import { coreReloSubjects } from "./_core_spec.ts";
import { type CoreSpec, isEnum } from "./_core_types.ts";
import type { CoreReloKind } from "./ext.ts";

/** C name: `core_relo_kind_str`. */
const KIND_TEXTS: Readonly<Record<CoreReloKind, string>> = {
  field_byte_offset: "byte_off",
  field_byte_size: "byte_sz",
  field_exists: "field_exists",
  field_signed: "signed",
  field_lshift_u64: "lshift_u64",
  field_rshift_u64: "rshift_u64",
  type_id_local: "local_type_id",
  type_id_target: "target_type_id",
  type_exists: "type_exists",
  type_size: "type_size",
  enumval_exists: "enumval_exists",
  enumval_value: "enumval_value",
  type_matches: "type_matches",
};

/**
 * An access in words. C name: `bpf_core_format_spec`.
 *
 * @param spec The access.
 * @param kind What is asked for.
 * @returns Such as `<byte_off> [7] struct task_struct.pid (0:5 @ offset 20)`.
 */
export function describeCoreSpec(spec: CoreSpec, kind: CoreReloKind): string {
  const { types, rootTypeId, accessors, path, bitOffset } = spec;
  const root = types.type(rootTypeId);
  const start = `<${KIND_TEXTS[kind]}> [${rootTypeId}] ${root.kind} ${root.name === "" ? "<anon>" : root.name}`;
  const subject = coreReloSubjects[kind];
  if (subject === "type") return start;
  if (subject === "enumval") {
    const type = types.type(accessors[0].typeId);
    return isEnum(type) ? `${start}::${accessors[0].name} = ${type.values[accessors[0].index].val}` : start;
  }
  const steps = accessors.map(({ name, index }, step) =>
    name !== undefined ? `.${name}` : step > 0 || index > 0 ? `[${index}]` : ""
  ).join("");
  const bits = bitOffset % 8 === 0 ? "" : `.${bitOffset % 8}`;
  return `${start}${steps} (${path.join(":")} @ offset ${Math.floor(bitOffset / 8)}${bits})`;
}
