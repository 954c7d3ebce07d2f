/**
 * Codecs: C types as JavaScript values, for the keys and values of maps and the records of event buffers.
 *
 * @example
 * ```ts
 * import { decode, encode, ipv4, port, struct, u8 } from "@bpf/deno";
 *
 * const flow = struct({ source: ipv4, target: ipv4, port, protocol: u8 });
 * const bytes = encode(flow, { source: "192.0.2.1", target: "192.0.2.2", port: 443, protocol: 6 });
 * console.log(flow.size, decode(flow, bytes));
 * ```
 *
 * @module
 */

export { Codec, decode, encode, type ValueOf } from "./codec/codec.ts";
export {
  bool,
  f32,
  f64,
  i128,
  i128be,
  i128le,
  i16,
  i16be,
  i16le,
  i32,
  i32be,
  i32le,
  i64,
  i64be,
  i64le,
  i8,
  IntegerCodec,
  u128,
  u128be,
  u128le,
  u16,
  u16be,
  u16le,
  u32,
  u32be,
  u32le,
  u64,
  u64be,
  u64le,
  u8,
} from "./codec/integers.ts";
export { enumOf } from "./codec/enum.ts";
export { array, bytes, cstr } from "./codec/bytes.ts";
export { BitfieldCodec, type BitfieldMember, type BitfieldOptions, bits } from "./codec/bitfield.ts";
export {
  type FieldValue,
  offsetOf,
  pad,
  Padding,
  struct,
  structAt,
  type StructFields,
  type StructLayout,
  type StructMember,
  type StructOptions,
  type StructValue,
} from "./codec/struct.ts";
export { union, type UnionMembers, type UnionValue } from "./codec/union.ts";
export { ipv4, ipv4Prefix, ipv6, ipv6Prefix, mac, port } from "./codec/net.ts";
