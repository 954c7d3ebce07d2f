/**
 * Structs as objects, laid out as a C compiler lays them out.
 *
 * @module
 */

import { misfit, within, wrongType } from "./_misfit.ts";
import { BitfieldCodec, type BitfieldMember } from "./bitfield.ts";
import { Codec } from "./codec.ts";
import { trust, trustAs } from "./trust.ts";

/** Bytes that are zero when written and not told when read. */
export class Padding extends Codec<undefined> {
  /** What tells padding from other codecs to TypeScript. */
  declare readonly padding: true;

  /** Reads nothing. */
  decode(): undefined {
    return undefined;
  }

  /**
   * Writes zeros.
   *
   * @param view The memory.
   * @param offset Where the padding starts.
   */
  encode(view: DataView<ArrayBuffer>, offset: number): void {
    for (let index = 0; index < this.size; index++) view.setUint8(offset + index, 0);
  }
}

/**
 * Explicit padding in a struct: its field does not show in the value.
 *
 * @param size The bytes.
 * @returns A codec for a field of any name.
 */
export function pad(size: number): Padding {
  return trust(new Padding(`pad(${size})`, size, 1));
}

/** What fields a struct may have: codecs, and bit-fields as `bits()` makes them. */
export type StructFields = Readonly<Record<string, Codec<unknown> | BitfieldMember<unknown>>>;

/** The JavaScript value of a field of a struct. */
export type FieldValue<F> = F extends Codec<infer T> ? T : F extends BitfieldMember<infer T> ? T : never;

/** The object that a struct with some fields is. */
export type StructValue<F extends StructFields> = {
  [K in keyof F as F[K] extends Padding ? never : K]: FieldValue<F[K]>;
};

/** How `struct()` lays out fields. */
export interface StructOptions {
  /** The C type's name, for messages. @default {"struct"} */
  name?: string | undefined;
  /** Whether fields follow each other without gaps: `__attribute__((packed))`. @default {false} */
  packed?: boolean | undefined;
  /** An alignment beyond that of the fields, in bytes: `__attribute__((aligned(n)))`. */
  alignment?: number | undefined;
}

/** A member of a struct whose place is known. */
export interface StructMember {
  /** Its name; empty for padding. */
  readonly name: string;
  /** Its first byte. */
  readonly offset: number;
  /** Its codec. */
  readonly codec: Codec<unknown>;
  /**
   * For members that share bytes, as those of an anonymous union do: a number that they have in common. One of them has
   * to be given when a value is written; where more are, they have to agree.
   */
  readonly group?: number | undefined;
}

/** Where the members of a struct are. */
export interface StructLayout {
  /** The C type's name. */
  readonly name: string;
  /** The bytes of the struct. */
  readonly size: number;
  /** What its address is a multiple of. */
  readonly alignment: number;
  /** Its members. */
  readonly members: readonly StructMember[];
}

/** Reads a value, as `Codec.decode()` does. */
type Decode<T> = (view: DataView<ArrayBuffer>, offset: number) => T;

/** After how many values a struct's decoder is compiled. */
const COMPILE_AFTER = 64;

/**
 * A function with one object literal in it, which V8 makes in a sixth of the time that it takes to add the same members
 * one by one. Names enter it quoted, codecs as arguments; undefined where code may not be made from strings.
 */
function compile<T>(
  names: readonly string[],
  offsets: readonly number[],
  codecs: readonly Codec<unknown>[],
): Decode<T> | undefined {
  // Each codec in a constant of its own.
  const constants = codecs.map((_, index) => `const c${index} = codecs[${index}];`).join("\n");
  const members = names.map((name, index) => {
    return `${JSON.stringify(name)}: c${index}.decode(view, offset + ${offsets[index]})`;
  });
  try {
    return new Function("codecs", `${constants}\nreturn (view, offset) => ({ ${members.join(", ")} });`)(codecs);
  } catch (error) {
    if (error instanceof EvalError) return undefined;
    throw error;
  }
}

/** Whether members write every bit of a struct. */
function coversAll(members: readonly StructMember[], size: number): boolean {
  if (members.some(({ codec }) => codec instanceof BitfieldCodec)) return false;
  let end = 0;
  for (const { offset, codec } of members.toSorted((a, b) => a.offset - b.offset)) {
    if (offset > end) return false;
    end = Math.max(end, offset + codec.size);
  }
  return end === size;
}

