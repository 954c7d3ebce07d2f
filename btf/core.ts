/**
 * CO-RE: what a program that was compiled with one kernel's types has to know of another's ("compile once, run
 * everywhere").
 *
 * @module
 */

import { NotSupportedError } from "../errors.ts";
import { describeCoreSpec } from "./_core_text.ts";
import { matchCoreSpec, parseCoreSpec } from "./_core_spec.ts";
import { type CoreSpec, CoreTypes, isEnum } from "./_core_types.ts";
import { type CoreValue, coreValue } from "./_core_value.ts";
import type { Btf } from "./btf.ts";
import type { BtfCoreRelo } from "./ext.ts";
import type { BtfKind } from "./kinds.ts";

/** What a CO-RE relocation comes to. C name: `struct bpf_core_relo_res`. */
export interface CoreResult {
  /** The number that the program was compiled with. */
  readonly original: bigint;
  /** The number of this kernel; undefined where it has no such thing: then the instruction is poisoned. */
  readonly value: bigint | undefined;
  /** Whether the instruction has to hold {@linkcode CoreResult.original}. */
  readonly exact: boolean;
  /** Bytes of the field that is accessed, there and here; undefined where it is none, or a bitfield. */
  readonly access: { readonly original: number; readonly size: number } | undefined;
  /** Whether an access of another size would read something else: only pointers and unsigned integers may change. */
  readonly sizeMatters: boolean;
  /** The BTF of the kernel or of the module where it was found. */
  readonly target: { readonly btf: Btf; readonly typeId: number } | undefined;
  /** All types of the kernel that have what is asked for; more than one where they give the same answer. */
  readonly matches: readonly CoreMatch[];
  /** What is asked for, as libbpf prints it: `<byte_off> [7] struct task_struct.pid (0:5 @ offset 20)`. */
  readonly text: string;
}

/** Where in the kernel's types something was found. */
export interface CoreMatch {
  /** The type's id. */
  readonly typeId: number;
  /** The places of members and elements on the way, as {@linkcode BtfCoreRelo.access} counts them. */
  readonly path: readonly number[];
}

/** Where the types of the kernel are. */
export interface CoreTargets {
  /** The kernel's own, of vmlinux. */
  readonly kernel: Btf;
  /** Those of its modules, which are looked at where vmlinux has nothing of a name. @default {none} */
  readonly modules?: (() => Iterable<Btf>) | undefined;
}

/** A type of the kernel that may be the one that is meant. */
interface Candidate {
  readonly types: CoreTypes;
  readonly id: number;
}

/**
 * Resolves the CO-RE relocations of an object. What it learns of types is kept from one relocation to the next.
 *
 * @example
 * ```ts
 * import { Btf, CoreResolver, parseBtfExt } from "@bpf/deno/btf";
 * import { Elf } from "@bpf/deno/elf";
 *
 * const elf = Elf.parse(await Deno.readFile("program.bpf.o"));
 * const local = Btf.parse(elf.section(".BTF")!.data);
 * const kernel = Btf.parse(await Deno.readFile("/sys/kernel/btf/vmlinux"));
 * const resolver = new CoreResolver(local, { kernel });
 * for (const { records } of parseBtfExt(elf.section(".BTF.ext")!.data, local).coreRelo) {
 *   for (const relo of records) console.log(resolver.resolve(relo).text, resolver.resolve(relo).value);
 * }
 * ```
 */
export class CoreResolver {
  readonly #local: CoreTypes;
  readonly #targets: CoreTargets;
  readonly #kernel: CoreTypes;
  readonly #candidates = new Map<number, readonly Candidate[]>();
  #modules: CoreTypes[] | undefined;

  /**
   * Resolves relocations.
   *
   * @param local The BTF of the object.
   * @param targets The types of the kernel.
   */
  constructor(local: Btf, targets: CoreTargets) {
    this.#local = new CoreTypes(local);
    this.#targets = targets;
    this.#kernel = new CoreTypes(targets.kernel);
  }

