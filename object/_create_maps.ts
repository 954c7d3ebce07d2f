/** Makes the maps of an object, or takes those that exist in their place. */

import { mapCreate, type MapCreateOptions, mapFreeze } from "../cmds/map.ts";
import { mapUpdateElem } from "../cmds/map_elem.ts";
import { objGet, objGetInfoByFd, objPin } from "../cmds/obj.ts";
import { SyscallError } from "../errors.ts";
import { hasFeature } from "../features/mod.ts";
import { possibleCpus } from "../ffi/cpus.ts";
import { duplicateFd, type Fd, type FdSource } from "../ffi/fd.ts";
import { pageSize } from "../ffi/mapping.ts";
import { allocate, LITTLE_ENDIAN } from "../ffi/memory.ts";
import { type Bytes, kernel } from "../ffi/kernel.ts";
import type { AnyToken } from "../tokens/token.ts";
import { BPF_F_MMAPABLE, BPF_F_RDONLY_PROG } from "../uapi/constants.gen.ts";
import { errnos } from "../uapi/errno.gen.ts";
import type { MapType } from "../uapi/enums.gen.ts";
import type { MapDefinition, MapSpec, ObjectSpec } from "./spec.ts";

/** Types whose keys and values the kernel takes no BTF for. */
const WITHOUT_BTF: ReadonlySet<MapType | number> = new Set<MapType | number>([
  ...["perf_event_array", "cgroup_array", "stack_trace", "array_of_maps", "hash_of_maps", "devmap", "devmap_hash"],
  ...["cpumap", "xskmap", "sockmap", "sockhash", "queue", "stack", "arena", "ringbuf", "user_ringbuf", "struct_ops"],
] as MapType[]);

/** Types whose descriptors come with BPF_F_RDONLY_PROG, which nobody asked for. */
const READ_ONLY_BY_KERNEL: ReadonlySet<MapType | number> = new Set<MapType | number>(["devmap", "devmap_hash"]);

/** A map that is there. */
export interface CreatedMap {
  /** Its descriptor. */
  readonly fd: Fd;
  /** Whether it was there before. */
  readonly reused: boolean;
}

/** What the maps of an object need besides their definitions. */
export interface MapContext {
  /** The object's BTF in the kernel; undefined where there is none. */
  readonly btf: FdSource | undefined;
  /** What struct_ops maps are made with, by name. */
  readonly structOps: ReadonlyMap<string, Partial<MapCreateOptions>>;
  /** Maps that are used instead of new ones, by name. */
  readonly reuse: Readonly<Record<string, FdSource>>;
  /** The pins that were made. */
  readonly pins: string[];
  /** The folders that were made for them. */
  readonly folders: string[];
  /** Where each descriptor goes that was opened. */
  readonly stack: DisposableStack;
}

/** Makes all maps of an object, with what stands in them from the start. */
export function createMaps(token: AnyToken, spec: ObjectSpec, context: MapContext): Map<string, CreatedMap> {
  const created = new Map<string, CreatedMap>();
  for (const map of Object.values(spec.maps)) {
    if (map.autocreate) created.set(map.name, createOrReuse(token, spec, map, context));
  }
  for (const map of Object.values(spec.maps)) {
    const outer = created.get(map.name);
    if (outer === undefined || outer.reused || map.inner === undefined) continue;
    for (const { index, name } of map.slots) {
      const inner = created.get(name);
      if (inner !== undefined) setSlot(token, outer.fd, index, inner.fd);
    }
  }
  return created;
}

/** Puts a map or a program into a slot. */
export function setSlot(token: AnyToken, map: Fd, index: number, value: FdSource & { readonly fd: number }): void {
  mapUpdateElem(token, map, { key: word(index), value: word(value.fd) });
}

function word(value: number): Bytes {
  const bytes = allocate(4);
  new DataView(bytes.buffer).setUint32(0, value, LITTLE_ENDIAN);
  return bytes;
}

/** Where a map is pinned; undefined where it is not. */
export function pinPathOf({ pinFolder }: ObjectSpec, { name, pinPath, pinByName }: MapSpec): string | undefined {
  // bpffs takes no names with dots.
  return pinPath ?? (pinByName ? `${pinFolder}/${name.replaceAll(".", "_")}` : undefined);
}

/** Makes the folder of a pin where it is not there, but none above it. C name: `make_parent_dir`. */
function makeFolder(path: string, { folders }: MapContext): void {
  const folder = path.slice(0, Math.max(path.lastIndexOf("/"), 0));
  // Why it cannot be made, pinning will say.
  if (folder !== "" && kernel().mkdir(folder, 0o700) === 0) folders.push(folder);
}

function createOrReuse(token: AnyToken, spec: ObjectSpec, map: MapSpec, context: MapContext): CreatedMap {
  const take = (fd: Fd): Fd => context.stack.use(fd);
  const given = Object.hasOwn(context.reuse, map.name) ? context.reuse[map.name] : map.reuse;
  if (given !== undefined) {
    const fd = take(token.adopt(duplicateFd(given, `the map in the place of ${map.name}`)));
    checkSame(token, map, fd, "the map that was given");
    return { fd, reused: true };
  }
  const path = pinPathOf(spec, map);
  const pinned = path === undefined ? undefined : openPin(token, map, path);
  if (pinned !== undefined) return { fd: take(pinned), reused: true };
  const fd = take(create(token, map, context));
  if (map.data !== undefined && map.structOps === undefined && map.type !== "arena") fill(token, map, fd, map.data);
  if (path === undefined) return { fd, reused: false };
  try {
    token.assert({ command: "obj_pin", path }, `pin map ${map.name}`);
    makeFolder(path, context);
    objPin(token, fd, { path });
    context.pins.push(path);
  } catch (error) {
    // Somebody else has pinned one meanwhile.
    const other = error instanceof SyscallError && error.errno === errnos.EEXIST
      ? openPin(token, map, path)
      : undefined;
    if (other === undefined) throw error;
    return { fd: take(other), reused: true };
  }
  return { fd, reused: false };
}