class StructCodec<T extends object> extends Codec<T> {
  readonly #names: readonly string[];
  readonly #offsets: readonly number[];
  readonly #codecs: readonly Codec<unknown>[];
  /** The members that have their bytes to themselves. */
  readonly #alone: readonly StructMember[];
  /** Whether there are bytes, or bits of bytes, that no member writes. */
  readonly #sparse: boolean;
  #compiled: Decode<T> | undefined;
  #decoded = 0;
  /** The members that share bytes, by their group. */
  readonly #groups: ReadonlyMap<number, readonly StructMember[]>;

  constructor({ name, size, alignment, members }: StructLayout) {
    super(name, size, alignment);
    const told = members.filter(({ codec }) => !(codec instanceof Padding));
    this.#names = told.map((member) => member.name);
    this.#offsets = told.map((member) => member.offset);
    this.#codecs = told.map((member) => member.codec);
    this.#alone = told.filter(({ group }) => group === undefined);
    this.#groups = Map.groupBy(told.filter(({ group }) => group !== undefined), ({ group }) => group as number);
    this.#sparse = !coversAll(this.#alone, size);
  }

  /** Where a member starts; undefined where there is none of that name. */
  offsetOf(name: string): number | undefined {
    return this.#offsets[this.#names.indexOf(name)];
  }

