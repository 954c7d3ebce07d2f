/** The members of structs, unions and enums in C, at the places that BTF tells. */

import type { Btf } from "./btf.ts";
import type { BtfEnum, BtfEnum64, BtfMember } from "./types.ts";
import { identifier } from "./_c_names.ts";

/** What bodies need of the printer. */
export interface BodyContext {
  readonly btf: Btf;
  /** A declaration of a name, as `int *name`. */
  declare(id: number, name: string, indent: string): string;
  /** A name for an enum's value. */
  enumerator(name: string): string;
  /** Counts text, so that it does not become too long. */
  written(text: string): void;
  /** A number for padding that is new in this definition. */
  nextPad(): number;
}

/** Names of machine modes by bytes: the size of an enum that is not an int. */
const MODES: Readonly<Record<number, string>> = { 1: "QI", 2: "HI", 8: "DI" };

/** Makes the lines of one struct or union. */
class Body {
  readonly #context: BodyContext;
  readonly #indent: string;
  readonly #id: number;
  readonly lines: string[] = [];

  constructor(context: BodyContext, id: number, indent: string) {
    this.#context = context;
    this.#id = id;
    this.#indent = indent;
  }

  struct(members: readonly BtfMember[], packed: boolean): void {
    const { btf } = this.#context;
    let end = 0;
    for (const member of members) {
      const { typeId, bitsOffset, bitfieldSize } = member;
      const size = 8 * (btf.sizeOf(typeId) ?? 0);
      const isBitfield = bitfieldSize > 0;
      if (bitsOffset < end) throw btf.malformedType(this.#id, `member "${member.name}" overlaps the one before`);
      if (!isBitfield && bitsOffset % 8 !== 0) {
        throw btf.malformedType(this.#id, `member "${member.name}" starts inside of a byte`);
      }
      // Unnamed members that are no struct or union are room and nothing else.
      if (member.name === "" && btf.composite(typeId) === undefined) continue;
      const align = packed ? 8 : 8 * (btf.alignOf(typeId) ?? 1);
      const natural = isBitfield ? bitfieldPlace(end, bitfieldSize, packed ? 0 : size) : roundUp(end, align);
      if (natural !== bitsOffset) this.#pad(end, bitsOffset);
      this.#member(member);
      end = bitsOffset + (isBitfield ? bitfieldSize : size);
    }
    this.#finish(end, packed);
  }

  union(members: readonly BtfMember[], packed: boolean): void {
    const { btf } = this.#context;
    let end = 0;
    for (const member of members) {
      if (member.bitsOffset !== 0) {
        throw btf.malformedType(this.#id, `member "${member.name}" of a union is not at its start`);
      }
      if (member.name === "" && btf.composite(member.typeId) === undefined) continue;
      this.#member(member);
      end = Math.max(end, member.bitfieldSize > 0 ? member.bitfieldSize : 8 * (btf.sizeOf(member.typeId) ?? 0));
    }
    const size = this.#size(end);
    if (roundUp(end, packed ? 8 : this.#align()) !== size) this.#pad(0, size);
  }

  #align(): number {
    return 8 * (this.#context.btf.alignOf(this.#id) ?? 1);
  }

  /** The size in bits that BTF tells. */
  #size(end: number): number {
    const size = 8 * (this.#context.btf.sizeOf(this.#id) ?? 0);
    if (end > size) throw this.#context.btf.malformedType(this.#id, `its members end at bit ${end}, past its end`);
    return size;
  }

  #finish(end: number, packed: boolean): void {
    const size = this.#size(end);
    if (roundUp(end, packed ? 8 : this.#align()) !== size) this.#pad(end, size);
  }

  #member({ name, typeId, bitfieldSize }: BtfMember): void {
    const { btf } = this.#context;
    const indent = `${this.#indent}\t`;
    // C has no anonymous member of a named type: its members are written out.
    const declaration = name === ""
      ? composite(this.#context, btf.resolve(typeId), indent)
      : this.#context.declare(typeId, identifier(name), indent);
    this.#line(bitfieldSize > 0 ? `${declaration}: ${bitfieldSize}` : declaration);
  }

  /** Fills bits: up to a whole byte, bytes, and the bits of the last byte. */
  #pad(from: number, to: number): void {
    const firstByte = roundUp(from, 8);
    if (to < firstByte) return this.#line(`unsigned char : ${to - from}`);
    if (from < firstByte) this.#line(`unsigned char : ${firstByte - from}`);
    const bytes = Math.floor((to - firstByte) / 8);
    if (bytes > 0) this.#line(`unsigned char __btf_pad${this.#context.nextPad()}[${bytes}]`);
    if (to % 8 > 0) this.#line(`unsigned char : ${to % 8}`);
  }

  #line(text: string): void {
    this.#context.written(text);
    this.lines.push(`${this.#indent}\t${text};\n`);
  }
}

/** Where C puts a bitfield: at once, but not across the borders of its type. */
function bitfieldPlace(end: number, bits: number, unit: number): number {
  return unit > 0 && end % unit + bits > unit ? roundUp(end, unit) : end;
}

function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}

/**
 * A struct or union with its members.
 *
 * @param context The printer.
 * @param id The type's id.
 * @param indent What its last line starts with.
 * @param name Its name; empty where it has none.
 * @returns The text, without a semicolon.
 */
export function composite(context: BodyContext, id: number, indent: string, name = ""): string {
  const { btf } = context;
  const kind = btf.kindOf(id);
  const packed = btf.isPacked(id);
  const body = new Body(context, id, indent);
  if (kind === "union") body.union(btf.members(id), packed);
  else body.struct(btf.members(id), packed);
  const head = name === "" ? kind : `${kind} ${name}`;
  const tail = packed ? " __attribute__((packed))" : "";
  return `${head} {\n${body.lines.join("")}${indent}}${tail}`;
}

/**
 * An enum with its values.
 *
 * @param context The printer.
 * @param type The type.
 * @param indent What its last line starts with.
 * @param name Its name; empty where it has none.
 * @returns The text, without a semicolon.
 */
export function enumeration(
  context: BodyContext,
  type: BtfEnum | BtfEnum64,
  indent: string,
  name = "",
): string {
  let lines = "";
  for (const value of type.values) {
    context.written(value.name);
    lines += `${indent}\t${context.enumerator(value.name)} = ${literal(value.val)},\n`;
  }
  const mode = MODES[type.size];
  const tail = mode === undefined ? "" : ` __attribute__((mode(${mode})))`;
  return `${name === "" ? "enum" : `enum ${name}`} {\n${lines}${indent}}${tail}`;
}

function literal(value: number | bigint): string {
  if (typeof value === "number") return `${value}`;
  if (value === -(1n << 63n)) return "(-9223372036854775807LL - 1)";
  return value < 0n ? `${value}LL` : `${value}ULL`;
}
