/** Loads an object: BTF, maps, programs, in the order in which they need each other. */

import { mapUpdateElem } from "../cmds/map_elem.ts";
import { btfLoad } from "../cmds/btf.ts";
import type { ProgBtf } from "../cmds/prog.ts";
import { NotSupportedError, SyscallError } from "../errors.ts";
import { hasFeature } from "../features/mod.ts";
import type { Fd, FdSource } from "../ffi/fd.ts";
import { kernel } from "../ffi/kernel.ts";
import { pageSize } from "../ffi/mapping.ts";
import { allocate } from "../ffi/memory.ts";
import { adoptMap, type Arena } from "../maps/mod.ts";
import { openModuleBtf } from "../progs/module_btf.ts";
import type { Program } from "../progs/mod.ts";
import type { AnyToken } from "../tokens/token.ts";
import { errnos } from "../uapi/errno.gen.ts";
import { CoreAdapter } from "./_core.ts";
import { type CreatedMap, createMaps, effective, setSlot } from "./_create_maps.ts";
import { explainPoison } from "./_explain.ts";
import { type LinkedProgram, Linker } from "./_link.ts";
import { isSupported, loadProgram } from "./_load_program.ts";
import { Modules } from "./_modules.ts";
import { applyRelocations, type Resolution } from "./_program_relocs.ts";
import { resolveExterns } from "./_resolve_externs.ts";
import { sanitizeBtf, sanitizeInsns } from "./_sanitize.ts";
import {
  fillStructOps,
  type KernelStructOps,
  kernelStructOps,
  structOpsMapOptions,
  structOpsUsers,
} from "./_struct_ops.ts";
import type { LoadOptions } from "./load_options.ts";
import type { ParsedObject } from "./parse.ts";
import type { MapSpec, ProgramSpec } from "./spec.ts";

/** What loading an object made. */
export interface Loaded {
  /** The maps by name. */
  readonly maps: ReadonlyMap<string, CreatedMap>;
  /** The programs by name. */
  readonly programs: ReadonlyMap<string, Program>;
  /** The names of programs that were left out since the kernel has no such type. */
  readonly skipped: readonly string[];
  /** Structs of kernel functions by the map's name, with the descriptors of their programs. */
  readonly structOps: ReadonlyMap<string, KernelStructOps>;
  /** The arena that has variables, and where they are in it. */
  readonly arena: { readonly map: Arena; readonly offset: number } | undefined;
  /** Why the kernel refused the object's BTF; undefined where it did not. */
  readonly btfError: Error | undefined;
  /** All that has to be closed. */
  readonly stack: DisposableStack;
}

/** Programs without what the kernel has to know of them: linked, adapted to its types. */
export function linkAll(
  { spec, records }: ParsedObject,
  programs: readonly ProgramSpec[],
  core: CoreAdapter,
): LinkedProgram[] {
  const linker = new Linker(spec.functions, (number) => core.adapted(number).insns, records);
  return programs.map((program) => linker.link(program.function));
}

/** Loads an object. What was made is let go again where something fails on the way. */
export function loadObject(token: AnyToken, object: ParsedObject, options: LoadOptions): Loaded {
  using stack = new DisposableStack();
  const pins: string[] = [];
  const folders: string[] = [];
  // Pins that were made are taken away again, unless all goes well.
  stack.defer(() => {
    for (const path of pins) kernel().unlink(path);
    for (const path of folders) kernel().rmdir(path);
  });
  const { spec } = object;
  if (spec.byteOrder !== "little") {
    throw new NotSupportedError("this object", { reason: "it was compiled for big-endian machines, and this is none" });
  }
  for (const name of Object.keys(options.maps ?? {})) {
    if (!Object.hasOwn(spec.maps, name)) throw new TypeError(`Cannot use maps: the object has no map ${name}`);
  }
  const modules = new Modules();
  const structOps = kernelStructOps(spec, modules);
  const users = structOpsUsers(spec);
  const wanted = Object.values(spec.programs).filter(({ name, autoload }) => users.get(name) ?? autoload);
  const programs = options.unsupported === "skip" ? wanted.filter((program) => isSupported(token, program)) : wanted;
  const externs = resolveExterns(token, spec, {
    modules,
    kconfig: options.kconfig,
    values: spec.maps[".kconfig"]?.data,
  });
  const core = new CoreAdapter(spec, modules, options.kernelBtf);
  const linked = linkAll(object, programs, core);

  const { fd: btf, error: btfError } = loadBtf(token, object, stack);
  const needsGlobals = Object.values(spec.maps).some(({ kind, autocreate }) =>
    kind !== "map" && kind !== "struct_ops" && autocreate
  );
  if (needsGlobals && hasFeature(token, "global_data") === false) {
    throw new NotSupportedError("global variables", { since: "5.2" });
  }
  const maps = createMaps(token, spec, {
    ...{ btf, stack, pins, folders, reuse: options.maps ?? {} },
    structOps: structOpsMapOptions(token, structOps, stack, btf),
  });
  const arena = mapArena(token, object, maps, stack);
  const names = Object.keys(spec.maps);
  const moduleFds = new Map<string, { fd: Fd; index: number }>();
  const resolution: Resolution = {
    mapFd: (name) => maps.get(name)?.fd.fd,
    mapNumber: (name) => names.indexOf(name),
    dataOffset: (name) => spec.maps[name]?.type === "arena" ? arena?.offset ?? 0 : 0,
    externs,
    moduleBtf: (module) => {
      let known = moduleFds.get(module);
      if (known === undefined) {
        known = { fd: stack.use(openModuleBtf(token, module)), index: moduleFds.size + 1 };
        moduleFds.set(module, known);
      }
      return known;
    },
  };
  const members = new Map(
    [...structOps.values()].flatMap(({ typeId, module, members }) =>
      members.map(({ program, index }) => [program, { typeId, index, module }] as const)
    ),
  );
  const knowsFunctions = btf === undefined || hasFeature(token, "btf_func") !== false;
  const loaded = new Map<string, Program>();
  for (const [index, program] of programs.entries()) {
    const { insns, open, funcInfo, lineInfo } = linked[index];
    applyRelocations(insns, open, resolution);
    sanitizeInsns(token, insns);
    const own: ProgBtf | undefined = btf === undefined || funcInfo === undefined || !knowsFunctions
      ? undefined
      : { fd: btf, funcInfo, lineInfo };
    // The first place stands for the kernel's own functions, which have no descriptor.
    const fdArray: FdSource[] | undefined = moduleFds.size === 0
      ? undefined
      : [0, ...[...moduleFds.values()].map(({ fd }) => fd)];
    const parts = {
      ...{ insns, btf: own, fdArray, member: members.get(program.name) },
      explain: (log: string) => explainPoison(log, { spec, linked: linked[index], core }),
    };
    loaded.set(program.name, stack.use(loadProgram(token, spec, program, { parts, modules, log: options.onLog })));
  }
  fillProgramArrays(token, spec.maps, maps, loaded);
  for (const struct of structOps.values()) fillStructOps(struct, (name) => loaded.get(name)?.fd);
  const skipped = wanted.filter((program) => !programs.includes(program)).map(({ name }) => name);
  pins.length = folders.length = 0;
  return { maps, programs: loaded, skipped, structOps, arena, btfError, stack: stack.move() };
}

