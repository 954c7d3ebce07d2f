/** Types and codecs as TypeScript. */

import { checkValues, LineBudget } from "./_counts.ts";
import { flatMembers, isChar } from "./_flatten.ts";
import type { Btf } from "./btf.ts";
import type { BtfEnum, BtfEnum64, BtfType } from "./types.ts";

/** A type in TypeScript, and the expression that makes its codec. */
interface Written {
  readonly type: string;
  readonly codec: string;
}

/** Words that cannot name a constant in a module. */
const RESERVED = new Set(
  ("arguments await break case catch class const continue debugger default delete do else enum eval export extends " +
    "false finally for function if implements import in instanceof interface let new null package private protected " +
    "public return static super switch this throw true try typeof undefined var void while with yield").split(" "),
);

type Named = Extract<BtfType, { kind: "struct" | "union" | "enum" | "enum64" }>;

function isNamedKind(type: BtfType): type is Named {
  return ["struct", "union", "enum", "enum64"].includes(type.kind);
}

/** Writes the declarations that some types need, each after those that it needs. */
export class TypeScriptPrinter {
  readonly #btf: Btf;
  readonly #budget: LineBudget;
  readonly #written = new Map<number, Written>();
  readonly #names = new Set<string>();
  readonly #imports = new Set<string>();
  readonly #declarations: string[] = [];

  readonly #codecs: boolean;

  /**
   * Starts without declarations.
   *
   * @param btf The types.
   * @param options Whether codecs are declared too, and names that the module has already.
   */
  constructor(btf: Btf, options: { codecs?: boolean; reserved?: Iterable<string> } = {}) {
    this.#btf = btf;
    this.#codecs = options.codecs ?? true;
    for (const name of options.reserved ?? []) this.#names.add(name);
    this.#budget = new LineBudget(btf, false);
  }

