/**
 * Compiled objects: what clang makes of BPF programs, loaded as libbpf does.
 *
 * @module
 */

import { type Btf, codecFrom } from "../btf/mod.ts";
import { mapLookupElem, mapUpdateElem } from "../cmds/map_elem.ts";
import type { Codec } from "../codec.ts";
import { possibleCpus } from "../ffi/cpus.ts";
import type { Bytes } from "../ffi/kernel.ts";
import { allocate } from "../ffi/memory.ts";
import {
  adoptMap,
  type ArrayMap,
  type BpfMap,
  type EventsOptions,
  type EventStream,
  type MapHandle,
} from "../maps/mod.ts";
import type { Program } from "../progs/mod.ts";
import type { AnyToken, Handle } from "../tokens/token.ts";
import { BPF_F_MMAPABLE } from "../uapi/constants.gen.ts";
import { attachAll } from "./_attach.ts";
import { effective } from "./_create_maps.ts";
import { type Loaded, loadObject } from "./_loader.ts";
import { emptyRecord } from "./_malformed.ts";
import type { AttachOptions } from "./attach_options.ts";
import type { ObjectLinks } from "./links.ts";
import type { LoadOptions } from "./load_options.ts";
import { type ObjectNeeds, objectNeeds } from "./needs.ts";
import { type ParsedObject, parseObject, type ParseOptions } from "./parse.ts";
import { type Plan, planObject } from "./plan.ts";
import type { MapSpec, ObjectSpec } from "./spec.ts";
import { type VariableMemory, Variables } from "./variables.ts";

/** A map of an object of which TypeScript knows nothing: every method is there, and its type refuses when it runs. */
export interface ObjectMap extends BpfMap<unknown, unknown> {
  /** For ring buffers and perf event arrays: the records as they come, decoded where BTF says what they are. */
  events(options?: EventsOptions): EventStream<unknown>;
}

/** What TypeScript may know of an object: `deno task gen:object` writes it. */
export interface ObjectShape {
  /** The maps by name. */
  readonly maps: object;
  /** The programs by name. */
  readonly progs: object;
  /** The variables of each section, by the section's name. */
  readonly sections: object;
}

/** An object of which TypeScript knows nothing. */
export interface AnyObject extends ObjectShape {
  /** Any map. */
  readonly maps: Readonly<Record<string, ObjectMap>>;
  /** Any program. */
  readonly progs: Readonly<Record<string, Program>>;
  /** Any variables. */
  readonly sections: Readonly<Record<string, Record<string, unknown>>>;
}

/**
 * The variables of a section.
 *
 * @typeParam S What is known of the object.
 * @typeParam N The section's name.
 */
export type SectionOf<S extends ObjectShape, N extends string> = N extends keyof S["sections"]
  ? S["sections"][N] extends object ? S["sections"][N] : never
  : Record<string, never>;

/**
 * A compiled object, as clang makes it for BPF: any `.bpf.o` that was written for libbpf. It is read without any
 * permission; loading makes its maps and programs, which live until the object is closed.
 *
 * @example
 * ```ts
 * import { acquire, BpfObject } from "@bpf/deno";
 *
 * const token = acquire("CAP_BPF", "CAP_PERFMON");
 * using object = BpfObject.parse(await Deno.readFile("opensnoop.bpf.o"));
 * object.rodata.set({ targ_pid: 42 });
 * object.load(token);
 * using links = object.attach(token);
 * for await (const event of object.maps.events.events()) console.log(event, links.left);
 * ```
 *
 * @typeParam S What TypeScript knows of it.
 */
export class BpfObject<S extends ObjectShape = AnyObject> implements Disposable, Handle {
  /** What it holds. It may be changed until the object is loaded: which programs are loaded, how large maps are. */
  readonly spec: ObjectSpec;
  readonly #parsed: ParsedObject;
  readonly #variables = new Map<string, Variables<object>>();
  #loaded: Loaded | undefined;
  #maps: Record<string, MapHandle> | undefined;
  #progs: Record<string, Program> | undefined;
  #closedBecause: string | undefined;

  private constructor(parsed: ParsedObject) {
    this.#parsed = parsed;
    this.spec = parsed.spec;
  }

  /**
   * Reads an object. It calls nothing, and works on any system.
   *
   * @typeParam S What TypeScript knows of it.
   * @param bytes The file.
   * @param options The object's name, and what is taken.
   * @returns The object.
   * @throws {SyntaxError} If it is malformed, with `offset` and `section`.
   */
  static parse<S extends ObjectShape = AnyObject>(bytes: Uint8Array, options: ParseOptions = {}): BpfObject<S> {
    return new BpfObject<S>(parseObject(bytes, options));
  }

  /** What it needs of the kernel, and of whoever loads it, told without asking the kernel. */
  get needs(): ObjectNeeds {
    return objectNeeds(this.spec);
  }

