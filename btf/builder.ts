/**
 * Building BTF, type by type.
 *
 * @module
 */

import { BTF_MAGIC, BTF_VERSION } from "../uapi/constants.gen.ts";
import { encodeType } from "./_encode.ts";
import { equalTypes } from "./_equal.ts";
import { HEADER_SIZE } from "./_layout.ts";
import { idsIn, mapIds } from "./_refs.ts";
import type { Btf } from "./btf.ts";
import { BtfTypeBuilder } from "./type_builder.ts";
import type { BtfType } from "./types.ts";

/** What a {@linkcode BtfBuilder} starts from. */
export interface BtfBuilderOptions {
  /** The byte order to build for. @default {"little"} */
  readonly byteOrder?: "little" | "big";
  /** The BTF that the new one continues, which makes it split BTF. @default {none} */
  readonly base?: Btf | undefined;
}

/** Where the last string may start. */
const MAX_NAME_OFFSET = 0xffffff;

const encoder = new TextEncoder();

/**
 * BTF that grows type by type. Each method adds one type and returns its id; a type may name one that is added later,
 * as {@linkcode BtfBuilder.nextId} tells its id.
 *
 * @example
 * ```ts
 * import { Btf, BtfBuilder } from "@bpf/deno/btf";
 *
 * const builder = new BtfBuilder();
 * const u32 = builder.int("unsigned int", 4);
 * const pair = builder.struct("pair", 8, [
 *   { name: "first", typeId: u32, bitsOffset: 0 },
 *   { name: "second", typeId: u32, bitsOffset: 32 },
 * ]);
 * console.log(Btf.parse(builder.bytes()).sizeOf(pair)); // 8
 * ```
 */
export class BtfBuilder extends BtfTypeBuilder {
  /** The byte order of the BTF. */
  readonly byteOrder: "little" | "big";
  /** The BTF that this one continues; undefined where it stands alone. */
  readonly base: Btf | undefined;
  readonly #firstId: number;
  readonly #types: BtfType[] = [];
  readonly #strings = new Map<string, number>([["", 0]]);
  readonly #texts: Uint8Array[] = [];
  readonly #stringsStart: number;
  #stringsEnd: number;

  /**
   * Makes BTF without types.
   *
   * @param options The byte order, and the base.
   * @throws {TypeError} If the base has the other byte order.
   */
  constructor(options: BtfBuilderOptions = {}) {
    super();
    const { base, byteOrder = base?.byteOrder ?? "little" } = options;
    if (base !== undefined && base.byteOrder !== byteOrder) {
      throw new TypeError(`Cannot build BTF: its base is ${base.byteOrder}-endian, not ${byteOrder}-endian`);
    }
    this.byteOrder = byteOrder;
    this.base = base;
    this.#firstId = base?.typeCount ?? 1;
    this.#stringsStart = base?.stringLength ?? 0;
    this.#stringsEnd = this.#stringsStart;
    if (base === undefined) this.#append("");
  }

  /** The id that the next type gets. */
  get nextId(): number {
    return this.#firstId + this.#types.length;
  }

  /**
   * Adds any type.
   *
   * @param type The type, as {@linkcode Btf.type} gives it.
   * @returns Its id.
   * @throws {RangeError} If it is void, or a number in it does not fit.
   */
  override add(type: BtfType): number {
    encodeType(type, (name) => this.string(name));
    return this.#types.push(type) - 1 + this.#firstId;
  }

