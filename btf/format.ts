/**
 * Values by their BTF type as text, as `bpftool map dump` shows them.
 *
 * @module
 */

import { checkValues } from "./_counts.ts";
import { isChar } from "./_flatten.ts";
import { JsonWriter } from "./_json_writer.ts";
import type { Btf } from "./btf.ts";
import type { BtfArray, BtfEnum, BtfEnum64, BtfInt, BtfMember } from "./types.ts";

/** How {@linkcode formatValue} writes. */
export interface FormatValueOptions {
  /**
   * `"plain"` as bpftool writes by default: in lines, pointers, bitfields and 128-bit integers as bare hexadecimal
   * numbers. `"json"` as with `-j`: in one line that is JSON.
   *
   * @default {"plain"}
   */
  readonly style?: "plain" | "json" | undefined;
  /** Objects and arrays around the value, which indent its lines: 2 in a dump of a map. @default {0} */
  readonly depth?: number | undefined;
}

/** Writes the values of one text. */
class Formatter {
  readonly #btf: Btf;
  readonly #bytes: Uint8Array;
  readonly #plain: boolean;
  readonly #littleEndian: boolean;
  readonly writer: JsonWriter;

  constructor(btf: Btf, bytes: Uint8Array, { style = "plain", depth = 0 }: FormatValueOptions) {
    this.#btf = btf;
    this.#bytes = bytes;
    this.#plain = style === "plain";
    this.#littleEndian = btf.byteOrder === "little";
    this.writer = new JsonWriter(this.#plain, depth);
  }

  write(id: number, at: number): void {
    const btf = this.#btf;
    const actual = btf.resolve(id);
    const type = btf.type(actual);
    switch (type.kind) {
      case "int":
        return this.writer.value(this.#int(type, at));
      case "ptr":
        return this.writer.value(this.#pointer(this.#unsigned(at, 8)));
      case "enum":
      case "enum64":
        return this.writer.value(this.#enum(type, at));
      case "float":
        return this.writer.value(this.#float(type.size, at));
      case "array":
        return this.#array(type, at);
      case "struct":
      case "union":
        return this.writer.nested("{}", () => {
          for (const member of btf.members(actual)) this.#member(actual, member, at);
        });
      case "var":
        return this.writer.nested("{}", () => {
          this.writer.name(type.name);
          this.write(type.typeId, at);
        });
      case "datasec":
        return this.writer.nested("{}", () => {
          this.writer.name(type.name);
          this.writer.nested("[]", () => {
            for (const { typeId, offset } of type.vars) {
              this.#check(actual, 8 * (at + offset + (btf.sizeOf(typeId) ?? 0)), btf.nameOf(typeId));
              this.write(typeId, at + offset);
            }
          });
        });
      default:
        throw new TypeError(`Cannot format ${type.kind} "${type.name}": it has no values`);
    }
  }

  #member(id: number, { name, typeId, bitsOffset, bitfieldSize }: BtfMember, at: number): void {
    const size = this.#btf.sizeOf(typeId);
    if (size === undefined) throw this.#btf.malformedType(id, `member "${name}" has a type without values`);
    const bit = 8 * at + bitsOffset;
    this.#check(id, bit + (bitfieldSize || 8 * size), name);
    this.writer.name(name);
    if (bitfieldSize > 0) return this.writer.value(this.#hex(this.#bits(bit, bitfieldSize)));
    if (bit % 8 !== 0) throw this.#btf.malformedType(id, `member "${name}" starts inside of a byte`);
    this.write(typeId, bit / 8);
  }

  /** Refuses what ends after the bytes: types may say otherwise. */
  #check(id: number, endBit: number, name: string): void {
    if (endBit > 8 * this.#bytes.length) throw this.#btf.malformedType(id, `member "${name}" is outside of it`);
  }

  #array({ typeId, nrElems }: BtfArray, at: number): void {
    const btf = this.#btf;
    if (isChar(btf, typeId)) {
      const text = this.#text(at, nrElems);
      if (text !== undefined) return this.writer.value(JSON.stringify(text));
    }
    const size = btf.sizeOf(typeId);
    if (size === undefined) throw btf.malformedType(typeId, "an array has elements without values");
    this.writer.nested("[]", () => {
      for (let index = 0; index < nrElems; index++) this.write(typeId, at + index * size);
    });
  }

  /** The text in an array of characters; undefined where one cannot be printed, or none ends it. */
  #text(at: number, length: number): string | undefined {
    const end = this.#bytes.subarray(at, at + length).indexOf(0);
    if (end < 0) return undefined;
    const text = this.#bytes.subarray(at, at + end);
    return text.every((byte) => byte > 0x1f && byte < 0x7f) ? new TextDecoder().decode(text) : undefined;
  }

  #int({ size, nrBits, bitsOffset, encoding }: BtfInt, at: number): string {
    if (nrBits !== 8 * size) return this.#hex(this.#bits(8 * at + bitsOffset, nrBits));
    const value = this.#unsigned(at, size);
    if (size === 16) return this.#hex(value);
    if (encoding === "signed") return `${BigInt.asIntN(nrBits, value)}`;
    if (encoding === "bool") return `${value !== 0n}`;
    if (encoding !== "char" || size !== 1) return `${value}`;
    const code = Number(value);
    if (code >= 0x20 && code < 0x7f) return JSON.stringify(String.fromCharCode(code));
    return this.#plain ? `0x${code.toString(16)}` : `"\\u${code.toString(16).padStart(4, "0")}"`;
  }

  #enum({ size, signed, values }: BtfEnum | BtfEnum64, at: number): string {
    const raw = this.#unsigned(at, size);
    const value = signed ? BigInt.asIntN(8 * size, raw) : raw;
    const named = values.find(({ val }) => BigInt(val) === value);
    // As in C without a name for it: a signed number.
    return named === undefined ? `${BigInt.asIntN(8 * size, raw)}` : JSON.stringify(named.name);
  }

  #float(size: number, at: number): string {
    const { buffer, byteOffset } = this.#bytes;
    const view = new DataView(buffer, byteOffset + at, size);
    if (size !== 4 && size !== 8) return this.#hex(this.#unsigned(at, size));
    const value = size === 4 ? view.getFloat32(0, this.#littleEndian) : view.getFloat64(0, this.#littleEndian);
    return this.#plain || Number.isFinite(value) ? `${value}` : `"${value}"`;
  }

  #pointer(value: bigint): string {
    if (!this.#plain) return `${value}`;
    return value === 0n ? "(nil)" : `0x${value.toString(16)}`;
  }

  #hex(value: bigint): string {
    return this.#plain ? `0x${value.toString(16)}` : `"0x${value.toString(16)}"`;
  }

