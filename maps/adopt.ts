/**
 * Maps that were made elsewhere, as objects of their type's class.
 *
 * @module
 */

import { mapShape } from "../cmds/map_shape.ts";
import type { Codec } from "../codec.ts";
import type { Fd } from "../ffi/fd.ts";
import type { AnyToken } from "../tokens/token.ts";
import { familyOf } from "./_families.ts";
import { codecsOf } from "./_open.ts";
import { BpfMap } from "./bpf_map.ts";
import type { MapHandle } from "./map_handle.ts";
import { typeName } from "./operations.ts";

/** What is known of the contents of a map. */
export interface KnownCodecs {
  /** The codec of its keys, where its type does not say. */
  readonly key?: Codec<unknown> | undefined;
  /** The codec of its values, of one CPU for per-CPU maps, where its type does not say. */
  readonly value?: Codec<unknown> | undefined;
  /** The codec of the records that programs send, for event buffers. */
  readonly record?: Codec<unknown> | undefined;
}

/**
 * Takes over the descriptor of a map.
 *
 * @param token The token that opened it.
 * @param fd The descriptor; it is closed where this throws.
 * @param known What is known of its contents; what does not fit is left out.
 * @returns The map.
 */
export function adoptMap(token: AnyToken, fd: Fd, known: KnownCodecs = {}): MapHandle {
  try {
    const shape = mapShape(token, fd);
    const type = typeName(shape.type);
    const parts = { token, fd, type, ...codecsOf(type, shape, {}, known), record: known.record };
    return familyOf(type).make?.(parts as never) ?? new BpfMap(parts);
  } catch (error) {
    fd.close();
    throw error;
  }
}
