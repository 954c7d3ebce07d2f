/**
 * BTF, the kernel's type information: read, find, build, print as C, and turn into codecs. It needs no permission and calls nothing.
 *
 * @example
 * ```ts
 * import { Btf, printC } from "@bpf/deno/btf";
 *
 * const btf = Btf.parse(await Deno.readFile("/sys/kernel/btf/vmlinux"));
 * const id = btf.find("struct", "list_head");
 * if (id !== undefined) console.log(printC(btf, [id]));
 * // struct list_head {
 * //   struct list_head *next;
 * //   struct list_head *prev;
 * // };
 * ```
 *
 * @module
 */

export { Btf, type BtfParseOptions } from "./btf.ts";
export { BtfBuilder, type BtfBuilderOptions } from "./builder.ts";
export { Codec, decode, encode } from "../codec.ts";
export { codecFrom } from "./codec_from.ts";
export { type CoreMatch, CoreResolver, type CoreResult, type CoreTargets } from "./core.ts";
export { coreMinimalBtf, type CoreObject } from "./core_minimal.ts";
export { coreEssentialName, coreTypesCompatible, type TypeIn } from "./core_compat.ts";
export { patchCoreInsn, POISON_CALL } from "./core_patch.ts";
export {
  type BtfCoreRelo,
  type BtfExt,
  type BtfExtSection,
  type BtfFuncInfo,
  type BtfLineInfo,
  type CoreReloKind,
  coreReloKinds,
  encodeBtfExt,
  parseBtfExt,
} from "./ext.ts";
export { formatValue, type FormatValueOptions } from "./format.ts";
export { type BtfKind, btfKindNumber, btfKinds } from "./kinds.ts";
export { printC } from "./print_c.ts";
export { printTypeScript, type PrintTypeScriptOptions } from "./print_typescript.ts";
export { TypeScriptTypes } from "./typescript_types.ts";
export { type BtfMemberInit, BtfTypeBuilder } from "./type_builder.ts";
export type {
  BtfArray,
  BtfComposite,
  BtfDatasec,
  BtfDeclTag,
  BtfEnum,
  BtfEnum64,
  BtfEnumValue,
  BtfFloat,
  BtfFunc,
  BtfFuncProto,
  BtfFwd,
  BtfInt,
  BtfIntEncoding,
  BtfLinkage,
  BtfMember,
  BtfModifier,
  BtfParam,
  BtfSecVar,
  BtfType,
  BtfTypedef,
  BtfTypeOf,
  BtfTypeTag,
  BtfVar,
  BtfVoid,
} from "./types.ts";