  #unsigned(at: number, size: number): bigint {
    return this.#bits(8 * at, 8 * size);
  }

  /** Some bits as a number: they are counted from the lowest of the first byte, or from the highest (big-endian). */
  #bits(bit: number, count: number): bigint {
    const [first, end] = [Math.floor(bit / 8), Math.ceil((bit + count) / 8)];
    let value = 0n;
    for (let index = 0; index < end - first; index++) {
      value = value << 8n | BigInt(this.#bytes[this.#littleEndian ? end - 1 - index : first + index]);
    }
    const below = this.#littleEndian ? bit - 8 * first : 8 * end - bit - count;
    return BigInt.asUintN(count, value >> BigInt(below));
  }
}

/**
 * Writes a value as text, as `bpftool map dump` and `bpftool -j map dump` do, with three differences: floating-point
 * numbers, which bpftool does not know, are written as JavaScript does; a backslash is escaped as JSON wants it; and
 * values of small enums beyond half their range have their name.
 *
 * @param btf The types.
 * @param id The type's id.
 * @param bytes The value: as many bytes as its type has.
 * @param options The style, and how far lines are indented.
 * @returns The text, without a newline at its end.
 * @throws {RangeError} For another number of bytes, and if there is no type of the id.
 * @throws {TypeError} If the type has no values: void, functions, declarations.
 * @throws {SyntaxError} If the type makes no sense: members outside of their struct, types that hold each other.
 * @example
 * ```ts
 * import { Btf, BtfBuilder, formatValue } from "@bpf/deno/btf";
 *
 * const builder = new BtfBuilder();
 * const u16 = builder.int("unsigned short", 2);
 * const id = builder.struct("pair", 4, [
 *   { name: "low", typeId: u16, bitsOffset: 0 },
 *   { name: "high", typeId: u16, bitsOffset: 16 },
 * ]);
 * console.log(formatValue(Btf.parse(builder.bytes()), id, new Uint8Array([1, 0, 2, 0]), { style: "json" }));
 * // {"low":1,"high":2}
 * ```
 */
export function formatValue(btf: Btf, id: number, bytes: Uint8Array, options: FormatValueOptions = {}): string {
  const size = btf.sizeOf(id);
  if (size !== undefined && bytes.length !== size) {
    throw new RangeError(`Cannot format ${btf.kindOf(id)} ${id}: ${bytes.length} bytes are not its size of ${size}`);
  }
  checkValues(btf, id);
  const formatter = new Formatter(btf, bytes, options);
  formatter.write(id, 0);
  return formatter.writer.text();
}
