/**
 * TypeScript from a compiled object: what its maps, variables, programs and events are, for the compiler and the editor.
 *
 * @module
 */

import { type Btf, TypeScriptTypes } from "../btf/mod.ts";
import type { MapType } from "../uapi/enums.gen.ts";
import type { BpfObject } from "./object.ts";
import type { MapSpec } from "./spec.ts";
import { variablesOf } from "./variables.ts";

/** How {@linkcode generateModule} writes. */
export interface GenerateOptions {
  /** The name that types and functions start from. @default {the object's} */
  name?: string | undefined;
  /** The file's bytes, which become part of the module. Give this or `beside`. */
  bytes?: Uint8Array | undefined;
  /** The file's place beside the module, such as `"./opensnoop.bpf.o"`, which the module then reads. */
  beside?: string | undefined;
  /** The module that the library is imported from. @default {"@bpf/deno"} */
  from?: string | undefined;
  /** What made the module: its first line says so. @default {"generateModule()"} */
  generator?: string | undefined;
}

/** Types whose keys are bytes where BTF does not say what they are. */
const KEYED: ReadonlySet<MapType | number> = new Set<MapType | number>(
  ["hash", "lru_hash", "percpu_hash", "lru_percpu_hash", "lpm_trie", "hash_of_maps", "sockhash"] satisfies MapType[],
);

/** Types whose values are bytes where BTF does not say what they are. */
const VALUED: ReadonlySet<MapType | number> = new Set<MapType | number>(
  [
    ...["hash", "lru_hash", "percpu_hash", "lru_percpu_hash", "lpm_trie", "array", "percpu_array", "queue", "stack"],
    ...["bloom_filter", "sk_storage", "inode_storage", "task_storage", "cgrp_storage", "cgroup_storage"],
  ] as MapType[],
);

const BYTES = "Uint8Array<ArrayBuffer>";
/** Characters of a line of base64. */
const LINE = 110;

/** A name of TypeScript's out of a file's. */
function pascal(name: string): string {
  const words = name.split(/[^A-Za-z0-9]+/).filter((word) => word !== "");
  const joined = words.map((word) => word[0].toUpperCase() + word.slice(1)).join("") || "Object";
  return /^\d/.test(joined) ? `Bpf${joined}` : joined;
}

function property(name: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(name) ? name : JSON.stringify(name);
}

/** A comment's text, whatever a file says. */
function comment(text: string): string {
  return text.replaceAll("*/", "* /").replaceAll(/[\r\n]+/g, " ");
}

/** Writes the parts of a module. */
class ModuleWriter {
  readonly imports = new Set<string>(["BpfObject", "type ObjectParseOptions"]);
  readonly types: TypeScriptTypes | undefined;
  readonly #btf: Btf | undefined;

  constructor(btf: Btf | undefined, reserved: readonly string[]) {
    this.#btf = btf;
    this.types = btf === undefined ? undefined : new TypeScriptTypes(btf, reserved);
  }

  /** A type, or what stands for one that BTF does not tell. */
  typeOf(id: number, otherwise: string): string {
    if (id === 0 || this.types === undefined) return otherwise;
    try {
      return this.types.typeOf(id);
    } catch (error) {
      if (error instanceof TypeError || error instanceof SyntaxError || error instanceof RangeError) return otherwise;
      throw error;
    }
  }

  mapType({ type, keyTypeId, valueTypeId, eventType }: MapSpec): string {
    if (type === "ringbuf" || type === "perf_event_array") {
      const name = type === "ringbuf" ? "RingBufferMap" : "PerfEventArray";
      this.imports.add(`type ${name}`);
      const id = eventType === undefined
        ? undefined
        : this.#btf?.find("struct", eventType) ?? this.#btf?.find("typedef", eventType);
      return id === undefined ? name : `${name}<${this.typeOf(id, BYTES)}>`;
    }
    this.imports.add("type MapOf");
    const key = this.typeOf(keyTypeId, KEYED.has(type) ? BYTES : "never");
    const value = this.typeOf(valueTypeId, VALUED.has(type) ? BYTES : "never");
    return `MapOf<${JSON.stringify(type)}, ${key}, ${value}>`;
  }

  /** The variables of a section, as the members of an interface. */
  variables(map: MapSpec): string[] {
    const seen = new Set<string>();
    return variablesOf(this.#btf, map).flatMap(({ name, typeId }) => {
      if (seen.has(name)) return [];
      seen.add(name);
      const type = this.typeOf(typeId, "");
      return type === "" ? [] : [`    ${property(name)}: ${type};`];
    });
  }
}