  /** Whether it is loaded. */
  get loaded(): boolean {
    return this.#loaded !== undefined;
  }

  /** Whether it is closed. */
  get closed(): boolean {
    return this.#closedBecause !== undefined;
  }

  /** The names of programs that were left out, since the kernel has no such type; empty until it is loaded. */
  get skipped(): readonly string[] {
    return this.#loaded?.skipped ?? [];
  }

  /**
   * Why the kernel refused its BTF: then it was loaded without functions and lines, and its maps without types. Undefined
   * where it did not, and until it is loaded.
   */
  get btfError(): Error | undefined {
    return this.#loaded?.btfError;
  }

  /**
   * Its maps by name, once it is loaded. Keys, values and events are as BTF says.
   *
   * @throws {TypeError} Where it is not loaded.
   */
  get maps(): S["maps"] {
    return (this.#maps ??= this.#lazyMaps(this.#use("maps"))) as S["maps"];
  }

  /**
   * Its programs by name, once it is loaded.
   *
   * @throws {TypeError} Where it is not loaded.
   */
  get progs(): S["progs"] {
    if (this.#progs === undefined) {
      const progs = emptyRecord<Program>();
      for (const [name, program] of this.#use("progs").programs) progs[name] = program;
      this.#progs = progs;
    }
    return this.#progs as S["progs"];
  }

  /** The constants of `.rodata`, which can be set until it is loaded. */
  get rodata(): Variables<SectionOf<S, ".rodata">> {
    return this.variables(".rodata");
  }

  /** The variables of `.data`: those that start as something else than zero. */
  get data(): Variables<SectionOf<S, ".data">> {
    return this.variables(".data");
  }

  /** The variables of `.bss`: those that start as zero. */
  get bss(): Variables<SectionOf<S, ".bss">> {
    return this.variables(".bss");
  }

  /**
   * The variables of any section: `.data.name`, `.rodata.name`, `.kconfig`, those of an arena by the name of its map, and
   * before loading the members of a struct of functions by the name of its variable.
   *
   * @typeParam N The section's name.
   * @param section The name.
   * @returns Its variables.
   * @throws {TypeError} Where the object has no such section.
   */
  variables<N extends string>(section: N): Variables<SectionOf<S, N>> {
    const known = this.#variables.get(section);
    if (known !== undefined) return known as Variables<SectionOf<S, N>>;
    const map = Object.hasOwn(this.spec.maps, section) ? this.spec.maps[section] : undefined;
    if (map?.data === undefined) throw new TypeError(`Cannot use variables: the object has no section ${section}`);
    const variables = new Variables<object>(this.spec.btf, map);
    this.#variables.set(section, variables);
    if (this.#loaded !== undefined) variables.moveTo(this.#memoryOf(map, this.#loaded));
    return variables as Variables<SectionOf<S, N>>;
  }

  /**
   * What loading would do, in which order, and what the token lacks for it: nothing is asked of the kernel.
   *
   * @param token The token that it would be loaded with.
   * @param options How it would be loaded.
   * @returns The steps.
   */
  plan(token: AnyToken, options: LoadOptions = {}): Plan {
    return planObject(token, this.spec, options);
  }

  /**
   * Loads it: its BTF, its maps, its programs, adapted to the running kernel. Where something fails on the way, nothing
   * is left behind.
   *
   * @param token A token with what its maps and programs ask for: see {@linkcode BpfObject.plan}.
   * @param options Maps that are used instead of new ones, and what happens with what the kernel does not have.
   * @returns This object.
   * @throws {TypeError} Where it is loaded or closed, a program has no type or target, or a map in the place of one is
   * another.
   * @throws {PermissionError} Where the token or the kernel does not allow a step.
   * @throws {VerifierError} Where the verifier refuses a program: its hint names what a CO-RE relocation asked for.
   * @throws {NotSupportedError} For what the kernel lacks: a type, an extern, BTF.
   * @throws {SyscallError} Whatever else the kernel says.
   */
  load(token: AnyToken, options: LoadOptions = {}): this {
    if (this.#closedBecause !== undefined) throw new TypeError(`Cannot load the object: ${this.#closedBecause}`);
    if (this.#loaded !== undefined) throw new TypeError("Cannot load the object: it is loaded already");
    const loaded = loadObject(token, this.#parsed, options);
    this.#loaded = loaded;
    this.#token = token;
    for (const [section, variables] of this.#variables) {
      variables.moveTo(this.#memoryOf(this.spec.maps[section], loaded));
    }
    token.adopt(this);
    return this;
  }

  #token: AnyToken | undefined;

  /**
   * Attaches its programs by what their sections say, and structs of functions. Programs whose sections do not say where
   * (`xdp`, `tc`, cgroups, …) are attached where `places` names a place, and left out else.
   *
   * @param token A token with what attaching asks for.
   * @param options Places, by the names of programs.
   * @returns What is attached, until its `using` ends.
   * @throws {TypeError} Where it is not loaded, or a section's target makes no sense.
   * @throws {Error} What attaching says; what was attached before is detached again.
   */
  attach(token: AnyToken, options: AttachOptions = {}): ObjectLinks {
    return attachAll(token, this.spec, this.#use("attach"), options);
  }

  #use(what: string): Loaded {
    if (this.#loaded !== undefined) return this.#loaded;
    throw new TypeError(`Cannot use ${what}: the object ${this.#closedBecause ?? "is not loaded: call load()"}`);
  }

  /** The maps as objects, each made when it is first asked for. */
  #lazyMaps({ maps, arena, stack }: Loaded): Record<string, MapHandle> {
    const record = emptyRecord<MapHandle>();
    const made = new Map<string, MapHandle>();
    for (const [name, { fd }] of maps) {
      Object.defineProperty(record, name, {
        enumerable: true,
        get: (): MapHandle => {
          let map = made.get(name);
          if (map === undefined) {
            const spec = this.spec.maps[name];
            map = spec.type === "arena" && arena?.map.descriptor === fd
              ? arena.map
              : stack.use(adoptMap(this.#token!, fd, codecsOf(this.spec.btf, spec)));
            made.set(name, map);
          }
          return map;
        },
      });
    }
    return record;
  }

  /** Where the variables of a section are once it is loaded. */
  #memoryOf(map: MapSpec, loaded: Loaded): VariableMemory | undefined {
    const created = loaded.maps.get(map.name);
    if (created === undefined || map.structOps !== undefined) return undefined;
    const [token, { fd }, length] = [this.#token!, created, map.data!.length];
    if (map.type === "arena") {
      const { arena } = loaded;
      return arena &&
        {
          live: new Uint8Array(arena.map.memory, arena.offset, length),
          read: allocate.bind(null, 0),
          write: undefined,
        };
    }
    const isConstant = map.kind === "rodata" || map.kind === "kconfig";
    const isMapped = !isConstant && (effective(token, map).flags & BPF_F_MMAPABLE) !== 0 && !token.readOnly;
    let live: Bytes | undefined;
    const view = (): Bytes =>
      (this.maps as Record<string, ArrayMap<unknown>>)[map.name].view(Uint8Array).subarray(0, length) as Bytes;
    const key = allocate(4);
    return {
      // Mapped when it is first asked for.
      get live(): Bytes | undefined {
        return isMapped ? live ??= view() : undefined;
      },
      read: () => mapLookupElem(token, fd, { key })!.subarray(0, length) as Bytes,
      write: isConstant
        ? undefined
        : (bytes) => mapUpdateElem(token, fd, { key, value: map.kind === "percpu" ? repeated(bytes) : bytes }),
    };
  }

  /**
   * Closes its maps and programs, and takes the memory of its variables back: they read as they were before loading. What
   * is attached, pinned or used elsewhere lives on in the kernel. A second call does nothing.
   *
   * @param reason What a later use is told, after "the object".
   */
  close(reason = "is closed"): void {
    if (this.#closedBecause !== undefined) return;
    this.#closedBecause = reason;
    for (const variables of this.#variables.values()) variables.moveTo(undefined);
    this.#loaded?.stack.dispose();
    this.#loaded = undefined;
    this.#maps = undefined;
    this.#progs = undefined;
  }

  /** Closes it. */
  [Symbol.dispose](): void {
    this.close();
  }
}

/** A value for each possible CPU. */
function repeated(bytes: Bytes): Bytes {
  const stride = Math.ceil(bytes.length / 8) * 8;
  const all = allocate(stride * possibleCpus());
  for (let at = 0; at < all.length; at += stride) all.set(bytes, at);
  return all;
}

/** What BTF says of a map's contents; what makes no sense is left out. */
function codecsOf(
  btf: Btf | undefined,
  map: MapSpec,
): { key?: Codec<unknown>; value?: Codec<unknown>; record?: Codec<unknown> } {
  if (btf === undefined) return {};
  const codec = (id: number | undefined): Codec<unknown> | undefined => {
    try {
      return id === undefined || id === 0 ? undefined : codecFrom(btf, id);
    } catch (error) {
      if (error instanceof TypeError || error instanceof SyntaxError || error instanceof RangeError) return undefined;
      throw error;
    }
  };
  const { eventType } = map;
  const event = eventType === undefined ? undefined : btf.find("struct", eventType) ?? btf.find("typedef", eventType);
  const found = { key: codec(map.keyTypeId), value: codec(map.valueTypeId), record: codec(event) };
  return Object.fromEntries(Object.entries(found).filter(([, value]) => value !== undefined));
}
