/** Prints types as C, each after what it needs. */

import { type BodyContext, composite, enumeration } from "./_c_body.ts";
import { LineBudget } from "./_counts.ts";
import { integer, isBuiltIn, NameSpace } from "./_c_names.ts";
import { MAX_DEPTH } from "./_malformed.ts";
import type { Btf } from "./btf.ts";
import type { BtfEnum, BtfEnum64, BtfFloat, BtfFuncProto, BtfInt, BtfType } from "./types.ts";

/** Types in each other at most on the way through pointers, parameters and members. */
const MAX_LEVEL = 512;

/** Pointers, arrays and functions of one declaration at most. */
const MAX_DECLARATOR = 8 * MAX_DEPTH;

/** Whether a type's name stands among struct, union and enum. */
function isTagged(type: BtfType): type is Extract<BtfType, { kind: "struct" | "union" | "enum" | "enum64" | "fwd" }> {
  return ["struct", "union", "enum", "enum64", "fwd"].includes(type.kind);
}

/** Types that become C one after the other. */
export class CPrinter implements BodyContext {
  readonly btf: Btf;
  readonly #budget: LineBudget;
  readonly #out: string[] = [];
  readonly #tags = new NameSpace();
  readonly #identifiers = new NameSpace();
  /** The C name of each type that has one, and of each declaration such as `"struct foo"` with the type it is of. */
  readonly #names = new Map<number, string>();
  readonly #declarations = new Map<string, { readonly name: string; owner: number | undefined }>();
  readonly #declared = new Set<string>();
  /** What has been printed that a use by name, or by value, needs. */
  readonly #named = new Set<number>();
  readonly #complete = new Set<number>();
  readonly #busy = new Set<number>();
  readonly #printedEnums = new Set<number>();
  #pads = 0;
  #level = 0;

  constructor(btf: Btf) {
    this.btf = btf;
    this.#budget = new LineBudget(btf, true);
  }

  /** What has been printed. */
  text(): string {
    return this.#out.join("");
  }

  /** Prints all types that have a name in C, and the values of anonymous enums. */
  all(): void {
    const { btf } = this;
    for (let id = 1; id < btf.typeCount; id++) {
      const kind = btf.kindOf(id);
      const isWanted = ["struct", "union", "enum", "enum64", "fwd", "typedef"].includes(kind);
      if (isWanted && btf.nameOf(id) !== "") this.need(id, true);
    }
    for (let id = 1; id < btf.typeCount; id++) {
      const kind = btf.kindOf(id);
      if ((kind === "enum" || kind === "enum64") && btf.nameOf(id) === "") this.one(id);
    }
  }

