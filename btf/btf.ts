/**
 * Reading BTF: types by id and by name.
 *
 * @module
 */

import { Placements } from "./_align.ts";
import { essentialName } from "./_core_types.ts";
import { decodeType } from "./_decode.ts";
import * as k from "./_layout.ts";
import { malformed, MAX_DEPTH } from "./_malformed.ts";
import { MemberSearch, type RawType, type RawTypes, sizeOf } from "./_raw_type.ts";
import { checkTypes, placeTypes } from "./_scan.ts";
import { TypeSearch } from "./_search.ts";
import { readSections, type Sections } from "./_sections.ts";
import { MAX_NAME, Strings } from "./_strings.ts";
import { type BtfKind, btfKindNumber, btfKinds } from "./kinds.ts";
import type { BtfComposite, BtfMember, BtfType, BtfTypeOf } from "./types.ts";

/** How {@linkcode Btf.parse} reads. */
export interface BtfParseOptions {
  /** For split BTF, as kernel modules have it: the BTF that it continues, vmlinux's for a module. @default {none} */
  readonly base?: Btf | undefined;
  /**
   * Whether ids and names are taken to be there, as in what the running kernel itself tells: that reads in less than half
   * the time. Of others' BTF errors would come later, and not as a SyntaxError. @default {false}
   */
  readonly trusted?: boolean | undefined;
}

/** Characters of a type's names that are taken however few strings there are. */
const MIN_NAMES = 1 << 16;

const NO_MEMBERS: readonly BtfMember[] = [];

/**
 * BTF type information. Types have ids that count from 1, and 0 is void; split BTF continues where its base ends.
 *
 * Types are found once and made when they are asked for. The bytes are kept, not copied: they must not change. Pointers
 * have 8 bytes, as on every machine that the library runs on.
 *
 * @example
 * ```ts
 * import { Btf } from "@bpf/deno/btf";
 *
 * const btf = Btf.parse(await Deno.readFile("/sys/kernel/btf/vmlinux"));
 * const id = btf.find("struct", "task_struct");
 * if (id !== undefined) console.log(btf.sizeOf(id), btf.members(id).map((member) => member.name));
 * ```
 */
export class Btf {
  /** The byte order of the BTF, and of the values that its types describe. */
  readonly byteOrder: "little" | "big";
  /** The BTF that this one continues; undefined where it stands alone. */
  readonly base: Btf | undefined;
  /** The id of the first type that this BTF has itself: 1, or where its base ends. C name: `btf->start_id`. */
  readonly firstId: number;
  /** How many types there are, with void and those of the base: ids are below it. C name: `btf__type_cnt`. */
  readonly typeCount: number;
  /** Bytes of strings, with those of the base. */
  readonly stringLength: number;
  readonly #bytes: Uint8Array;
  readonly #trusted: boolean;
  readonly #sections: Sections;
  readonly #starts: Uint32Array;
  readonly #strings: Strings;
  readonly #search: TypeSearch;
  readonly #raw: RawTypes;
  #placements: Placements | undefined;

  private constructor(bytes: Uint8Array, { base, trusted = false }: BtfParseOptions) {
    const sections = readSections(bytes, base !== undefined);
    this.byteOrder = sections.littleEndian ? "little" : "big";
    if (base !== undefined && base.byteOrder !== this.byteOrder) {
      throw malformed(0, `it is ${this.byteOrder}-endian, its base is ${base.byteOrder}-endian`);
    }
    this.#bytes = bytes;
    this.#trusted = trusted;
    this.base = base;
    this.firstId = base?.typeCount ?? 1;
    this.#sections = sections;
    this.#strings = new Strings(sections.strings, sections.stringsAt, base === undefined ? undefined : base.#strings);
    this.stringLength = this.#strings.length;
    this.#starts = placeTypes(sections);
    if (!trusted) checkTypes(sections, this.#starts, { firstId: this.firstId, stringEnd: this.stringLength });
    this.#search = new TypeSearch(sections.words, this.#starts, this.#strings);
    this.typeCount = this.firstId + this.#starts.length;
    this.#raw = {
      resolve: (id) => this.resolve(id),
      raw: (id) => this.#owner(id).#rawType(id),
      malformedType: (id, reason) => this.malformedType(id, reason),
    };
  }

