/**
 * The elements of a map, a chunk at a time: by batches where the kernel and the type have them, else one by one.
 *
 * @module
 */

import { type BatchResult, mapLookupAndDeleteBatch, mapLookupBatch } from "../cmds/map_batch.ts";
import { MapElemCall, mapGetNextKey } from "../cmds/map_elem.ts";
import { mapShape } from "../cmds/map_shape.ts";
import { NotSupportedError, SyscallError } from "../errors.ts";
import type { Fd } from "../ffi/fd.ts";
import type { Bytes } from "../ffi/kernel.ts";
import { allocate } from "../ffi/memory.ts";
import type { AnyToken } from "../tokens/token.ts";
import { errnos } from "../uapi/errno.gen.ts";
import { mapTypes } from "../uapi/enums.gen.ts";

/** Elements in memory, one after the other. */
export interface Chunk {
  /** How many there are; 0 after the last. */
  readonly count: number;
  readonly keys: Bytes;
  readonly values: Bytes;
}

/** Gives the next chunk. Its memory is used again for the one after. */
export type Chunks = () => Chunk;

/** About how much memory a chunk takes. */
const CHUNK_BYTES = 128 * 1024;

/** Elements that are read one by one before any is handed out. */
const SINGLE_COUNT = 64;

/** After how many starts from the beginning a walk gives up. */
const MAX_RESTARTS = 1000;

/** Types whose batches go from bucket to bucket, or from index to index, and see each element once. */
const STABLE: ReadonlySet<number> = new Set([
  mapTypes.hash,
  mapTypes.percpu_hash,
  mapTypes.lru_hash,
  mapTypes.lru_percpu_hash,
  mapTypes.hash_of_maps,
  mapTypes.array,
  mapTypes.percpu_array,
  mapTypes.array_of_maps,
]);

/** Types whose keys are indexes: the key after one that is empty is the next index, not the first. */
const INDEXED: ReadonlySet<number> = new Set([
  mapTypes.array,
  mapTypes.percpu_array,
  mapTypes.array_of_maps,
  mapTypes.prog_array,
  mapTypes.devmap,
  mapTypes.cpumap,
  mapTypes.sockmap,
  mapTypes.reuseport_sockarray,
  mapTypes.stack_trace,
  mapTypes.insn_array,
]);

/** How many elements a chunk has. */
export function chunkCount(keySize: number, valueSize: number, maxEntries: number): number {
  return Math.max(1, Math.min(maxEntries, Math.floor(CHUNK_BYTES / (keySize + valueSize))));
}

/** Whether an error says that there are no batches for this type on this kernel. */
export function lacksBatches(error: unknown): boolean {
  if (error instanceof NotSupportedError) return true;
  return error instanceof SyscallError && (error.errno === errnos.ENOTSUPP || error.errno === errnos.EOPNOTSUPP);
}

/**
 * A map's elements, each that is there throughout exactly once.
 *
 * @param take Whether each is deleted as it is read.
 */
export function chunksOf(token: AnyToken, map: Fd, take = false): Chunks {
  const { type, keySize } = mapShape(token, map);
  // Where a key that is gone leads back to the first, what was seen already has to be remembered. What is taken out as
  // it is read cannot come twice.
  const once = (chunks: Chunks, sure: ReadonlySet<number>): Chunks =>
    take || sure.has(type) ? chunks : withoutRepeats(chunks, keySize);
  const one = (): Chunks => once(singles(token, map, take), INDEXED);
  const command = take ? "map_lookup_and_delete_batch" : "map_lookup_batch";
  if (!token.check({ command }).allowed) return one();
  let chunks = once(batches(token, map, take), STABLE);
  let first = true;
  return () => {
    try {
      return chunks();
    } catch (error) {
      if (!first || !lacksBatches(error)) throw error;
      chunks = one();
      return chunks();
    } finally {
      first = false;
    }
  };
}

function batches(token: AnyToken, map: Fd, take: boolean): Chunks {
  const { keySize, valueSize, maxEntries } = mapShape(token, map);
  const lookup = take ? mapLookupAndDeleteBatch : mapLookupBatch;
  let size = chunkCount(keySize, valueSize, maxEntries);
  let [keys, values] = [allocate(size * keySize), allocate(size * valueSize)];
  const resumeSize = Math.max(4, keySize);
  let inBatch: Bytes | undefined;
  let outBatch = allocate(resumeSize);
  let done = false;
  const read = (): BatchResult => {
    while (true) {
      try {
        return lookup(token, map, { keys, values, count: size, inBatch, outBatch });
      } catch (error) {
        // One bucket holds more than there is room for.
        if (!(error instanceof SyscallError) || error.errno !== errnos.ENOSPC || size >= 2 * maxEntries) throw error;
        size *= 2;
        [keys, values] = [allocate(size * keySize), allocate(size * valueSize)];
      }
    }
  };
  return () => {
    let count = 0;
    while (!done && count === 0) {
      const result = read();
      ({ count, done } = result);
      [inBatch, outBatch] = [outBatch, inBatch ?? allocate(resumeSize)];
    }
    return { count, keys, values };
  };
}

function singles(token: AnyToken, map: Fd, take: boolean): Chunks {
  const { keySize, valueSize } = mapShape(token, map);
  const next = new MapElemCall(token, map, "map_get_next_key");
  const lookup = new MapElemCall(token, map, take ? "map_lookup_and_delete_elem" : "map_lookup_elem");
  const [keys, values] = [allocate(SINGLE_COUNT * keySize), allocate(SINGLE_COUNT * valueSize)];
  /** The key that comes next is known before any is handed out, so that deleting those does not lead astray. */
  let ahead = mapGetNextKey(token, map);
  return () => {
    let count = 0;
    while (ahead !== undefined && count < SINGLE_COUNT) {
      const key = ahead;
      next.key.set(key);
      ahead = next.run() ? next.value.slice() : undefined;
      lookup.key.set(key);
      if (!lookup.run()) continue;
      keys.set(key, count * keySize);
      values.set(lookup.value, count * valueSize);
      count++;
    }
    return { count, keys, values };
  };
}

function withoutRepeats(source: Chunks, keySize: number): Chunks {
  const seen = new Set<string>();
  let restarts = 0;
  /** Keys in a row that were seen before: as many as there are, and it has begun again. */
  let repeats = 0;
  const isNew = (key: Bytes): boolean => {
    const text = String.fromCharCode(...key);
    if (!seen.has(text)) {
      seen.add(text);
      repeats = 0;
      return true;
    }
    if (repeats++ % seen.size === 0 && ++restarts > MAX_RESTARTS) {
      throw new Error("Cannot go through a map: it changes faster than it can be read");
    }
    return false;
  };
  return () => {
    while (true) {
      const { count, keys, values } = source();
      if (count === 0) return { count, keys, values };
      const valueSize = values.length / (keys.length / keySize);
      let kept = 0;
      for (let index = 0; index < count; index++) {
        if (!isNew(keys.subarray(index * keySize, (index + 1) * keySize))) continue;
        keys.copyWithin(kept * keySize, index * keySize, (index + 1) * keySize);
        values.copyWithin(kept * valueSize, index * valueSize, (index + 1) * valueSize);
        kept++;
      }
      if (kept > 0) return { count: kept, keys, values };
    }
  };
}
