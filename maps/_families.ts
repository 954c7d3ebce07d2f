/**
 * What differs from map type to map type, looked up by whoever makes or opens one. `families.ts` fills it: it needs the
 * classes of all types, which need `BpfMap`, which needs this.
 *
 * @module
 */

import type { MapCreateOptions } from "../cmds/map.ts";
import type { Codec } from "../codec.ts";
import type { AnyToken } from "../tokens/token.ts";
import type { MapType } from "../uapi/enums.gen.ts";
import type { MapHandle, MapParts } from "./map_handle.ts";
import { type BpfMapOptions, defaultKey, flagBits } from "./map_options.ts";

/** Options that have to be made first, and are let go once the map is there. */
export interface Prepared extends Disposable {
  readonly options: Partial<MapCreateOptions>;
}

/** What is special about a map type. */
export interface Family {
  /** The codec of keys where the user gives none. The size is that of a map that is opened. */
  readonly defaultKey?: (size?: number) => Codec<unknown>;
  /** The codec of values where the user gives none. The size is that of a map that is opened; flags are BPF_F_*. */
  readonly defaultValue?: (size: number | undefined, flags: number) => Codec<unknown>;
  /** The codec of values as user space sees them, out of the one that the user gave. */
  readonly value?: (element: Codec<unknown>) => Codec<unknown>;
  /** Refuses options that cannot make such a map. */
  readonly check?: (options: BpfMapOptions) => void;
  /** Makes what BPF_MAP_CREATE needs besides what the user gave. */
  readonly prepare?: (token: AnyToken, value: Codec<unknown>) => Prepared;
  /** Makes the object, where it is no plain `BpfMap`. */
  readonly make?: (parts: MapParts<never, never>) => MapHandle;
}

let families: { readonly [T in MapType]?: Family } = {};

/** Fills the table. */
export function registerFamilies(table: { readonly [T in MapType]?: Family }): void {
  families = table;
}

/** What is special about a map type; nothing for a number. */
export function familyOf(type: MapType | number): Family {
  return typeof type === "string" ? families[type] ?? {} : {};
}

/** The codecs of a map that is to be made. */
export interface MapCodecs {
  readonly key: Codec<unknown>;
  /** As user space sees them. */
  readonly value: Codec<unknown>;
  /** Of one CPU. */
  readonly element: Codec<unknown>;
}

/** The codecs for what a user asked for. */
export function codecsFor(options: BpfMapOptions): MapCodecs {
  const family = familyOf(options.type);
  const key = options.key ?? family.defaultKey?.() ?? defaultKey(options.type);
  const element = options.value ?? family.defaultValue?.(undefined, flagBits(options.type, options.flags));
  for (const [name, codec] of [["key", key], ["value", element]] as const) {
    if (codec === undefined) {
      throw new TypeError(`Cannot create a map of type ${options.type}: ${name} is missing, the codec of its ${name}s`);
    }
  }
  return { key: key!, value: family.value?.(element!) ?? element!, element: element! };
}