  /** The bytes that it was read from; a copy where they were trusted. */
  get bytes(): Uint8Array {
    // They may be memory of the kernel's, and writing there would end the process.
    return this.#trusted ? this.#bytes.slice() : this.#bytes;
  }

  /**
   * Reads BTF: a file of /sys/kernel/btf, or the `.BTF` section of an object file. Both byte orders are taken.
   *
   * @param bytes The BTF, from its header on.
   * @param options The base of split BTF, and whether it is checked.
   * @returns The types.
   * @throws {SyntaxError} If it is malformed; its `offset` says where.
   */
  static parse(bytes: Uint8Array, options: BtfParseOptions = {}): Btf {
    return new Btf(bytes, options);
  }

  /**
   * Reads BTF, where the bytes may be none.
   *
   * @param bytes The BTF, from its header on.
   * @param options The base of split BTF, and whether it is checked.
   * @returns The types; undefined where {@linkcode Btf.parse} would throw a SyntaxError.
   */
  static tryParse(bytes: Uint8Array, options: BtfParseOptions = {}): Btf | undefined {
    try {
      return Btf.parse(bytes, options);
    } catch (error) {
      if (error instanceof SyntaxError) return undefined;
      throw error;
    }
  }

  /**
   * A type by its id.
   *
   * @param id The id.
   * @returns The type, made anew at each call.
   * @throws {RangeError} If there is no type of the id.
   * @throws {SyntaxError} If a name is longer than 1024 bytes, or its names are longer than all strings.
   */
  type(id: number): BtfType {
    const owner = this.#owner(id);
    if (owner !== this) return owner.type(id);
    if (id === 0) return { kind: "void", name: "" };
    // Names may overlap, so that a small file could hold endless ones; no true type has more than there are strings.
    let left = Math.max(this.stringLength, MIN_NAMES);
    return decodeType(this.#sections.words, this.#starts[id - this.firstId], (offset) => {
      const text = this.text(offset);
      left -= text.length;
      if (left < 0) throw this.malformedType(id, "its names are longer than all strings");
      return text;
    });
  }

  /**
   * The kind of a type, without its object being made.
   *
   * @param id The id.
   * @returns The kind.
   * @throws {RangeError} If there is no type of the id.
   */
  kindOf(id: number): BtfKind {
    const owner = this.#owner(id);
    return btfKinds[owner.#kindNumber(id)];
  }

  /**
   * The name of a type, without its object being made.
   *
   * @param id The id.
   * @returns The name; empty where it has none.
   * @throws {RangeError} If there is no type of the id.
   */
  nameOf(id: number): string {
    const owner = this.#owner(id);
    return id === 0 ? "" : owner.text(owner.#sections.words[owner.#starts[id - owner.firstId]]);
  }

  /**
   * The types that this BTF has itself, those of its base left out.
   *
   * @returns An iterator of ids and types, in the order of the ids.
   */
  *types(): Generator<readonly [id: number, type: BtfType], void> {
    for (let id = this.firstId; id < this.typeCount; id++) yield [id, this.type(id)];
  }

  /**
   * Finds a type by name: the first one, in the base before this BTF. After a few calls for a kind there is a table
   * of its names, which tells any at once. C name: `btf__find_by_name_kind`.
   *
   * @param kind The kind.
   * @param name The name, which is not empty.
   * @returns Its id; undefined where there is none.
   */
  find(kind: BtfKind, name: string): number | undefined {
    for (const id of this.#found(kind, name)) return id;
    return undefined;
  }

  /**
   * Finds all types of a name.
   *
   * @param kind The kind.
   * @param name The name, which is not empty.
   * @returns Their ids, in ascending order.
   */
  findAll(kind: BtfKind, name: string): number[] {
    return [...this.#found(kind, name)];
  }

  /**
   * Finds all types of a name, flavors aside: `task_struct___old` stands for `task_struct`, on either side. Only its own
   * types are found, not those of its base. C name: `bpf_core_add_cands`.
   *
   * @param kinds The kinds that are taken.
   * @param name The name, which is not empty, with a flavor or without.
   * @returns Their ids, in ascending order.
   */
  findFlavors(kinds: readonly BtfKind[], name: string): number[] {
    const wanted = essentialName(name);
    const numbers = kinds.map(btfKindNumber);
    const found: number[] = [];
    for (const number of numbers) {
      for (const index of this.#search.find(number, wanted)) found.push(this.firstId + index);
    }
    for (const index of this.#search.flavored()) {
      const id = this.firstId + index;
      if (essentialName(this.nameOf(id)) === wanted && !found.includes(id)) found.push(id);
    }
    return found.filter((id) => numbers.includes(this.#kindNumber(id))).sort((one, other) => one - other);
  }

  /**
   * Follows typedefs, const, volatile, restrict and type tags to what they stand for.
   *
   * @param id The id of a type.
   * @returns The id of the type behind it, itself where it is none of these.
   * @throws {RangeError} If there is no type of the id.
   * @throws {SyntaxError} If more than 32 follow each other, as in a circle.
   */
  resolve(id: number): number {
    for (let step = 0, actual = id; step <= MAX_DEPTH; step++) {
      const owner = this.#owner(actual);
      if (!isModifier(owner.#kindNumber(actual))) return actual;
      actual = owner.#sizeOrType(actual);
    }
    throw this.malformedType(id, `more than ${MAX_DEPTH} types stand for each other`);
  }

  /**
   * The size of a type's values. C name: `btf__resolve_size`.
   *
   * @param id The id of a type, typedefs and qualifiers included.
   * @returns Bytes; undefined for types without values: void, fwd, func, func_proto and decl_tag.
   * @throws {RangeError} If there is no type of the id.
   * @throws {SyntaxError} If an array is larger than 4 GiB, or types stand for each other in a circle.
   */
  sizeOf(id: number): number | undefined {
    return sizeOf(this.#raw, id);
  }

  /**
   * The alignment that C gives a type: that of its members, 1 for structs whose layout is only possible packed. BTF does
   * not tell of attributes that align more. C name: `btf__align_of`.
   *
   * @param id The id of a type, typedefs and qualifiers included.
   * @returns Bytes; undefined for types without values.
   * @throws {RangeError} If there is no type of the id.
   * @throws {SyntaxError} If types hold each other in a circle, or more than 32 are nested by value.
   */
  alignOf(id: number): number | undefined {
    return this.#place(id)?.align;
  }

  /**
   * Whether a struct or union has its layout only where it is packed.
   *
   * @param id The id of a struct or union, typedefs and qualifiers included.
   * @returns Whether it needs `__attribute__((packed))`; false for other types.
   * @throws {RangeError} If there is no type of the id.
   * @throws {SyntaxError} If types hold each other in a circle, or more than 32 are nested by value.
   */
  isPacked(id: number): boolean {
    return this.#place(id)?.packed ?? false;
  }

  /**
   * The members of a struct or union, as they are laid out: old BTF tells of a bitfield's width and place in the type
   * of the member, which is taken into account here.
   *
   * @param id The id of a struct or union, typedefs and qualifiers included.
   * @returns The members; none where the type is another.
   * @throws {RangeError} If there is no type of the id.
   */
  members(id: number): readonly BtfMember[] {
    const type = this.type(this.resolve(id));
    if (type.kind !== "struct" && type.kind !== "union") return NO_MEMBERS;
    return type.members.map((member) => this.#laidOut(member));
  }

  /**
   * A member of a struct or union: by its name, those of anonymous members included, or by names with dots between them,
   * such as `f_path.dentry`. What C calls `offsetof()` is an eighth of its `bitsOffset`.
   *
   * @example
   * ```ts
   * import { kernelBtf } from "@bpf/deno";
   *
   * const btf = kernelBtf();
   * const task = btf.find("struct", "task_struct");
   * if (task !== undefined) console.log((btf.member(task, "comm")?.bitsOffset ?? 0) / 8);
   * ```
   *
   * @param id The id of a struct or union, typedefs and qualifiers included.
   * @param path The name, or names.
   * @returns The member, its place counted from the start of the outermost type; undefined where there is none.
   * @throws {RangeError} If there is no type of the id.
   * @throws {SyntaxError} If anonymous members are nested in a circle.
   */
  member(id: number, path: string): BtfMember | undefined {
    let [typeId, bitsOffset] = [id, 0];
    let found: BtfMember | undefined;
    for (const name of path.split(".")) {
      if (name === "") return undefined;
      const raw = new MemberSearch(this.#raw, name).in(typeId);
      if (raw === undefined) return undefined;
      found = this.#laidOut(raw);
      bitsOffset += found.bitsOffset;
      typeId = found.typeId;
    }
    return found && { ...found, bitsOffset };
  }

  /**
   * A struct or union by its id.
   *
   * @param id The id of a struct or union, typedefs and qualifiers included.
   * @returns The type; undefined where it is another.
   * @throws {RangeError} If there is no type of the id.
   */
  composite(id: number): BtfComposite | undefined {
    const type = this.type(this.resolve(id));
    return type.kind === "struct" || type.kind === "union" ? type : undefined;
  }

  /**
   * A string of the string section, such as the text of a source line in `.BTF.ext`. C name: `btf__str_by_offset`.
   *
   * @param offset Bytes from the start of the strings, those of the base first.
   * @param limit Bytes at most.
   * @returns The text up to its NUL.
   * @throws {RangeError} If the offset is past the strings.
   * @throws {SyntaxError} If it is longer than the limit.
   */
  text(offset: number, limit: number = MAX_NAME): string {
    return this.#strings.text(offset, limit);
  }

  /**
   * The error of a type that makes no sense.
   *
   * @param id The type's id.
   * @param reason What is wrong.
   * @returns A SyntaxError whose `offset` is the type's place in the BTF that has it.
   */
  malformedType(id: number, reason: string): SyntaxError & { offset: number } {
    const owner = this.#owner(id);
    const at = id === 0 ? 0 : owner.#starts[id - owner.firstId];
    return malformed(owner.#sections.typesAt + 4 * at, `${this.kindOf(id)} ${id}: ${reason}`);
  }

  /** A member with a bitfield's width and place, which old BTF has in the member's type. */
  #laidOut(member: BtfMember): BtfMember {
    if (member.bitfieldSize > 0 || this.kindOf(this.resolve(member.typeId)) !== "int") return member;
    const { size, nrBits, bitsOffset } = this.type(this.resolve(member.typeId)) as BtfTypeOf<"int">;
    if (nrBits === 8 * size || nrBits === 0) return member;
    return { ...member, bitsOffset: member.bitsOffset + bitsOffset, bitfieldSize: nrBits };
  }

  #place(id: number): ReturnType<Placements["of"]> {
    this.#placements ??= new Placements(this);
    return this.#placements.of(id);
  }

  *#found(kind: BtfKind, name: string): Generator<number, void> {
    if (name === "") return;
    if (this.base !== undefined) yield* this.base.#found(kind, name);
    for (const index of this.#search.find(btfKindNumber(kind), name)) yield this.firstId + index;
  }

  /** This BTF, or the base that has a type. */
  #owner(id: number): Btf {
    if (!Number.isInteger(id) || id < 0 || id >= this.typeCount) {
      throw new RangeError(`Cannot find BTF type ${id}: there are types 0 to ${this.typeCount - 1}`);
    }
    return this.base !== undefined && id < this.firstId ? this.base.#owner(id) : this;
  }

  #kindNumber(id: number): number {
    return id === 0 ? k.VOID : (this.#sections.words[this.#starts[id - this.firstId] + 1] >>> 24) & k.KIND_MASK;
  }

  #rawType(id: number): RawType {
    return {
      kind: this.#kindNumber(id),
      words: this.#sections.words,
      start: this.#starts[id - this.firstId],
      strings: this.#strings,
    };
  }

  #sizeOrType(id: number): number {
    return this.#sections.words[this.#starts[id - this.firstId] + 2];
  }
}

function isModifier(kind: number): boolean {
  return (kind >= k.TYPEDEF && kind <= k.RESTRICT) || kind === k.TYPE_TAG;
}