  /**
   * Adds the types of another BTF, all or some with what they are made of. Types that this one or its base has are
   * shared, and so are equal types of the other BTF among themselves.
   *
   * @param btf The other BTF, with its base.
   * @param ids The ids of the types to add. @default {all of it}
   * @returns The new id of each id that was added.
   * @throws {RangeError} If there is no type of an id.
   * @throws {SyntaxError} If a name is longer than 1024 bytes.
   */
  addAll(btf: Btf, ids?: Iterable<number>): Map<number, number> {
    const wanted = reachable(btf, ids);
    const known: BtfType[] = [{ kind: "void", name: "" }];
    for (let id = 1; id < this.#firstId; id++) known.push((this.base as Btf).type(id));
    known.push(...this.#types);
    const places = new Map<number, number>([[0, 0]]);
    for (const id of wanted.keys()) places.set(id, known.length + places.size - 1);
    // What names a type that is yet to come equals only what names itself.
    const all = known.map((type, place) => mapIds(type, (id) => id < known.length ? id : place));
    for (const type of wanted.values()) all.push(mapIds(type, (id) => places.get(id) as number));
    const classes = equalTypes(all);
    const newIds = new Map<number, number>();
    const idOfClass = new Map<number, number>();
    const added: number[] = [];
    for (const [id, place] of places) {
      const first = classes[place];
      let newId = first < known.length ? first : idOfClass.get(first);
      if (newId === undefined) {
        newId = this.nextId + added.length;
        idOfClass.set(first, newId);
        added.push(id);
      }
      newIds.set(id, newId);
    }
    for (const id of added) this.add(mapIds(wanted.get(id) as BtfType, (inner) => newIds.get(inner) as number));
    return newIds;
  }

  /**
   * The offset of a string, which is added where it is new. C name: `btf__add_str`.
   *
   * @param text The text.
   * @returns Bytes from the start of the strings.
   * @throws {TypeError} If it has a NUL.
   * @throws {RangeError} If the strings come to more than 16 MiB, where the kernel stops. C name: `BTF_MAX_NAME_OFFSET`.
   */
  string(text: string): number {
    const known = this.#strings.get(text);
    if (known !== undefined) return known;
    if (text.includes("\0")) throw new TypeError(`Cannot add ${JSON.stringify(text)} to BTF: strings end at a NUL`);
    const offset = this.#stringsEnd;
    if (offset > MAX_NAME_OFFSET) throw new RangeError("Cannot add a string to BTF: it has 16 MiB of strings already");
    this.#strings.set(text, offset);
    this.#append(text);
    return offset;
  }

  /**
   * The BTF: header, types and strings, as BPF_BTF_LOAD takes it.
   *
   * @returns The bytes.
   * @throws {RangeError} If a type names a type that was never added.
   */
  bytes(): Uint8Array<ArrayBuffer> {
    const words: number[] = [];
    this.#types.forEach((type, index) => {
      for (const id of idsIn(type)) {
        if (Number.isInteger(id) && id >= 0 && id < this.nextId) continue;
        throw new RangeError(
          `Cannot build BTF: ${type.kind} ${this.#firstId + index} "${type.name}" names type ${id}, and the last is ` +
            `${this.nextId - 1}`,
        );
      }
      for (const word of encodeType(type, (name) => this.string(name))) words.push(word);
    });
    const littleEndian = this.byteOrder === "little";
    const typeLength = 4 * words.length;
    const stringLength = this.#stringsEnd - this.#stringsStart;
    const bytes = new Uint8Array(HEADER_SIZE + typeLength + stringLength);
    const view = new DataView(bytes.buffer);
    view.setUint16(0, BTF_MAGIC, littleEndian);
    view.setUint8(2, BTF_VERSION);
    [HEADER_SIZE, 0, typeLength, typeLength, stringLength].forEach((value, index) => {
      view.setUint32(4 + 4 * index, value, littleEndian);
    });
    words.forEach((word, index) => view.setUint32(HEADER_SIZE + 4 * index, word, littleEndian));
    let at = HEADER_SIZE + typeLength;
    for (const text of this.#texts) {
      bytes.set(text, at);
      at += text.length;
    }
    return bytes;
  }

  #append(text: string): void {
    const bytes = encoder.encode(`${text}\0`);
    this.#texts.push(bytes);
    this.#stringsEnd += bytes.length;
  }
}

/** The types of some ids, and all that they are made of, in the order of their ids. */
function reachable(btf: Btf, ids: Iterable<number> | undefined): Map<number, BtfType> {
  const found = new Map<number, BtfType>();
  if (ids === undefined) {
    for (let id = 1; id < btf.typeCount; id++) found.set(id, btf.type(id));
    return found;
  }
  const waiting = [...ids];
  while (waiting.length > 0) {
    const id = waiting.pop() as number;
    if (id === 0 || found.has(id)) continue;
    const type = btf.type(id);
    found.set(id, type);
    for (const inner of idsIn(type)) waiting.push(inner);
  }
  return new Map([...found].sort(([a], [b]) => a - b));
}