  /** A type's name in TypeScript, or the type itself; what it needs is declared. */
  typeOf(id: number): string {
    checkValues(this.#btf, id);
    return this.#of(id, "  ").type;
  }

  /** The declarations so far. */
  get declarations(): string {
    return this.#declarations.join("\n");
  }

  /** The module: imports and declarations. */
  text(from: string): string {
    const names = [...this.#imports].sort((a, b) => a.localeCompare(b, "en"));
    const imports = `import { ${["type Codec", ...names].join(", ")} } from ${JSON.stringify(from)};\n\n`;
    return imports + this.#declarations.join("\n");
  }

  /** Declares a type; one without a name of its own under that of the typedef, or of its kind. */
  declare(id: number): void {
    checkValues(this.#btf, id);
    this.#budget.spend(id);
    const written = this.#of(id, "");
    const type = this.#btf.type(this.#btf.resolve(id));
    if (isNamedKind(type) && this.#nameOf(id) !== "") return;
    const name = this.#btf.nameOf(id) || type.kind;
    const [typeName, constant] = this.#give(name);
    const { codec } = written;
    this.#emit(
      `/** C name: \`${comment(name)}\`. */\nexport type ${typeName} = ${written.type};\n` +
        `/** The codec of {@linkcode ${typeName}}. */\nexport const ${constant}: Codec<${typeName}> = ${codec};\n`,
    );
  }

  #emit(declaration: string): void {
    this.#budget.written(declaration);
    this.#declarations.push(declaration);
  }

  #of(id: number, indent: string): Written {
    const btf = this.#btf;
    const actual = btf.resolve(id);
    const known = this.#written.get(actual);
    if (known !== undefined) return known;
    const type = btf.type(actual);
    switch (type.kind) {
      case "int":
        if (type.encoding === "bool" && type.size === 1) return { type: "boolean", codec: this.#use("bool") };
        return this.#integer(type.size, type.encoding === "signed");
      case "ptr":
        return this.#integer(8, false);
      case "float":
        if (type.size !== 4 && type.size !== 8) {
          return { type: "Uint8Array<ArrayBuffer>", codec: `${this.#use("bytes")}(${type.size})` };
        }
        if (btf.byteOrder === "big") {
          throw new TypeError(`Cannot print ${type.name}: there is no big-endian codec of it`);
        }
        return { type: "number", codec: this.#use(type.size === 4 ? "f32" : "f64") };
      case "array": {
        if (isChar(btf, type.typeId)) return { type: "string", codec: `${this.#use("cstr")}(${type.nrElems})` };
        const element = this.#of(type.typeId, indent);
        const bare = /^[\w.<>[\]]+$/.test(element.type);
        return {
          type: bare ? `${element.type}[]` : `(${element.type})[]`,
          codec: `${this.#use("array")}(${element.codec}, ${type.nrElems})`,
        };
      }
      case "var":
        return this.#of(type.typeId, indent);
      case "struct":
      case "union":
      case "enum":
      case "enum64":
        return this.#named(id, actual, type, indent);
      case "datasec":
        return this.#composite(actual, type.name, indent);
      default:
        throw new TypeError(`Cannot print ${type.kind} "${type.name}" as TypeScript: it has no values`);
    }
  }

  /** A struct, union or enum: declared where it has a name, else in its place. */
  #named(id: number, actual: number, type: Named, indent: string): Written {
    const name = this.#nameOf(id);
    const isEnum = type.kind === "enum" || type.kind === "enum64";
    const keyword = type.kind === "enum64" ? "enum" : type.kind;
    const cName = type.name !== "" ? `${keyword} ${type.name}` : name === "" ? keyword : name;
    const isInline = name === "";
    if (isInline) return isEnum ? this.#enum(type, cName) : this.#composite(actual, cName, indent);
    this.#budget.spend(actual);
    const [typeName, constant] = this.#give(name);
    const body = isEnum ? this.#enum(type, cName) : this.#composite(actual, cName, "", typeName);
    const head = `/** C name: \`${comment(cName)}\`, ${this.#btf.sizeOf(actual)} bytes. */\n`;
    const declaration = isEnum
      ? `export type ${typeName} = ${body.type};\n`
      : `export interface ${typeName} ${body.type}\n`;
    const constantOf = `/** The codec of {@linkcode ${typeName}}. */\n` +
      `export const ${constant}: Codec<${typeName}> = ${body.codec};\n`;
    this.#emit(this.#codecs ? `${head}${declaration}${constantOf}` : `${head}${declaration}`);
    const written = { type: typeName, codec: constant };
    this.#written.set(actual, written);
    return written;
  }

  #composite(id: number, cName: string, indent: string, typeName?: string): Written {
    const btf = this.#btf;
    const isPlainUnion = btf.kindOf(id) === "union" && btf.members(id).every((member) => member.name !== "");
    let [type, codec] = ["{\n", ""];
    for (const { name, typeId, bitsOffset, bitfieldSize, group } of flatMembers(btf, id)) {
      this.#budget.written(name);
      const member = this.#of(typeId, `${indent}  `);
      const inner = bitfieldSize > 0
        ? this.#bitfield(typeId, member.codec, bitsOffset % 8, bitfieldSize)
        : member.codec;
      const key = property(name);
      // What shares its bytes with other members may be left out.
      const optional = group === undefined ? `${key}: ${member.type}` : `${key}?: ${member.type} | undefined`;
      type += `${indent}  ${isPlainUnion ? "readonly " : ""}${optional};\n`;
      if (isPlainUnion) codec += `${indent}  ${key}: ${inner},\n`;
      else {
        const place = `name: ${JSON.stringify(name)}, offset: ${Math.floor(bitsOffset / 8)}`;
        codec += `${indent}    { ${place}, codec: ${inner}${group === undefined ? "" : `, group: ${group}`} },\n`;
      }
    }
    type += `${indent}}`;
    const size = btf.sizeOf(id) ?? 0;
    const layout = `name: ${JSON.stringify(cName)}, size: ${size}, alignment: ${btf.alignOf(id) ?? 1}`;
    if (isPlainUnion) return { type, codec: `${this.#use("union")}({\n${codec}${indent}}, { ${layout} })` };
    const call = `${this.#use("structAt")}<${
      typeName ?? type
    }>({\n${indent}  ${layout},\n${indent}  members: [\n${codec}${indent}  ],\n`;
    return { type, codec: `${call}${indent}})` };
  }

  #bitfield(typeId: number, base: string, bit: number, width: number): string {
    const type = this.#btf.type(this.#btf.resolve(typeId));
    if (type.kind !== "int" && type.kind !== "enum" && type.kind !== "enum64") {
      throw this.#btf.malformedType(typeId, "it cannot be the type of a bitfield");
    }
    const options = [
      ...(this.#btf.byteOrder === "big" ? ["littleEndian: false"] : []),
      ...(type.kind !== "int" && type.signed ? ["signed: true"] : []),
    ];
    const tail = options.length > 0 ? `, { ${options.join(", ")} }` : "";
    return `new ${this.#use("BitfieldCodec")}({ base: ${base}, width: ${width} }, ${bit}${tail})`;
  }

  #enum({ size, signed, values }: BtfEnum | BtfEnum64, cName: string): Written {
    const base = this.#integer(size, signed);
    if (values.length === 0) return base;
    const bits = 8 * size;
    const fits = (val: bigint): boolean => val === (signed ? BigInt.asIntN(bits, val) : BigInt.asUintN(bits, val));
    const known = new Map(values.filter(({ val }) => fits(BigInt(val))).map(({ name, val }) => [name, val]));
    const entries = [...known].map(([name, val]) => `${property(name)}: ${val}${size === 8 ? "n" : ""}`);
    return {
      type: [...[...known.keys()].map((name) => JSON.stringify(name)), base.type].join(" | "),
      codec: `${this.#use("enumOf")}({ ${entries.join(", ")} }, ${base.codec}, ${JSON.stringify(cName)})`,
    };
  }

