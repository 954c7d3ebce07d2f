/**
 * Many elements of maps at once: BPF_MAP_LOOKUP_BATCH, BPF_MAP_LOOKUP_AND_DELETE_BATCH, BPF_MAP_UPDATE_BATCH and
 * BPF_MAP_DELETE_BATCH.
 *
 * @module
 */

import { Attr } from "../ffi/attr.ts";
import type { FdSource } from "../ffi/fd.ts";
import type { Bytes } from "../ffi/kernel.ts";
import { errnos } from "../uapi/errno.gen.ts";
import type { AnyToken } from "../tokens/token.ts";
import { attempt, type CallContext } from "./_call.ts";
import { failure } from "./_failure.ts";
import { mapShape } from "./map_shape.ts";
import { checkLength } from "./_types.ts";

type BatchCommand = "map_lookup_batch" | "map_lookup_and_delete_batch" | "map_update_batch" | "map_delete_batch";

/** What the batch functions share. Its C name is `bpf_attr.batch`. */
export interface BatchOptions {
  /** The keys, one after the other: at least `count` times the map's key size. C name: `keys`. */
  keys: Bytes;
  /** How many elements, at most for lookups. C name: `count`. */
  count: number;
  /** Flags of each element, such as BPF_F_LOCK. C name: `elem_flags`. @default {0n} */
  elemFlags?: number | bigint | undefined;
  /** Flags of the batch. C name: `flags`. @default {0n} */
  flags?: number | bigint | undefined;
}

/** What `mapUpdateBatch()` takes besides the map. */
export interface UpdateBatchOptions extends BatchOptions {
  /** The values, one after the other: at least `count` times the map's value size. C name: `values`. */
  values: Bytes;
}

/** What the batch lookups take besides the map. */
export interface LookupBatchOptions extends UpdateBatchOptions {
  /** Where to go on: what `outBatch` was after the batch before; none for the first. C name: `in_batch`. */
  inBatch?: Bytes | undefined;
  /** Where the kernel says how to go on: at least 4 bytes, and the map's key size. C name: `out_batch`. */
  outBatch: Bytes;
}

/** What a batch did. */
export interface BatchResult {
  /** How many elements were done. */
  readonly count: number;
  /** Whether that was the last batch: the kernel said ENOENT. */
  readonly done: boolean;
}

/** An error of a batch that was done in part: `count` elements were. */
export interface BatchError extends Error {
  /** How many elements were done before the error. */
  count: number;
}

/** A batch resumes at a bucket's number, or after a key. */
const BUCKET_NUMBER_SIZE = 4;

function batch(
  token: AnyToken,
  command: BatchCommand,
  map: FdSource,
  options: BatchOptions & { values?: Bytes; inBatch?: Bytes | undefined; outBatch?: Bytes },
): BatchResult {
  const { keys, values, count, inBatch, outBatch } = options;
  if (!Number.isInteger(count) || count < 0 || count > 0xffffffff) {
    throw new RangeError(`Cannot use count: ${count} is not an integer from 0 to 4294967295`);
  }
  const { type, keySize, valueSize } = mapShape(token, map);
  const resumeSize = Math.max(BUCKET_NUMBER_SIZE, keySize);
  checkLength(keys, count * keySize, "keys", false);
  const attr = new Attr(command).fd("map_fd", map).u32("count", count).pointer("keys", keys)
    .u64("elem_flags", options.elemFlags ?? 0).u64("flags", options.flags ?? 0);
  if (values !== undefined) {
    checkLength(values, count * valueSize, "values", false);
    attr.pointer("values", values);
  }
  if (inBatch !== undefined) {
    checkLength(inBatch, resumeSize, "inBatch", false);
    attr.pointer("in_batch", inBatch);
  }
  if (outBatch !== undefined) {
    checkLength(outBatch, resumeSize, "outBatch", false);
    attr.pointer("out_batch", outBatch);
  }
  const context: CallContext = { action: command.replaceAll("_", " ").replace("map", "do a map's"), mapType: type };
  const result = attempt(token, attr, context);
  const lookup = outBatch !== undefined;
  if (result < 0 && !(lookup && result === -errnos.ENOENT)) {
    // The kernel writes the count back, but for the errors that it finds before it starts.
    const done = result === -errnos.EFAULT || attr.getU32("count") === count ? 0 : attr.getU32("count");
    throw Object.assign(failure(token, attr, -result, context), { count: done });
  }
  return { count: attr.getU32("count"), done: result < 0 };
}