/** Loads the object's BTF. Where the kernel refuses it, the rest is loaded without, as libbpf does, unless it needs it. */
function loadBtf(token: AnyToken, { spec }: ParsedObject, stack: DisposableStack): { fd?: Fd; error?: Error } {
  if (spec.btf === undefined) return {};
  try {
    return { fd: stack.use(btfLoad(token as never, sanitizeBtf(token, spec))) };
  } catch (error) {
    const needsIt = Object.values(spec.maps).some(({ type, autocreate }) => autocreate && type === "struct_ops");
    const isRefused = error instanceof NotSupportedError || error instanceof SyscallError;
    if (!isRefused || needsIt || (error instanceof SyscallError && OUT_OF.has(error.errno))) throw error;
    return { error };
  }
}

/** Errors that say nothing of the BTF. */
const OUT_OF: ReadonlySet<number> = new Set([errnos.ENOMEM, errnos.EMFILE, errnos.ENFILE, errnos.EPERM]);

/** Maps the arena that has variables, and writes their first values. */
function mapArena(
  token: AnyToken,
  { spec }: ParsedObject,
  maps: ReadonlyMap<string, CreatedMap>,
  stack: DisposableStack,
): Loaded["arena"] {
  const arenas = Object.values(spec.maps).filter(({ type, name }) => type === "arena" && maps.has(name));
  let found: Loaded["arena"];
  for (const map of arenas) {
    const arena = stack.use(adoptMap(token, maps.get(map.name)!.fd) as Arena);
    // Programs that use an arena are refused where user space has not mapped it.
    const memory = arena.memory;
    if (map.data === undefined) continue;
    const page = pageSize();
    const offset = effective(token, map).maxEntries * page - Math.ceil(map.data.length / page) * page;
    if (offset < 0) {
      throw new RangeError(`Cannot use map ${map.name}: ${map.data.length} bytes of variables do not fit in its pages`);
    }
    if (!maps.get(map.name)!.reused) new Uint8Array(memory).set(map.data, offset);
    found = { map: arena, offset };
  }
  return found;
}

/** Puts programs into the slots of program arrays. */
function fillProgramArrays(
  token: AnyToken,
  specs: Readonly<Record<string, MapSpec>>,
  maps: ReadonlyMap<string, CreatedMap>,
  programs: ReadonlyMap<string, Program>,
): void {
  for (const map of Object.values(specs)) {
    const created = maps.get(map.name);
    if (map.type !== "prog_array" || created === undefined || created.reused) continue;
    for (const { index, name } of map.slots) {
      const program = programs.get(name);
      if (program === undefined) continue;
      try {
        setSlot(token, created.fd, index, program);
      } catch (error) {
        if (error instanceof Error) {
          error.message = `${error.message} (program ${name} in map ${map.name} of the object)`;
        }
        throw error;
      }
    }
  }
}

/** Registers a struct of functions: its value is written to the map's only element. */
export function registerStructOps(token: AnyToken, map: Fd, { value }: KernelStructOps): void {
  mapUpdateElem(token, map, { key: allocate(4), value });
}
