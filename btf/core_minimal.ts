/**
 * What objects need of a kernel's types, and nothing else: for kernels that have no BTF of their own.
 *
 * @module
 */

import { coreReloSubjects } from "./_core_spec.ts";
import type { Btf } from "./btf.ts";
import { BtfBuilder } from "./builder.ts";
import { type CoreMatch, CoreResolver } from "./core.ts";
import type { BtfCoreRelo } from "./ext.ts";
import type { BtfType } from "./types.ts";

/** The types of an object, and what it asks of the kernel's. */
export interface CoreObject {
  /** The BTF of the object. */
  readonly btf: Btf;
  /** Its CO-RE relocations. */
  readonly relos: Iterable<BtfCoreRelo>;
}

/** The types that are kept, and of structs the members. */
class Marks {
  readonly types = new Set<number>();
  readonly members = new Map<number, Set<number>>();
  readonly #btf: Btf;

  constructor(btf: Btf) {
    this.#btf = btf;
  }

  member(id: number, index: number): void {
    const known = this.members.get(id);
    if (known === undefined) this.members.set(id, new Set([index]));
    else known.add(index);
  }

  /** A type, and what it cannot be told without; what pointers point to only where that is asked for. */
  type(id: number, followPointers: boolean): void {
    if (id === 0 || this.types.has(id)) return;
    this.types.add(id);
    const type = this.#btf.type(id);
    switch (type.kind) {
      case "ptr":
        if (followPointers) this.type(type.typeId, true);
        return;
      case "const":
      case "volatile":
      case "restrict":
      case "typedef":
      case "type_tag":
        return this.type(type.typeId, followPointers);
      case "array":
        this.type(type.typeId, followPointers);
        return this.type(type.indexTypeId, false);
      case "func_proto":
        this.type(type.retTypeId, followPointers);
        for (const { typeId } of type.params) this.type(typeId, followPointers);
    }
  }

  /** A type with all that a comparison looks at: members, and the names of what pointers point to. */
  match(id: number, behindPointer: boolean, seen = new Set<string>()): void {
    const visit = `${id} ${behindPointer}`;
    if (id === 0 || seen.has(visit)) return;
    seen.add(visit);
    this.types.add(id);
    const type = this.#btf.type(id);
    switch (type.kind) {
      case "struct":
      case "union":
        if (behindPointer) return;
        for (const [index, { typeId }] of type.members.entries()) {
          this.member(id, index);
          this.match(typeId, false, seen);
        }
        return;
      case "const":
      case "volatile":
      case "restrict":
      case "typedef":
      case "type_tag":
        return this.match(type.typeId, behindPointer, seen);
      case "ptr":
        return this.match(type.typeId, true, seen);
      case "array":
        this.match(type.typeId, false, seen);
        return this.match(type.indexTypeId, false, seen);
      case "func_proto":
        this.match(type.retTypeId, false, seen);
        for (const { typeId } of type.params) this.match(typeId, false, seen);
    }
  }

  /** The types and members on the way to a field. */
  path({ typeId, path }: CoreMatch): void {
    this.type(typeId, false);
    let id = typeId;
    for (const step of path.slice(1)) {
      id = this.#btf.resolve(id);
      const type = this.#btf.type(id);
      if (type.kind === "struct" || type.kind === "union") {
        this.member(id, step);
        id = type.members[step].typeId;
      } else if (type.kind === "array") id = type.typeId;
      else return;
      this.type(id, false);
    }
  }
}

/**
 * Makes the BTF that some objects need to be adapted to a kernel: the types and members that their CO-RE relocations
 * find there. It is what `bpftool gen min_core_btf` writes.
 *
 * @param kernel The BTF of the kernel.
 * @param objects The objects.
 * @returns The BTF.
 * @throws {SyntaxError | NotSupportedError} Where a relocation makes no sense, or types of the kernel differ.
 */
export function coreMinimalBtf(kernel: Btf, objects: Iterable<CoreObject>): Uint8Array<ArrayBuffer> {
  const marks = new Marks(kernel);
  for (const { btf, relos } of objects) {
    const resolver = new CoreResolver(btf, { kernel });
    for (const relo of relos) {
      if (relo.kind === "type_id_local") continue;
      for (const match of resolver.resolve(relo).matches) {
        if (relo.kind === "type_matches") marks.match(match.typeId, false);
        else if (coreReloSubjects[relo.kind] === "field") marks.path(match);
        else marks.type(match.typeId, coreReloSubjects[relo.kind] === "type");
      }
    }
  }
  const ids = [...marks.types].sort((one, other) => one - other);
  const newIds = new Map(ids.map((id, index) => [id, index + 1]));
  const builder = new BtfBuilder({ byteOrder: kernel.byteOrder });
  for (const id of ids) add(builder, kernel.type(id), marks.members.get(id), (old) => newIds.get(old) ?? 0);
  return builder.bytes();
}

/** Adds a type; what it points to and is not kept becomes void. */
function add(
  builder: BtfBuilder,
  type: BtfType,
  kept: ReadonlySet<number> | undefined,
  idOf: (id: number) => number,
): void {
  switch (type.kind) {
    case "int":
      return void builder.int(type.name, type.size, type.encoding);
    case "float":
      return void builder.float(type.name, type.size);
    case "ptr":
      return void builder.ptr(idOf(type.typeId));
    case "const":
    case "volatile":
    case "restrict":
      return void builder.qualified(type.kind, idOf(type.typeId));
    case "typedef":
      return void builder.typedef(type.name, idOf(type.typeId));
    case "type_tag":
      return void builder.typeTag(type.name, idOf(type.typeId));
    case "array":
      return void builder.array(idOf(type.typeId), type.nrElems, idOf(type.indexTypeId));
    case "struct":
    case "union": {
      const members = type.members.filter((_, index) => kept?.has(index))
        .map((member) => ({ ...member, typeId: idOf(member.typeId) }));
      return void (type.kind === "struct"
        ? builder.struct(type.name, type.size, members)
        : builder.union(type.name, type.size, members));
    }
    case "enum":
      return void builder.enum(type.name, type.values, type.size);
    case "enum64":
      return void builder.enum64(type.name, type.values, type.size);
    case "fwd":
      return void builder.fwd(type.name, type.fwdKind);
    case "func_proto":
      return void builder.funcProto(
        idOf(type.retTypeId),
        type.params.map(({ name, typeId }) => ({ name, typeId: idOf(typeId) })),
      );
    default:
      throw new TypeError(`Cannot keep ${type.kind} "${type.name}": CO-RE relocations find no such types`);
  }
}
