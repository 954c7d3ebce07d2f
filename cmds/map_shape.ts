/**
 * The sizes of a map's keys and values, which every buffer is checked against before the kernel sees its address.
 *
 * @module
 */

import { Attr } from "../ffi/attr.ts";
import { possibleCpus } from "../ffi/cpus.ts";
import { Fd, fdNumber, type FdSource } from "../ffi/fd.ts";
import { tryReadKernelLink } from "../ffi/kernel_file.ts";
import { structBuffer } from "../ffi/struct_buffer.ts";
import { mapTypes } from "../uapi/enums.gen.ts";
import type { AnyToken } from "../tokens/token.ts";
import { submit } from "./_call.ts";
import { failure } from "./_failure.ts";

/** The sizes of a map's keys and values, in bytes. */
export interface MapShape {
  /** The map's type, by number. */
  readonly type: number;
  /** Of a key; 0 for a map without keys. */
  readonly keySize: number;
  /** Of a value as user space sees it: all CPUs' values of a per-CPU map. */
  readonly valueSize: number;
  /** Of a value as the kernel tells it: of one CPU for per-CPU maps. */
  readonly elementSize: number;
  /** Elements at most; bytes of a ring buffer, pages of an arena. */
  readonly maxEntries: number;
  /** BPF_F_* flags that it was made with. */
  readonly flags: number;
}

/** The map types that have a value for each possible CPU. */
const PER_CPU: ReadonlySet<number> = new Set([
  mapTypes.percpu_hash,
  mapTypes.lru_percpu_hash,
  mapTypes.percpu_array,
  mapTypes.percpu_cgroup_storage,
]);

/** Of owned descriptors only: whatever else has a number may have another one the next time. */
const shapes = new WeakMap<Fd, MapShape>();

/**
 * The sizes of a map's keys and values, asked for once for each owned descriptor. Not asked of the token: the library
 * needs them for its own safety, whatever the token was restricted to.
 *
 * @param token A permission token.
 * @param map The map.
 * @returns Its type and sizes.
 * @throws {TypeError} Where the descriptor is of no map.
 */
export function mapShape(token: AnyToken, map: FdSource): MapShape {
  const fd = fdNumber(map, "map");
  const known = map instanceof Fd ? shapes.get(map) : undefined;
  if (known !== undefined) return known;
  checkIsMap(fd);
  const info = structBuffer("bpf_map_info");
  const attr = new Attr("obj_get_info_by_fd").fd("bpf_fd", map).u32("info_len", info.bytes.length)
    .pointer("info", info.bytes);
  const result = submit(token, attr);
  if (result < 0) throw failure(token, attr, -result, { action: "look up the sizes of a map" });
  const [type, valueSize] = [info.getU32("type"), info.getU32("value_size")];
  const shape: MapShape = {
    type,
    keySize: info.getU32("key_size"),
    valueSize: PER_CPU.has(type) ? Math.ceil(valueSize / 8) * 8 * possibleCpus() : valueSize,
    elementSize: valueSize,
    maxEntries: info.getU32("max_entries"),
    flags: info.getU32("map_flags"),
  };
  if (map instanceof Fd) shapes.set(map, shape);
  return shape;
}

/** What /proc calls the descriptors of maps. */
const MAP_LINK = "anon_inode:bpf-map";

/**
 * Refuses what is no map: the kernel tells about programs in the same way, and what it says there, read as sizes, can
 * be gigabytes. Where /proc does not tell, the next call does.
 */
function checkIsMap(fd: number): void {
  const link = tryReadKernelLink(`/proc/self/fd/${fd}`);
  if (link === undefined || link === MAP_LINK) return;
  throw new TypeError(`Cannot use map: file descriptor ${fd} is of no map, but of ${link}`);
}
