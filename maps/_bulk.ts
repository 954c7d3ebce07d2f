/**
 * Changing many elements of a map at once: by batches where the kernel and the type have them, else one by one.
 *
 * @module
 */

import { type BatchError, mapDeleteBatch, mapUpdateBatch } from "../cmds/map_batch.ts";
import { MapElemCall, type UpdateMode } from "../cmds/map_elem.ts";
import type { Codec } from "../codec.ts";
import { SyscallError } from "../errors.ts";
import type { Fd } from "../ffi/fd.ts";
import { allocate } from "../ffi/memory.ts";
import type { AnyToken } from "../tokens/token.ts";
import { BPF_EXIST, BPF_F_LOCK, BPF_NOEXIST } from "../uapi/constants.gen.ts";
import { errnos } from "../uapi/errno.gen.ts";
import { chunkCount, chunksOf, lacksBatches } from "./_chunks.ts";
import type { Codecs } from "./_walk.ts";

/** Tells with an error how many elements were done before it. */
function withCount<E>(error: E, done: number, more: object = {}): E {
  return error instanceof Error ? Object.assign(error, { count: done, ...more }) : error;
}

function countOf(error: unknown): number {
  return error instanceof Error && "count" in error ? (error as BatchError).count : 0;
}

function checkIterable(name: string, given: unknown): void {
  if (typeof (given as Partial<Iterable<unknown>> | null | undefined)?.[Symbol.iterator] === "function") return;
  throw new TypeError(`Cannot use ${name}: ${given === null ? "null" : typeof given} is not iterable`);
}

/** Writes many elements; gives how many. */
export function setAll<K, V, W>(
  token: AnyToken,
  map: Fd,
  { key, value }: Codecs<K, V>,
  entries: Iterable<readonly [K, W]>,
  options: {
    readonly mode?: UpdateMode | undefined;
    readonly lock?: boolean | undefined;
    /** Writes one, where there are no batches. */
    readonly set: (key: K, value: W) => unknown;
  },
): number {
  const { mode = "any", lock = false, set } = options;
  checkIterable("entries", entries);
  const size = chunkCount(key.size, value.size, Number.MAX_SAFE_INTEGER);
  const [keys, values] = [allocate(size * key.size), allocate(size * value.size)];
  const [keyView, valueView] = [new DataView(keys.buffer), new DataView(values.buffer)];
  const elemFlags = (lock ? BPF_F_LOCK : 0) | (mode === "noexist" ? BPF_NOEXIST : mode === "exist" ? BPF_EXIST : 0);
  // Some kernels' batches know no other flag than BPF_F_LOCK.
  let batches = mode === "any" && token.check({ command: "map_update_batch" }).allowed;
  let done = 0;
  let count = 0;
  const flush = (): void => {
    if (count === 0) return;
    try {
      mapUpdateBatch(token, map, { keys, values, count, elemFlags });
    } catch (error) {
      if (!lacksBatches(error)) {
        done += countOf(error);
        throw error;
      }
      batches = false;
      // Written as they were encoded: the iterable cannot be asked again.
      const call = new MapElemCall(token, map, "map_update_elem", { flags: lock ? BPF_F_LOCK : 0, mode });
      for (let index = 0; index < count; index++, done++) {
        call.key.set(keys.subarray(index * key.size, (index + 1) * key.size));
        call.value.set(values.subarray(index * value.size, (index + 1) * value.size));
        call.run();
      }
      count = 0;
    }
    done += count;
    count = 0;
  };
  try {
    for (const entry of entries) {
      if (!Array.isArray(entry)) {
        flush();
        throw new TypeError(`Cannot use entries: ${typeof entry} is no pair of key and value`);
      }
      const [oneKey, oneValue] = entry;
      if (!batches) {
        set(oneKey, oneValue);
        done++;
        continue;
      }
      try {
        key.encode(keyView, count * key.size, oneKey);
        value.encode(valueView, count * value.size, oneValue as unknown as V);
      } catch (error) {
        // What came before the one that does not fit is written, as it would be one by one.
        flush();
        throw error;
      }
      if (++count === size) flush();
    }
    flush();
    return done;
  } catch (error) {
    throw withCount(error, done);
  }
}

/** Deletes many elements; gives how many there were. */
export function deleteAll<K>(token: AnyToken, map: Fd, key: Codec<K>, wanted: Iterable<K>): number {
  checkIterable("keys", wanted);
  const size = chunkCount(key.size, 0, 16 * 1024);
  const keys = allocate(size * key.size);
  const view = new DataView(keys.buffer);
  let batches = token.check({ command: "map_delete_batch" }).allowed;
  let single: MapElemCall | undefined;
  let done = 0;
  let count = 0;
  const deleteOne = (index: number): void => {
    single ??= new MapElemCall(token, map, "map_delete_elem");
    single.key.set(keys.subarray(index * key.size, (index + 1) * key.size));
    if (single.run()) done++;
  };
  const flush = (): void => {
    for (let start = 0; start < count;) {
      if (!batches) {
        deleteOne(start++);
        continue;
      }
      const rest = count - start;
      try {
        mapDeleteBatch(token, map, { keys: keys.subarray(start * key.size), count: rest });
        done += rest;
        break;
      } catch (error) {
        if (lacksBatches(error)) batches = false;
        else if (error instanceof SyscallError && error.errno === errnos.ENOENT) {
          // The batch stopped at a key that there is not: go on behind it.
          done += countOf(error);
          start += countOf(error) + 1;
        } else {
          done += countOf(error);
          throw error;
        }
      }
    }
    count = 0;
  };
  try {
    for (const one of wanted) {
      try {
        key.encode(view, count * key.size, one);
      } catch (error) {
        // What came before the one that does not fit is deleted, as it would be one by one.
        flush();
        throw error;
      }
      if (++count === size) flush();
    }
    flush();
    return done;
  } catch (error) {
    throw withCount(error, done);
  }
}

/** Takes all elements out. */
export function drain<K, V>(
  token: AnyToken,
  map: Fd,
  { key, value }: Codecs<K, V>,
  lock: boolean | undefined,
): [K, V][] {
  const entries: [K, V][] = [];
  const chunks = chunksOf(token, map, { take: true, lock });
  try {
    while (true) {
      const chunk = chunks();
      if (chunk.count === 0) return entries;
      const [keys, values] = [new DataView(chunk.keys.buffer), new DataView(chunk.values.buffer)];
      for (let index = 0; index < chunk.count; index++) {
        entries.push([key.decode(keys, index * key.size), value.decode(values, index * value.size)]);
      }
    }
  } catch (error) {
    throw withCount(error, entries.length, { entries });
  }
}