/**
 * Reads many elements: BPF_MAP_LOOKUP_BATCH. Since Linux 5.6; which map types have it depends on the release.
 *
 * @example
 * ```ts
 * import { acquire, mapCreate, mapLookupBatch } from "@bpf/deno";
 *
 * const token = acquire("CAP_BPF");
 * using map = mapCreate(token, { type: "hash", keySize: 4, valueSize: 8, maxEntries: 1024 });
 * const [keys, values] = [new Uint8Array(4 * 64), new Uint8Array(8 * 64)];
 * let [inBatch, outBatch]: (Uint8Array<ArrayBuffer> | undefined)[] = [undefined, new Uint8Array(4)];
 * while (true) {
 *   const { count, done } = mapLookupBatch(token, map, { keys, values, count: 64, inBatch, outBatch: outBatch! });
 *   console.log(count);
 *   if (done) break;
 *   [inBatch, outBatch] = [outBatch, inBatch ?? new Uint8Array(4)];
 * }
 * ```
 *
 * @param token A permission token.
 * @param map The map.
 * @param options Buffers for keys and values, and where to go on.
 * @returns How many elements there are in the buffers, and whether they were the last.
 * @throws {RangeError} For a buffer that is too short.
 * @throws {NotSupportedError} Where maps of this type got the operation in a later release.
 * @throws {SyscallError} ENOSPC where one bucket of a hash holds more than `count`; ENOTSUPP for other map types.
 */
export function mapLookupBatch(token: AnyToken, map: FdSource, options: LookupBatchOptions): BatchResult {
  return batch(token, "map_lookup_batch", map, options);
}

/**
 * Reads many elements and deletes them: BPF_MAP_LOOKUP_AND_DELETE_BATCH. Since Linux 5.6, for hashes.
 *
 * @param token A permission token.
 * @param map The map.
 * @param options Buffers for keys and values, and where to go on.
 * @returns How many elements there are in the buffers, and whether they were the last.
 * @throws {RangeError} For a buffer that is too short.
 * @throws {NotSupportedError} Where maps of this type got the operation in a later release.
 * @throws {SyscallError} ENOSPC where one bucket of a hash holds more than `count`; ENOTSUPP for other map types.
 */
export function mapLookupAndDeleteBatch(token: AnyToken, map: FdSource, options: LookupBatchOptions): BatchResult {
  return batch(token, "map_lookup_and_delete_batch", map, options);
}

/**
 * Writes many elements: BPF_MAP_UPDATE_BATCH. Since Linux 5.6.
 *
 * @param token A permission token.
 * @param map The map.
 * @param options Keys and values.
 * @returns How many elements were written: all of them.
 * @throws {RangeError} For a buffer that is too short.
 * @throws {NotSupportedError} Where maps of this type got the operation in a later release.
 * @throws {SyscallError} As for an update; its property `count` says how many elements were written before.
 */
export function mapUpdateBatch(token: AnyToken, map: FdSource, options: UpdateBatchOptions): BatchResult {
  return batch(token, "map_update_batch", map, options);
}

/**
 * Deletes many elements: BPF_MAP_DELETE_BATCH. Since Linux 5.6.
 *
 * @param token A permission token.
 * @param map The map.
 * @param options The keys.
 * @returns How many elements were deleted: all of them.
 * @throws {RangeError} For a buffer that is too short.
 * @throws {NotSupportedError} Where maps of this type got the operation in a later release.
 * @throws {SyscallError} ENOENT for a key that the map does not have; its property `count` says how many elements were
 * deleted before.
 */
export function mapDeleteBatch(token: AnyToken, map: FdSource, options: BatchOptions): BatchResult {
  return batch(token, "map_delete_batch", map, options);
}
