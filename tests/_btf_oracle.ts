/**
 * A small reader of BTF, written apart from btf/ so that tests can hold the library against it: structs, unions and
 * enums of a kernel, by name.
 *
 * @module
 */

/** A field as the kernel has it: its place in bits from the start of the outermost type. */
export interface OracleField {
  readonly bit: number;
  readonly bits: number;
  readonly isBitfield: boolean;
}

interface Member {
  readonly name: string;
  readonly type: number;
  readonly bit: number;
  /** 0 where it is no bitfield. */
  readonly bits: number;
}

interface Type {
  readonly kind: number;
  readonly name: string;
  /** The size in bytes, or the id of the type that this one is about. */
  readonly sizeOrType: number;
  readonly members: readonly Member[];
  readonly elements: number;
  readonly values: readonly (readonly [name: string, value: bigint])[];
}

const INT = 1;
const POINTER = 2;
const ARRAY = 3;
const STRUCT = 4;
const UNION = 5;
const ENUM = 6;
const FORWARD = 7;
const TYPEDEF = 8;
const FLOAT = 16;
const ENUM64 = 19;

/** How many bytes follow the header of a type: some per member, and some once. */
const TRAILERS: Readonly<Record<number, readonly [each: number, once: number]>> = {
  1: [0, 4],
  3: [0, 12],
  4: [12, 0],
  5: [12, 0],
  6: [8, 0],
  13: [8, 0],
  14: [0, 4],
  15: [12, 0],
  17: [0, 4],
  19: [12, 0],
};

/** The types of a kernel. */
export class BtfOracle {
  readonly #types: Type[] = [];
  readonly #byName = new Map<string, number[]>();

  /**
   * Reads BTF.
   *
   * @param bytes The contents of /sys/kernel/btf/vmlinux, say.
   */
  constructor(bytes: Uint8Array) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const u32 = (at: number): number => view.getUint32(at, true);
    if (view.getUint16(0, true) !== 0xeb9f) throw new SyntaxError("Cannot read BTF: wrong magic");
    const header = u32(4);
    const strings = header + u32(16);
    const decoder = new TextDecoder();
    const text = (offset: number): string => {
      const start = strings + offset;
      return decoder.decode(bytes.subarray(start, bytes.indexOf(0, start)));
    };
    this.#types.push({ kind: 0, name: "void", sizeOrType: 0, members: [], elements: 0, values: [] });
    const end = header + u32(8) + u32(12);
    for (let at = header + u32(8); at < end;) {
      const info = u32(at + 4);
      const kind = (info >>> 24) & 0x1f;
      const count = info & 0xffff;
      const flag = info >>> 31 === 1;
      const [each, once] = TRAILERS[kind] ?? [0, 0];
      const trailer = at + 12;
      const isAggregate = kind === STRUCT || kind === UNION;
      const isEnum = kind === ENUM || kind === ENUM64;
      // Names are read where tests look for them only: decoding all would take most of the time.
      const name = isAggregate || isEnum ? text(u32(at)) : "";
      const places = Array.from({ length: isAggregate || isEnum ? count : 0 }, (_, index) => trailer + index * each);
      this.#types.push({
        kind,
        name,
        sizeOrType: u32(at + 8),
        elements: kind === ARRAY ? u32(trailer + 8) : 0,
        members: isAggregate
          ? places.map((place) => {
            const offset = u32(place + 8);
            return {
              name: text(u32(place)),
              type: u32(place + 4),
              bit: flag ? offset & 0xffffff : offset,
              bits: flag ? offset >>> 24 : 0,
            };
          })
          : [],
        values: isEnum
          ? places.map((place): [string, bigint] => {
            const low = BigInt(u32(place + 4)) | (kind === ENUM64 ? BigInt(u32(place + 8)) << 32n : 0n);
            return [text(u32(place)), flag ? BigInt.asIntN(kind === ENUM64 ? 64 : 32, low) : low];
          })
          : [],
      });
      const id = this.#types.length - 1;
      if (isAggregate || isEnum) {
        const key = `${isEnum ? "enum" : "struct"} ${name}`;
        const ids = this.#byName.get(key);
        if (ids === undefined) this.#byName.set(key, [id]);
        else ids.push(id);
      }
      if (kind === ARRAY) this.#elementTypes.set(id, u32(trailer));
      at = trailer + once + each * count;
    }
  }

  readonly #elementTypes = new Map<number, number>();

  /** How many types there are. */
  get typeCount(): number {
    return this.#types.length - 1;
  }

  /** The size in bytes of a struct or union; undefined where the kernel has none of the name. */
  sizeOf(name: string): number | undefined {
    const id = this.#byName.get(`struct ${name}`)?.[0];
    return id === undefined ? undefined : this.#types[id].sizeOrType;
  }

  /** The fields of a struct or union by dotted name, anonymous members merged into their parent. */
  fieldsOf(name: string): Map<string, OracleField> | undefined {
    const id = this.#byName.get(`struct ${name}`)?.[0];
    if (id === undefined) return undefined;
    const fields = new Map<string, OracleField>();
    this.#collect(this.#types[id], 0, "", fields);
    return fields;
  }

  /** The members of an enum; undefined where the kernel has none of the name. The empty name gives all anonymous ones. */
  enumOf(name: string): Map<string, bigint> | undefined {
    const ids = this.#byName.get(`enum ${name}`);
    return ids === undefined ? undefined : new Map(ids.flatMap((id) => this.#types[id].values));
  }

  #collect(type: Type, base: number, path: string, into: Map<string, OracleField>): void {
    for (const member of type.members) {
      const bit = base + member.bit;
      const inner = this.#types[this.#skipNames(member.type)];
      const name = path + member.name;
      if (member.name !== "") {
        const bits = member.bits || this.#size(member.type) * 8;
        into.set(name, { bit, bits, isBitfield: member.bits > 0 });
      }
      if (inner.kind === STRUCT || inner.kind === UNION) {
        this.#collect(inner, bit, member.name === "" ? path : `${name}.`, into);
      }
    }
  }

  /** The type behind typedefs, const, volatile, restrict and tags. */
  #skipNames(id: number): number {
    let kind = this.#types[id].kind;
    while ((kind >= TYPEDEF && kind <= 11) || kind === 18) {
      id = this.#types[id].sizeOrType;
      kind = this.#types[id].kind;
    }
    return id;
  }

  #size(id: number): number {
    const actual = this.#skipNames(id);
    const { kind, sizeOrType, elements } = this.#types[actual];
    if (kind === POINTER) return 8;
    if (kind === ARRAY) return elements * this.#size(this.#elementTypes.get(actual) ?? 0);
    if ([INT, STRUCT, UNION, ENUM, ENUM64, FLOAT].includes(kind)) return sizeOrType;
    if (kind === FORWARD || kind === 0) return 0;
    throw new TypeError(`Cannot tell the size of a type of kind ${kind}`);
  }
}