  /** Prints a type with what it needs. */
  one(id: number): void {
    const type = this.btf.type(id);
    switch (type.kind) {
      case "func":
      case "var": {
        if (this.#named.has(id)) return;
        this.#named.add(id);
        this.#budget.spend(id);
        this.need(type.typeId, type.kind === "var");
        const linkage = type.kind === "func" && type.linkage === "static" ? "" : "extern ";
        this.#emit(`${linkage}${this.declare(type.typeId, this.#identifiers.give(type.name), "")};\n`);
        return;
      }
      case "datasec":
        for (const { typeId } of type.vars) {
          if (["var", "func"].includes(this.btf.kindOf(typeId))) this.one(typeId);
        }
        return;
      case "decl_tag":
        // Tags are no types of their own, and tag no tags.
        return this.btf.kindOf(type.typeId) === "decl_tag" ? undefined : this.one(type.typeId);
      default:
        if (type.name === "") this.#budget.spend(id);
        this.need(id, true);
        if (isTagged(type) && type.name === "" && !this.#printedEnums.has(id)) this.#emit(`${this.#spec(id, "")};\n`);
    }
  }

  /**
   * The C name of a type that has been printed.
   *
   * @param id The id of a struct, union, enum, fwd or typedef.
   * @returns The name, as `struct foo`; undefined where it has none.
   */
  nameOf(id: number): string | undefined {
    const type = this.btf.type(id);
    if (type.name === "") return undefined;
    if (isTagged(type)) return this.#tag(id, type);
    return type.kind === "typedef" ? this.#identifier(id, type.name) : undefined;
  }

  /** Prints what has to stand before a use of a type: by value, or only by name as a pointer does. */
  need(id: number, byValue: boolean): void {
    const satisfied = byValue ? this.#complete : this.#named;
    if (id === 0 || satisfied.has(id)) return;
    if (++this.#level > MAX_LEVEL) throw this.btf.malformedType(id, "types go on without end");
    this.#need(id, byValue);
    this.#level--;
    satisfied.add(id);
  }

  #need(id: number, byValue: boolean): void {
    const type = this.btf.type(id);
    switch (type.kind) {
      case "int":
      case "float":
        if (!isBuiltIn(type.name, type.size) && !this.#names.has(id)) this.#number(id, type);
        return;
      case "ptr":
        return this.need(type.typeId, false);
      case "const":
      case "volatile":
      case "restrict":
      case "type_tag":
        return this.need(type.typeId, byValue);
      case "array":
        return this.#guarded(id, () => this.need(type.typeId, true));
      case "func_proto":
        return this.#guarded(id, () => {
          this.need(type.retTypeId, false);
          for (const param of type.params) this.need(param.typeId, false);
        });
      case "typedef":
        if (!this.#names.has(id)) {
          this.#budget.spend(id);
          this.#guarded(id, () => this.need(type.typeId, false));
          this.#pads = 0;
          this.#emit(`typedef ${this.declare(type.typeId, this.#identifier(id, type.name), "")};\n\n`);
        }
        return byValue ? this.need(type.typeId, true) : undefined;
      case "enum":
      case "enum64":
        if (type.name !== "" && type.values.length > 0 && !this.#printedEnums.has(id)) {
          this.#printedEnums.add(id);
          this.#budget.spend(id);
          this.#emit(`${enumeration(this, type, "", this.#tagName(id, type))};\n\n`);
        } else if (type.name !== "" && type.values.length === 0) this.#declare(this.#tag(id, type));
        return;
      case "fwd":
        return this.#declare(this.#tag(id, type));
      case "struct":
      case "union":
        if (type.name !== "" && !byValue) return this.#declare(this.#tag(id, type));
        this.btf.alignOf(id);
        if (type.name !== "") this.#budget.spend(id);
        this.#guarded(id, () => {
          for (const { typeId } of type.members) this.need(typeId, true);
        });
        if (type.name === "") return;
        this.#pads = 0;
        this.#declared.add(this.#tag(id, type));
        this.#emit(`${composite(this, id, "", this.#tagName(id, type))};\n\n`);
        return;
    }
  }

  declare(id: number, name: string, indent: string): string {
    let inner = name;
    let qualifiers: string[] = [];
    let tags = "";
    let isPointer = false;
    const open = (): string => isPointer ? `(${inner})` : inner;
    for (let steps = 0; steps < MAX_DECLARATOR; steps++) {
      const type = this.btf.type(id);
      switch (type.kind) {
        case "const":
        case "volatile":
        case "restrict":
          if (!qualifiers.includes(type.kind)) qualifiers.push(type.kind);
          id = type.typeId;
          break;
        case "type_tag": {
          const tag = type.attribute ? type.name : `btf_type_tag(${JSON.stringify(type.name)})`;
          tags = ` __attribute__((${tag}))${tags}`;
          id = type.typeId;
          break;
        }
        case "ptr": {
          const after = qualifiers.map((word) => ` ${word}`).join("") + tags;
          inner = `*${after}${after !== "" && inner !== "" && inner[0] !== ")" ? " " : ""}${inner}`;
          [qualifiers, tags, isPointer, id] = [[], "", true, type.typeId];
          break;
        }
        case "array":
          // What qualifies an array qualifies its elements.
          inner = `${open()}[${type.nrElems}]`;
          [isPointer, id] = [false, type.typeId];
          break;
        case "func_proto":
          inner = `${open()}(${this.#params(id, type, indent)})`;
          [qualifiers, tags, isPointer, id] = [[], "", false, type.retTypeId];
          break;
        default: {
          const before = qualifiers.filter((word) => word !== "restrict").map((word) => `${word} `).join("");
          const spec = this.#spec(id, indent);
          return `${before}${spec}${tags}${inner === "" ? "" : ` ${inner}`}`;
        }
      }
    }
    throw this.btf.malformedType(id, `a declaration has more than ${MAX_DECLARATOR} parts`);
  }

  enumerator(name: string): string {
    return this.#identifiers.give(name);
  }

  written(text: string): void {
    this.#budget.written(text);
  }

  nextPad(): number {
    return ++this.#pads;
  }

  #params(id: number, { params }: BtfFuncProto, indent: string): string {
    if (params.length === 0) return "void";
    return this.#guarded(id, () => {
      const texts = params.map(({ typeId }, index) => {
        if (typeId === 0 && index === params.length - 1) return index === 0 ? "" : "...";
        return this.declare(typeId, "", indent);
      });
      return texts.join(", ");
    });
  }

  /** What a declaration starts with: the type without pointers, arrays and qualifiers. */
  #spec(id: number, indent: string): string {
    const type = this.btf.type(id);
    switch (type.kind) {
      case "void":
        return "void";
      case "int":
      case "float":
        return isBuiltIn(type.name, type.size) ? type.name : this.#names.get(id) ?? integer(type.size, false);
      case "typedef":
        return this.#identifier(id, type.name);
      case "struct":
      case "union":
        if (type.name !== "") return this.#tag(id, type);
        return this.#guarded(id, () => composite(this, id, indent));
      case "enum":
      case "enum64":
        return this.#enumSpec(id, type, indent);
      case "fwd":
        return this.#tag(id, type);
      default:
        throw this.btf.malformedType(id, "it is not the type of a value");
    }
  }

  #enumSpec(id: number, type: BtfEnum | BtfEnum64, indent: string): string {
    if (type.name !== "" && type.values.length > 0) return this.#tag(id, type);
    // The values of an anonymous enum can be there once; one without values is no complete type.
    if (type.values.length === 0 || this.#printedEnums.has(id)) return integer(type.size, type.signed);
    this.#printedEnums.add(id);
    return enumeration(this, type, indent);
  }

  /** A number that C does not have by this name: an integer of its size. */
  #number(id: number, type: BtfInt | BtfFloat): void {
    const signed = type.kind === "int" && type.encoding === "signed";
    const name = this.#identifier(id, type.name);
    if (type.size === 12) this.#emit(`typedef unsigned int ${name}[3];\n\n`);
    else this.#emit(`typedef ${integer(type.size, signed)} ${name};\n\n`);
  }

  #identifier(id: number, name: string): string {
    let given = this.#names.get(id);
    if (given === undefined) this.#names.set(id, given = this.#identifiers.give(name));
    return given;
  }

  #tag(id: number, type: BtfType): string {
    return `${keyword(type)} ${this.#tagName(id, type)}`;
  }

  /** The name behind struct, union or enum. A declaration is of the first type that has its name. */
  #tagName(id: number, type: BtfType): string {
    const known = this.#names.get(id);
    if (known !== undefined) return known;
    const key = `${keyword(type)} ${type.name}`;
    const isDeclaration = type.kind === "fwd" || ("values" in type && type.values.length === 0);
    const owner = isDeclaration ? undefined : id;
    let declaration = this.#declarations.get(key);
    if (declaration === undefined) {
      declaration = { name: this.#tags.give(type.name), owner };
      this.#declarations.set(key, declaration);
    } else if (declaration.owner === undefined) declaration.owner = owner;
    else if (owner !== undefined) declaration = { name: this.#tags.give(type.name), owner };
    this.#names.set(id, declaration.name);
    return declaration.name;
  }

  #declare(tag: string): void {
    if (this.#declared.has(tag)) return;
    this.#declared.add(tag);
    this.#emit(`${tag};\n\n`);
  }

  #emit(text: string): void {
    this.#budget.written(text);
    this.#out.push(text);
  }

  /** Does something that must not come back to the same type. */
  #guarded<T>(id: number, work: () => T): T {
    if (this.#busy.has(id)) throw this.btf.malformedType(id, "it is made of itself");
    this.#busy.add(id);
    const result = work();
    this.#busy.delete(id);
    return result;
  }
}

function keyword(type: BtfType): string {
  if (type.kind === "fwd") return type.fwdKind;
  return type.kind === "enum64" ? "enum" : type.kind;
}
