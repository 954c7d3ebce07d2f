/** How much a type comes to when it is written out: small BTF can say of types that they are endless. */

import type { Btf } from "./btf.ts";

/** Values in a value at most. The kernel's largest types have some ten thousand. */
const MAX_VALUES: number = 1 << 22;

/** Lines of C or TypeScript at most. All of vmlinux has some hundred thousand. */
const MAX_LINES: number = 1 << 21;

/** Characters of C or TypeScript at most: a name can be used often, and names can overlap. */
const MAX_TEXT: number = 1 << 27;

/** Types in each other on the way through pointers and parameters at most. */
const MAX_LEVEL = 512;

const valueCounts = new WeakMap<Btf, Map<number, number>>();

/** How many values there are in a value: those of elements and members, and itself. */
function valueCount(btf: Btf, id: number, known: Map<number, number>, isOutermost = false): number {
  const actual = btf.resolve(id);
  const kind = btf.kindOf(actual);
  if (kind === "datasec" && !isOutermost) throw btf.malformedType(id, "a section is no part of a value");
  const before = known.get(actual);
  if (before !== undefined) return before;
  const type = btf.type(actual);
  let count = 1;
  if (type.kind === "array") count += type.nrElems * valueCount(btf, type.typeId, known);
  else if (type.kind === "var") count += valueCount(btf, type.typeId, known);
  else if (type.kind === "struct" || type.kind === "union") {
    for (const { typeId } of type.members) count += valueCount(btf, typeId, known);
  } else if (type.kind === "datasec") {
    for (const { typeId } of type.vars) {
      // This refuses types that hold each other, so that what follows ends.
      btf.alignOf(typeId);
      count += valueCount(btf, typeId, known);
    }
  }
  known.set(actual, count);
  return count;
}

/**
 * Refuses a type whose values have endlessly many values inside, or that holds itself.
 *
 * @param btf The types.
 * @param id The type's id.
 */
export function checkValues(btf: Btf, id: number): void {
  let known = valueCounts.get(btf);
  if (known === undefined) valueCounts.set(btf, known = new Map());
  btf.alignOf(id);
  if (valueCount(btf, id, known, true) > MAX_VALUES) {
    throw btf.malformedType(id, `it has more than ${MAX_VALUES} values inside`);
  }
}

/** Counts the lines of declarations before they are written: types without a name are written out wherever they are. */
export class LineBudget {
  readonly #btf: Btf;
  readonly #throughPointers: boolean;
  /** The lines of each type without a name; those that are being counted are endless. */
  readonly #known = new Map<number, number>();
  #spent = 0;
  #characters = 0;
  /** The type that is being written. */
  #last = 0;
  #level = 0;

  /**
   * Nothing has been written yet.
   *
   * @param btf The types.
   * @param throughPointers Whether what is pointed to is written out.
   */
  constructor(btf: Btf, throughPointers: boolean) {
    this.#btf = btf;
    this.#throughPointers = throughPointers;
  }

  /** Refuses a declaration that has too many lines, with all that came before. */
  spend(id: number): void {
    this.#last = id;
    this.#spent += this.#body(id);
    if (this.#spent > MAX_LINES) throw this.#btf.malformedType(id, `it makes more than ${MAX_LINES} lines`);
  }

  /** Refuses a text that makes the whole too long. */
  written(text: string): void {
    this.#characters += text.length;
    if (this.#characters > MAX_TEXT) {
      throw this.#btf.malformedType(this.#last, `it makes more than ${MAX_TEXT} characters`);
    }
  }

  /** The lines of a declaration of a type. */
  #body(id: number): number {
    const type = this.#btf.type(id);
    let lines = 1;
    switch (type.kind) {
      case "struct":
      case "union":
        for (const { typeId } of type.members) lines += 1 + this.#use(typeId);
        return lines;
      case "datasec":
        for (const { typeId } of type.vars) lines += 1 + this.#use(typeId);
        return lines;
      case "enum":
      case "enum64":
        return lines + type.values.length;
      case "func_proto":
        if (!this.#throughPointers) return lines;
        for (const { typeId } of type.params) lines += 1 + this.#use(typeId);
        return lines + this.#use(type.retTypeId);
      case "ptr":
        return this.#throughPointers ? lines + this.#use(type.typeId) : lines;
      case "array":
      case "const":
      case "volatile":
      case "restrict":
      case "type_tag":
      case "typedef":
      case "func":
      case "var":
        return lines + this.#use(type.typeId);
      default:
        return lines;
    }
  }

  /** The lines of a type where it is used: none where its name will do. */
  #use(id: number): number {
    if (id === 0 || this.#btf.nameOf(id) !== "") return 0;
    const known = this.#known.get(id);
    if (known !== undefined) return known;
    if (this.#level >= MAX_LEVEL) return Infinity;
    this.#known.set(id, Infinity);
    this.#level++;
    const lines = this.#body(id);
    this.#level--;
    this.#known.set(id, lines);
    return lines;
  }
}