  /**
   * Resolves a relocation. C name: `bpf_core_calc_relo_insn`.
   *
   * @param relo The relocation.
   * @returns What it comes to.
   * @throws {SyntaxError} If the relocation or the types that it names make no sense.
   * @throws {NotSupportedError} If types of the kernel give different answers.
   */
  resolve(relo: BtfCoreRelo): CoreResult {
    const spec = parseCoreSpec(this.#local, relo);
    const text = describeCoreSpec(spec, relo.kind);
    if (relo.kind === "type_id_local") {
      const id = BigInt(spec.rootTypeId);
      return {
        original: id,
        value: id,
        exact: false,
        access: undefined,
        sizeMatters: false,
        target: undefined,
        matches: [],
        text,
      };
    }
    const original = coreValue(relo, spec);
    const fail = (reason: string): Error => new NotSupportedError(`the CO-RE relocation ${text}`, { reason });
    let found: { spec: CoreSpec | undefined; value: CoreValue } | undefined;
    const matching: Candidate[] = [];
    const matches: CoreMatch[] = [];
    for (const candidate of this.#candidatesOf(relo, fail)) {
      const target = matchCoreSpec(spec, relo.kind, candidate.types, candidate.id);
      if (target === undefined) continue;
      matching.push(candidate);
      matches.push({ typeId: candidate.id, path: target.path });
      const value = coreValue(relo, target);
      if (found === undefined) {
        found = { spec: target, value };
      } else if (found.spec!.bitOffset !== target.bitOffset) {
        throw fail(`types of the kernel differ: bit ${found.spec!.bitOffset} in one, ${target.bitOffset} in another`);
      } else if (found.value.value !== value.value) {
        throw fail(`types of the kernel differ: ${found.value.value} in one, ${value.value} in another`);
      }
    }
    // What has not what one relocation asks for is not the type that is meant: later ones leave it out.
    if (matching.length > 0) this.#candidates.set(relo.typeId, matching);
    found ??= { spec: undefined, value: coreValue(relo, undefined) };
    const { spec: target, value } = found;
    return {
      original: original.value!,
      value: value.value,
      exact: original.exact,
      access: original.access === undefined || value.access === undefined
        ? undefined
        : { original: original.access.size, size: value.access.size },
      sizeMatters: this.#sizeMatters(original.access, target?.types, value.access),
      target: target === undefined ? undefined : { btf: target.types.btf, typeId: target.rootTypeId },
      matches,
      text,
    };
  }

  /** Pointers have 4 bytes in 32-bit kernels, and unsigned integers keep their value; all else may not change its size. */
  #sizeMatters(local: CoreValue["access"], types: CoreTypes | undefined, target: CoreValue["access"]): boolean {
    if (local === undefined || target === undefined || types === undefined || local.size === target.size) return false;
    const [one, other] = [this.#local.type(local.typeId), types.type(target.typeId)];
    if (one.kind === "ptr" && other.kind === "ptr") return false;
    return one.kind !== "int" || other.kind !== "int" || one.encoding === "signed" || other.encoding === "signed";
  }

  /** The kernel's types of a name, flavors aside; the modules' where vmlinux has none. C name: `bpf_core_find_cands`. */
  #candidatesOf(relo: BtfCoreRelo, fail: (reason: string) => Error): readonly Candidate[] {
    const known = this.#candidates.get(relo.typeId);
    if (known !== undefined) return known;
    const type = this.#local.type(relo.typeId);
    if (type.name === "") throw fail(`an anonymous ${type.kind} cannot be looked for`);
    const kinds: readonly BtfKind[] = isEnum(type) ? ["enum", "enum64"] : [type.kind];
    const find = (types: CoreTypes): Candidate[] =>
      types.btf.findFlavors(kinds, type.name).map((id) => ({ types, id }));
    let candidates = find(this.#kernel);
    if (candidates.length === 0) {
      this.#modules ??= [...this.#targets.modules?.() ?? []].map((btf) => new CoreTypes(btf));
      candidates = this.#modules.flatMap(find);
    }
    this.#candidates.set(relo.typeId, candidates);
    return candidates;
  }
}