function openPin(token: AnyToken, map: MapSpec, path: string): Fd | undefined {
  let fd: Fd;
  try {
    fd = objGet(token, path);
  } catch (error) {
    if (error instanceof SyscallError && error.errno === errnos.ENOENT) return undefined;
    throw error;
  }
  try {
    checkSame(token, map, fd, path);
    return fd;
  } catch (error) {
    fd.close();
    throw error;
  }
}

/** Refuses a map that is not as the object wants it, and names each difference. */
function checkSame(token: AnyToken, map: MapSpec, fd: Fd, where: string): void {
  const info = objGetInfoByFd(token, fd, { kind: "map" });
  const wanted = effective(token, map);
  const found: MapDefinition = {
    ...wanted,
    ...{ type: info.type, keySize: info.keySize },
    ...{ valueSize: info.valueSize, maxEntries: info.maxEntries, extra: BigInt(info.mapExtra) },
    flags: READ_ONLY_BY_KERNEL.has(map.type) ? info.flags & ~BPF_F_RDONLY_PROG : info.flags,
  };
  const differences = (["type", "keySize", "valueSize", "maxEntries", "flags", "extra"] as const)
    .filter((field) => found[field] !== wanted[field])
    .map((field) => `${field} is ${found[field]} there and ${wanted[field]} in the object`);
  if (differences.length === 0) return;
  throw new TypeError(`Cannot use ${where} as map ${map.name}: ${differences.join(", ")}`);
}

/** A definition with what the kernel wants instead of what the object says. */
export function effective<D extends MapDefinition>(token: AnyToken, definition: D): D {
  let { maxEntries, flags } = definition;
  const { type } = definition;
  if (type === "perf_event_array" && maxEntries === 0) maxEntries = possibleCpus();
  if (type === "ringbuf" || type === "user_ringbuf") maxEntries = ringSize(maxEntries);
  if (type === "array" && (flags & BPF_F_MMAPABLE) !== 0 && hasFeature(token, "array_mmap") === false) {
    flags &= ~BPF_F_MMAPABLE;
  }
  return { ...definition, maxEntries, flags };
}

/** The size of a ring: a power of two of pages. */
function ringSize(size: number): number {
  const page = pageSize();
  if (size === 0 || (size % page === 0 && Number.isInteger(Math.log2(size / page)))) return size;
  for (let rounded = page; rounded <= 0x8000_0000; rounded *= 2) if (rounded > size) return rounded;
  return size;
}

function create(token: AnyToken, map: MapSpec, context: MapContext): Fd {
  const definition = effective(token, map);
  using inner = map.inner === undefined ? undefined : createOne(token, effective(token, map.inner), context, "");
  const more = { ...context.structOps.get(map.name), ...(inner === undefined ? {} : { innerMap: inner }) };
  const name = hasFeature(token, "object_names") === false ? "" : map.kernelName;
  try {
    return createOne(token, definition, context, name, more);
  } catch (error) {
    if (error instanceof Error) error.message = `${error.message} (map ${map.name} of the object)`;
    throw error;
  }
}

function createOne(
  token: AnyToken,
  definition: MapDefinition,
  { btf }: MapContext,
  name: string,
  more: Partial<MapCreateOptions> = {},
): Fd {
  const { type, keyTypeId, valueTypeId, numaNode, ifindex, extra, keySize, valueSize, maxEntries, flags } = definition;
  const plain: MapCreateOptions = {
    type,
    keySize,
    valueSize,
    maxEntries,
    flags,
    name,
    numaNode,
    ifindex,
    extra,
    ...more,
  };
  const typed = btf !== undefined && !WITHOUT_BTF.has(type) && (keyTypeId !== 0 || valueTypeId !== 0);
  if (!typed) return mapCreate(token as never, plain);
  try {
    return mapCreate(token as never, { ...plain, btf: { fd: btf, keyTypeId, valueTypeId } });
  } catch (error) {
    // The kernel may take the map, and not what its keys and values are.
    try {
      if (error instanceof SyscallError) return mapCreate(token as never, plain);
    } catch {
      // The first error is the one that counts.
    }
    throw error;
  }
}

/** Writes the first values of variables, and freezes those that never change. */
function fill(token: AnyToken, map: MapSpec, fd: Fd, data: Bytes): void {
  const isZero = data.every((byte) => byte === 0);
  if (!isZero) mapUpdateElem(token, fd, { key: word(0), value: map.kind === "percpu" ? forAllCpus(data) : data });
  if (map.kind === "rodata" || map.kind === "kconfig") mapFreeze(token as never, fd);
}

function forAllCpus(data: Bytes): Bytes {
  const stride = Math.ceil(data.length / 8) * 8;
  const all = allocate(stride * possibleCpus());
  for (let at = 0; at < all.length; at += stride) all.set(data, at);
  return all;
}
