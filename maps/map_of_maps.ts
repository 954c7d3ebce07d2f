/**
 * Maps whose values are maps: array_of_maps, hash_of_maps.
 *
 * @module
 */

import type { FdSource } from "../ffi/fd.ts";
import type { PermissionToken } from "../tokens/token.ts";
import type { MapType } from "../uapi/enums.gen.ts";
import { BpfMap } from "./bpf_map.ts";
import type { MapOf } from "./families.ts";
import type { OpenOptions } from "./open_options.ts";
import type { MapOperation } from "./operations.ts";

/**
 * A map of maps: descriptors go in, ids come out. Since Linux 4.12.
 *
 * @example
 * ```ts
 * import { acquire, BpfMap, u32, u64 } from "@bpf/deno";
 *
 * const token = acquire("CAP_BPF", "CAP_SYS_ADMIN");
 * using inner = BpfMap.create(token, { type: "hash", key: u32, value: u64, maxEntries: 8 });
 * using outer = BpfMap.create(token, { type: "array_of_maps", maxEntries: 4, innerMap: inner });
 * outer.set(0, inner);
 * using again = outer.open(0, { type: "hash", key: u32, value: u64 });
 * console.log(again?.get(1));
 * ```
 *
 * @typeParam K A key.
 * @typeParam O What user space may do with its elements.
 */
export class MapOfMaps<K, O extends MapOperation = MapOperation> extends BpfMap<K, number, O, FdSource> {
  /**
   * Opens the map in a slot, by its id.
   *
   * @typeParam T The type's name.
   * @typeParam L A key of the inner map.
   * @typeParam V A value of the inner map.
   * @param key The slot's key.
   * @param options The type that the inner map has to have, and its codecs.
   * @returns The inner map; undefined where the slot is empty.
   * @throws {PermissionError} Without CAP_SYS_ADMIN, which ids ask for.
   */
  open<const T extends MapType | number = number, L = never, V = never>(
    this: MapOfMaps<K, "get">,
    key: K,
    options: OpenOptions<T, L, V> = {},
  ): MapOf<T, L, V> | undefined {
    const id = this.get(key);
    return id === undefined
      ? undefined
      : BpfMap.open<T, L, V>(this.token as PermissionToken<"CAP_SYS_ADMIN">, { id }, options);
  }
}