  #integer(size: number, signed: boolean): Written {
    const order = size > 1 && this.#btf.byteOrder === "big" ? "be" : "";
    return { type: size > 4 ? "bigint" : "number", codec: this.#use(`${signed ? "i" : "u"}${8 * size}${order}`) };
  }

  #use(name: string): string {
    this.#imports.add(name);
    this.#names.add(name);
    return name;
  }

  /** The name of a struct, union or enum: its own, or the last typedef's before it. */
  #nameOf(id: number): string {
    const actual = this.#btf.resolve(id);
    const own = this.#btf.nameOf(actual);
    if (own !== "") return own;
    let name = "";
    for (let at = id; at !== actual;) {
      const type = this.#btf.type(at);
      if (type.kind === "typedef") name = type.name;
      at = "typeId" in type ? type.typeId : actual;
    }
    return name;
  }

  /** Names for a type and a constant that are not taken. */
  #give(cName: string): [type: string, constant: string] {
    const words = cName.split(/[^A-Za-z0-9]+/).filter((word) => word !== "");
    const joined = words.map((word) => word[0].toUpperCase() + word.slice(1)).join("") || "Type";
    const base = /^\d/.test(joined) ? `T${joined}` : joined;
    for (let count = 1;; count++) {
      const type = count === 1 ? base : `${base}${count}`;
      let constant = type[0].toLowerCase() + type.slice(1);
      if (RESERVED.has(constant) || BUILDERS.has(constant)) constant += "Codec";
      if (this.#names.has(type) || this.#names.has(constant) || GLOBALS.has(type)) continue;
      this.#names.add(type).add(constant);
      return [type, constant];
    }
  }
}

/** What the module may import. */
const BUILDERS = new Set(
  ("array bits bool bytes cstr enumOf f32 f64 structAt union u8 i8 u16 i16 u32 i32 u64 i64 u128 i128 u16be i16be " +
    "u32be i32be u64be i64be u128be i128be").split(" "),
);

/** Types that declarations use, which others must not hide. */
const GLOBALS = new Set(["Codec", "BitfieldCodec", "Uint8Array", "ArrayBuffer"]);

function property(name: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(name) ? name : JSON.stringify(name);
}

function comment(text: string): string {
  return text.replaceAll("*/", "* /");
}
