/** How C would align types, and that they end: nesting by value has a limit, and nothing holds itself. */

import type { Btf } from "./btf.ts";
import { MAX_DEPTH } from "./_malformed.ts";

/** What C makes of a type's place in memory. */
export interface Placement {
  /** Bytes that its place is a multiple of. */
  readonly align: number;
  /** How many types are nested in it by value, one in the other. */
  readonly depth: number;
  /** Whether a struct or union has its layout only where it is packed. */
  readonly packed: boolean;
}

const EMPTY: Placement = { align: 1, depth: 0, packed: false };

/** The placements of a BTF's structs and unions, each worked out once. */
export class Placements {
  readonly #btf: Btf;
  readonly #known = new Map<number, Placement>();

  constructor(btf: Btf) {
    this.#btf = btf;
  }

  /**
   * Where C would place a type.
   *
   * @param id The type's id.
   * @param level How deep it is nested already.
   * @returns The placement; undefined for types without a size.
   */
  of(id: number, level = 0): Placement | undefined {
    const btf = this.#btf;
    if (level > MAX_DEPTH) throw btf.malformedType(id, `more than ${MAX_DEPTH} types are nested in each other`);
    const actual = btf.resolve(id);
    const known = this.#known.get(actual);
    if (known !== undefined) {
      if (level + known.depth > MAX_DEPTH) {
        throw btf.malformedType(id, `more than ${MAX_DEPTH} types are nested in each other`);
      }
      return known;
    }
    const kind = btf.kindOf(actual);
    switch (kind) {
      case "ptr":
        return { ...EMPTY, align: 8 };
      case "int":
      case "enum":
      case "enum64":
      case "float": {
        const size = btf.sizeOf(actual) as number;
        return { ...EMPTY, align: size === 12 ? 4 : size };
      }
      case "array": {
        const type = btf.type(actual);
        if (type.kind !== "array") return undefined;
        const element = this.of(type.typeId, level + 1);
        return element && { ...EMPTY, align: element.align, depth: element.depth + 1 };
      }
      case "var": {
        const type = btf.type(actual);
        return type.kind === "var" ? this.of(type.typeId, level + 1) : undefined;
      }
      case "struct":
      case "union": {
        const made = this.#ofComposite(actual, level);
        this.#known.set(actual, made);
        return made;
      }
      default:
        return undefined;
    }
  }

  #ofComposite(id: number, level: number): Placement {
    const btf = this.#btf;
    let [align, depth, packed] = [1, 0, false];
    for (const { name, typeId, bitsOffset, bitfieldSize } of btf.members(id)) {
      const member = this.of(typeId, level + 1);
      if (member === undefined) throw btf.malformedType(id, `member "${name}" has a type without a size`);
      align = Math.max(align, member.align);
      depth = Math.max(depth, member.depth + 1);
      if (bitfieldSize === 0) packed ||= bitsOffset % (8 * member.align) !== 0;
      else packed ||= bitsOffset % (8 * member.align) + bitfieldSize > 8 * (btf.sizeOf(typeId) as number);
    }
    packed ||= (btf.sizeOf(id) as number) % align !== 0;
    return { align: packed ? 1 : align, depth, packed };
  }
}