/**
 * Writes a TypeScript module for an object: interfaces of its types, its maps, programs and variables by name, and a
 * function that reads it. It is what `bpftool gen skeleton` is for C and bpf2go for Go.
 *
 * @example
 * ```ts
 * import { BpfObject, generateModule } from "@bpf/deno";
 *
 * const bytes = await Deno.readFile("opensnoop.bpf.o");
 * const object = BpfObject.parse(bytes, { name: "opensnoop" });
 * await Deno.writeTextFile("opensnoop.ts", generateModule(object, { bytes }));
 * ```
 *
 * @param object The object, as it was read.
 * @param options Its name, and where the object is.
 * @returns The module's text.
 * @throws {TypeError} Where it is said neither nor both where the object is.
 */
export function generateModule(object: BpfObject, options: GenerateOptions): string {
  const { spec } = object;
  const { bytes, beside, from = "@bpf/deno", generator = "generateModule()" } = options;
  if ((bytes === undefined) === (beside === undefined)) {
    throw new TypeError("Cannot generate a module: give either bytes or beside");
  }
  const given = options.name ?? spec.name;
  const name = pascal(given);
  const shape = `${name}Shape`;
  const imported = ["BpfObject", "MapOf", "RingBufferMap", "PerfEventArray", "Program", "ObjectParseOptions"];
  const writer = new ModuleWriter(spec.btf, [name, shape, `parse${name}`, ...imported]);
  const section = (title: string, what: string, lines: readonly string[]): string =>
    `  /** ${what} */\n  readonly ${title}: ` +
    (lines.length === 0 ? "Record<string, never>;\n" : `{\n${lines.join("\n")}\n  };\n`);
  const maps = Object.values(spec.maps).filter(({ kind }) => kind === "map")
    .map((map) => `    readonly ${property(map.name)}: ${writer.mapType(map)};`);
  const programs = Object.values(spec.programs).map((program) => {
    writer.imports.add("type Program");
    const type = program.type === undefined ? "" : `<${JSON.stringify(program.type)}>`;
    return `    /** ${comment(program.section)} */\n    readonly ${property(program.name)}: Program${type};`;
  });
  const sections = Object.values(spec.maps).filter(({ data, structOps }) =>
    data !== undefined && structOps === undefined
  )
    .flatMap((map) => {
      const lines = writer.variables(map).map((line) => `  ${line}`);
      return lines.length === 0 ? [] : [`    readonly ${property(map.name)}: {\n${lines.join("\n")}\n    };`];
    });
  const body = `/** The maps, programs and variables of the object. */\nexport interface ${shape} {\n` +
    section("maps", "The maps by name.", maps) + section("progs", "The programs by name.", programs) +
    section("sections", "The variables of each section.", sections) + "}\n";
  const imports = [...writer.imports].sort((a, b) =>
    a.replace("type ", "").localeCompare(b.replace("type ", ""), "en")
  );
  return [
    `// Generated by ${comment(generator)}. Do not edit.\n`,
    `/**\n * The compiled object ${comment(given)}.\n *\n * @module\n */\n`,
    `import { ${imports.join(", ")} } from ${JSON.stringify(from)};\n`,
    ...(writer.types === undefined || writer.types.declarations === "" ? [] : [writer.types.declarations]),
    body,
    `/** The object, as TypeScript knows it. */\nexport type ${name} = BpfObject<${shape}>;\n`,
    reader(name, shape, given, bytes, beside),
  ].join("\n");
}

/** The function that reads the object. */
function reader(
  name: string,
  shape: string,
  given: string,
  bytes: Uint8Array | undefined,
  beside: string | undefined,
): string {
  const head = `/**\n * Reads the object, which is not loaded then.\n *\n * @param options How it is read.\n`;
  const parse = (source: string): string =>
    `  return BpfObject.parse<${shape}>(${source}, { name: ${JSON.stringify(given)}, ...options });\n}\n`;
  if (beside !== undefined) {
    return `${head} * @returns The object.\n * @throws {Deno.errors.NotFound} Where it is not beside this module.\n */\n` +
      `export async function parse${name}(options: ObjectParseOptions = {}): Promise<${name}> {\n` +
      `  const bytes = await Deno.readFile(new URL(${JSON.stringify(beside)}, import.meta.url));\n${parse("bytes")}`;
  }
  const base64 = bytes!.toBase64();
  const lines: string[] = [];
  for (let at = 0; at < base64.length; at += LINE) lines.push(`  "${base64.slice(at, at + LINE)}",`);
  return `${head} * @returns The object.\n */\n` +
    `export function parse${name}(options: ObjectParseOptions = {}): ${name} {\n` +
    parse('Uint8Array.fromBase64(BASE64.join(""))') +
    `\nconst BASE64 = [\n${lines.join("\n")}\n];\n`;
}
