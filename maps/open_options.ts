/**
 * Which map to open, and as what.
 *
 * @module
 */

import type { PathOptions } from "../cmds/obj.ts";
import type { Codec } from "../codec.ts";
import type { Fd } from "../ffi/fd.ts";
import type { MapType } from "../uapi/enums.gen.ts";

/** A map by its pin. */
export interface OpenByPath extends PathOptions {
  /** Where it is pinned. */
  path: string;
}

/** A map by its id. */
export interface OpenById {
  /** Its id. */
  id: number;
}

/** A map by its name. */
export interface OpenByName {
  /** Its name, which only one map may have: the kernel keeps 15 characters. */
  name: string;
}

/** A map by a descriptor of it. */
export interface OpenByFd {
  /** The descriptor, which is taken over: one that was inherited, received or duplicated. */
  fd: Fd | number;
}

/** Where a map is. */
export type OpenSource = OpenByPath | OpenById | OpenByName | OpenByFd;

/** What `BpfMap.open()` takes besides where the map is. */
export interface OpenOptions<T extends MapType | number = MapType | number, K = unknown, V = unknown> {
  /** The type that the map has to have. */
  type?: T | undefined;
  /** The codec of keys. Without it the map's own BTF says what they are; without that, they are bytes. */
  key?: Codec<K> | undefined;
  /**
   * The codec of values, of one CPU for per-CPU maps. Without it the map's own BTF says what they are, where the token
   * grants CAP_SYS_ADMIN; without that, they are bytes.
   */
  value?: Codec<V> | undefined;
}