  decode(view: DataView<ArrayBuffer>, offset: number): T {
    if (this.#compiled !== undefined) return this.#compiled(view, offset);
    const names = this.#names;
    if (++this.#decoded === COMPILE_AFTER) this.#compiled = compile(names, this.#offsets, this.#codecs);
    const value: Record<string, unknown> = {};
    for (let index = 0; index < names.length; index++) {
      value[names[index]] = this.#codecs[index].decode(view, offset + this.#offsets[index]);
    }
    return value as T;
  }

  encode(view: DataView<ArrayBuffer>, offset: number, value: T): void {
    if (typeof value !== "object" || value === null) wrongType(this.name, value, "an object");
    // Keys of hashes are compared byte by byte: padding has to be the same each time.
    if (this.#sparse) new Uint8Array(view.buffer, view.byteOffset + offset, this.size).fill(0);
    for (const { name, offset: place, codec } of this.#alone) {
      try {
        codec.encode(view, offset + place, (value as Record<string, unknown>)[name]);
      } catch (error) {
        within(error, name);
      }
    }
    if (this.#groups.size > 0) this.#encodeGroups(view, offset, value as Record<string, unknown>);
  }

  #encodeGroups(view: DataView<ArrayBuffer>, offset: number, value: Record<string, unknown>): void {
    for (const group of this.#groups.values()) {
      const given = group.filter(({ name }) => value[name] !== undefined);
      if (given.length === 0) {
        misfit(this.name, `it needs one of ${group.map(({ name }) => name).join(", ")}, and has none`);
      }
      for (const { name, offset: place, codec } of given) {
        try {
          codec.encode(view, offset + place, value[name]);
        } catch (error) {
          within(error, name);
        }
      }
      // Members that were written over have to read as they were given.
      if (given.length > 1) { for (const member of given) this.#checkRead(view, offset, member, value[member.name]); }
    }
  }

  #checkRead(
    view: DataView<ArrayBuffer>,
    offset: number,
    { name, offset: place, codec }: StructMember,
    value: unknown,
  ): void {
    const [given, read] = [new Uint8Array(codec.size), new Uint8Array(codec.size)];
    codec.encode(new DataView(given.buffer), 0, value);
    codec.encode(new DataView(read.buffer), 0, codec.decode(view, offset + place));
    if (given.every((byte, index) => byte === read[index])) return;
    misfit(this.name, `${name} shares its bytes with another member that says otherwise: give only one of them`);
  }
}

const roundUp = (value: number, unit: number): number => Math.ceil(value / unit) * unit;

/** Goes through fields in their order, as a C compiler does on x86-64 and arm64. */
function layOut(
  fields: StructFields,
  { name = "struct", packed = false, alignment: least = 1 }: StructOptions,
): StructLayout {
  const members: StructMember[] = [];
  let bit = 0;
  let alignment = least;
  for (const [field, codec] of Object.entries(fields)) {
    if (!(codec instanceof Codec)) {
      const { base, width } = codec;
      const unit = 8 * base.size;
      // A bit-field that would cross a boundary of its type starts at the next one.
      if (!packed && Math.floor(bit / unit) !== Math.floor((bit + width - 1) / unit)) bit = roundUp(bit, unit);
      members.push({ name: field, offset: Math.floor(bit / 8), codec: new BitfieldCodec(codec, bit % 8) });
      bit += width;
      if (!packed) alignment = Math.max(alignment, base.alignment);
      continue;
    }
    const unit = packed ? 1 : codec.alignment;
    const offset = roundUp(Math.ceil(bit / 8), unit);
    members.push({ name: field, offset, codec });
    alignment = Math.max(alignment, unit);
    bit = 8 * (offset + codec.size);
  }
  return { name, size: roundUp(Math.ceil(bit / 8), alignment), alignment, members };
}

function checkFields(fields: StructFields): void {
  for (const [name, codec] of Object.entries(fields)) {
    if (/^\d+$/.test(name)) {
      throw new TypeError(`Cannot make a struct: field "${name}" is a number, whose order JavaScript does not keep`);
    }
    if (!(codec instanceof Codec) && !("width" in codec)) {
      throw new TypeError(`Cannot make a struct: field "${name}" has no codec`);
    }
  }
}

/**
 * A struct, its fields in C's order, with C's alignment and padding. Padding is written as zeros.
 *
 * @example
 * ```ts
 * import { bits, cstr, encode, pad, struct, u16be, u32, u64, u8 } from "@bpf/deno";
 *
 * const event = struct({ time: u64, pid: u32, port: u16be, flags: bits(u8, 3), _: pad(1), comm: cstr(16) });
 * console.log(event.size, event.alignment);
 * console.log(encode(event, { time: 1n, pid: 2, port: 443, flags: 1, comm: "curl" }));
 * ```
 *
 * @typeParam F The fields.
 * @param fields The codecs by name.
 * @param options The name, whether it is packed, and its alignment.
 * @returns A codec of objects.
 * @throws {TypeError} For a field name that is a number, or a bit-field that is not of the machine's byte order.
 */
export function struct<const F extends StructFields>(fields: F, options: StructOptions = {}): Codec<StructValue<F>> {
  checkFields(fields);
  return structAt<StructValue<F>>(layOut(fields, options));
}

/**
 * A struct whose members' places are known, such as from BTF. Members may overlap.
 *
 * @typeParam T The object.
 * @param layout The size, the alignment and the members.
 * @returns A codec of objects.
 * @throws {RangeError} For a member that reaches past the end.
 * @throws {TypeError} For a member of the name `__proto__`.
 */
export function structAt<T extends object>(layout: StructLayout): Codec<T> {
  for (const { name, offset, codec } of layout.members) {
    if (name === "__proto__") {
      throw new TypeError(`Cannot make a codec of ${layout.name}: an object has no "${name}" member`);
    }
    if (offset < 0 || offset + codec.size > layout.size) {
      throw new RangeError(`Cannot make a codec of ${layout.name}: ${name} is outside of its ${layout.size} bytes`);
    }
  }
  return trustAs(new StructCodec<T>(layout), layout.members.map(({ codec }) => codec));
}

/**
 * Where a member of a struct starts, in bytes: C's offsetof(), for programs that read or write the struct. Of a bit-field
 * it is the byte that has its first bit.
 *
 * @typeParam T The object.
 * @param codec The struct, as `struct()` or `structAt()` makes it.
 * @param name The member.
 * @returns Its offset.
 * @throws {TypeError} Where the codec is of no struct, or the struct has no such member.
 */
export function offsetOf<T extends object>(codec: Codec<T>, name: keyof T & string): number {
  const offset = codec instanceof StructCodec ? codec.offsetOf(name) : undefined;
  if (offset === undefined) throw new TypeError(`Cannot tell an offset: ${codec.name} has no member "${name}"`);
  return offset;
}
