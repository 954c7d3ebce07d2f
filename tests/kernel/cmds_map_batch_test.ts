import { assert, assertEquals, assertGreater, assertThrows } from "@std/assert";
import { mapLookupElem, mapUpdateElem } from "../../cmds/map_elem.ts";
import {
  type BatchError,
  mapDeleteBatch,
  mapLookupAndDeleteBatch,
  mapLookupBatch,
  mapUpdateBatch,
} from "../../cmds/map_batch.ts";
import type { Fd } from "../../ffi/fd.ts";
import type { Bytes } from "../../ffi/kernel.ts";
import { allocate } from "../../ffi/memory.ts";
import { kernelTest } from "../_kernel_test.ts";
import { minimalMap } from "./_map_types.ts";
import {
  arrayMap,
  assertRefused,
  constant,
  hashMap,
  interpose,
  type RootToken,
  rootToken,
  toU32s,
  toU64s,
  u32s,
  u64s,
} from "./_objects.ts";

const COUNT = 100;

const KEYS: readonly number[] = Array.from({ length: COUNT }, (_, index) => index);

function filledHash(token: RootToken): Fd {
  const map = hashMap(token, { maxEntries: COUNT });
  const values = u64s(...KEYS.map((key) => BigInt(key) << 32n));
  assertEquals(mapUpdateBatch(token, map, { keys: u32s(...KEYS), values, count: COUNT }), {
    count: COUNT,
    done: false,
  });
  return map;
}

/** The count of a batch that failed, which stands on its error. */
function doneBefore(fn: () => unknown, code: string): number {
  return (assertRefused(fn, code) as unknown as BatchError).count;
}

type Lookup = typeof mapLookupBatch;

/** Reads a map in batches; gives its elements and how many calls it took. */
function readAll(token: RootToken, map: Fd, lookup: Lookup, size: number): [Map<number, bigint>, number] {
  const found = new Map<number, bigint>();
  let inBatch: Bytes | undefined;
  let outBatch = allocate(4);
  for (let calls = 1;; calls++) {
    const [keys, values] = [allocate(4 * size), allocate(8 * size)];
    const { count, done } = lookup(token, map, { keys, values, count: size, inBatch, outBatch });
    const list = toU64s(values);
    toU32s(keys).slice(0, count).forEach((key, index) => found.set(key, list[index]));
    if (done) return [found, calls];
    assert(calls < 200, "the batches come to no end");
    [inBatch, outBatch] = [outBatch, allocate(4)];
  }
}

kernelTest("mapUpdateBatch() writes elements that mapLookupElem() reads", {}, () => {
  const token = rootToken();
  using map = filledHash(token);
  for (const key of KEYS) assertEquals(mapLookupElem(token, map, { key: u32s(key) }), u64s(BigInt(key) << 32n));
});

kernelTest("mapLookupBatch() reads all elements over several calls", {}, () => {
  const token = rootToken();
  using map = filledHash(token);
  for (const size of [COUNT, 64, 30]) {
    const [found, calls] = readAll(token, map, mapLookupBatch, size);
    assertEquals([...found.keys()].sort((a, b) => a - b), [...KEYS]);
    for (const [key, value] of found) assertEquals(value, BigInt(key) << 32n);
    if (size < COUNT) assertGreater(calls, 1);
  }
  using array = arrayMap(token, 10);
  mapUpdateElem(token, array, { key: u32s(9), value: u64s(9n) });
  const [found] = readAll(token, array, mapLookupBatch, 4);
  assertEquals([found.size, found.get(9), found.get(0)], [10, 9n, 0n]);
});

kernelTest("mapLookupAndDeleteBatch() reads all elements and leaves none", {}, () => {
  const token = rootToken();
  using map = filledHash(token);
  const [found] = readAll(token, map, mapLookupAndDeleteBatch, 40);
  assertEquals(found.size, COUNT);
  const [left] = readAll(token, map, mapLookupBatch, 40);
  assertEquals(left.size, 0);
});

kernelTest("mapDeleteBatch() deletes elements, and says how many before one that is not there", {}, () => {
  const token = rootToken();
  using map = filledHash(token);
  assertEquals(mapDeleteBatch(token, map, { keys: u32s(1, 2, 3), count: 3 }), { count: 3, done: false });
  for (const key of [1, 2, 3]) assertEquals(mapLookupElem(token, map, { key: u32s(key) }), undefined);
  const keys = u32s(10, 11, 2, 12);
  assertEquals(doneBefore(() => mapDeleteBatch(token, map, { keys, count: 4 }), "ENOENT"), 2);
  assertEquals(mapLookupElem(token, map, { key: u32s(11) }), undefined);
  assertEquals(mapLookupElem(token, map, { key: u32s(12) }), u64s(12n << 32n));
});

kernelTest("mapUpdateBatch() says how many elements were written before the map was full", {}, () => {
  const token = rootToken();
  using map = hashMap(token, { maxEntries: 4, flags: constant("BPF_F_NO_PREALLOC") });
  const keys = u32s(...KEYS.slice(0, 10));
  const values = allocate(80);
  assertEquals(doneBefore(() => mapUpdateBatch(token, map, { keys, values, count: 10 }), "E2BIG"), 4);
  assertEquals(readAll(token, map, mapLookupBatch, 10)[0].size, 4);
  // Of a batch of 4 whose last one fails 3 are done; where the first one fails, none is.
  const tail = u32s(...KEYS.slice(1, 4), 50);
  assertEquals(doneBefore(() => mapUpdateBatch(token, map, { keys: tail, values, count: 4 }), "E2BIG"), 3);
  assertEquals(doneBefore(() => mapUpdateBatch(token, map, { keys: u32s(60), values, count: 1 }), "E2BIG"), 0);
});

kernelTest("mapLookupBatch() says ENOSPC where a bucket holds more than fits, and none was read", {}, () => {
  const token = rootToken();
  // One bucket: a hash has as many as max_entries, rounded up to a power of two.
  using map = hashMap(token, { maxEntries: 1, flags: constant("BPF_F_NO_PREALLOC") });
  mapUpdateElem(token, map, { key: u32s(1), value: u64s(1n) });
  const outBatch = allocate(4);
  const nothing = { keys: allocate(0), values: allocate(0), count: 0, outBatch };
  assertEquals(mapLookupBatch(token, map, nothing), { count: 0, done: false });
  using wide = hashMap(token, { maxEntries: 64 });
  for (const key of KEYS.slice(0, 64)) mapUpdateElem(token, wide, { key: u32s(key), value: u64s(1n) });
  const one = { keys: allocate(4), values: allocate(8), count: 1 };
  let inBatch: Bytes | undefined;
  let failed: number | undefined;
  // With 64 keys in 64 buckets two of them share one: a batch of one element cannot pass it.
  for (let calls = 0; calls < 64 && failed === undefined; calls++) {
    const next = allocate(4);
    try {
      mapLookupBatch(token, wide, { ...one, inBatch, outBatch: next });
    } catch {
      failed = doneBefore(() => mapLookupBatch(token, wide, { ...one, inBatch, outBatch: next }), "ENOSPC");
    }
    inBatch = next;
  }
  assertEquals(failed, 0);
});

kernelTest("batches fail with the kernel's error number", {}, () => {
  const token = rootToken();
  using queue = minimalMap(token, "queue");
  const buffers = { keys: allocate(64), values: allocate(64), count: 1, outBatch: allocate(64) };
  for (const fn of [mapLookupBatch, mapLookupAndDeleteBatch, mapUpdateBatch, mapDeleteBatch]) {
    assertEquals(doneBefore(() => fn(token, queue, buffers), "ENOTSUPP"), 0, fn.name);
    assertThrows(() => fn(token, 9999, buffers), Error, "EBADF");
  }
  using map = hashMap(token);
  assertRefused(() => mapLookupBatch(token, map, { ...buffers, flags: 1 }), "EINVAL");
  assertRefused(() => mapUpdateBatch(token, map, { ...buffers, elemFlags: 1 << 20 }), "EINVAL");
  assertRefused(() => mapLookupAndDeleteBatch(token, map, { ...buffers, elemFlags: 1 << 20 }), "EINVAL");
  assertRefused(() => mapDeleteBatch(token, map, { ...buffers, elemFlags: 1 << 20 }), "EINVAL");
});

kernelTest(
  "batches refuse buffers that are too short before they call the kernel, and write nothing past them",
  {},
  () => {
    const token = rootToken();
    using map = filledHash(token);
    {
      using interposed = interpose();
      const good = { keys: allocate(40), values: allocate(80), count: 10, outBatch: allocate(4) };
      const bad = [
        { ...good, keys: allocate(39) },
        { ...good, values: allocate(79) },
        { ...good, count: 11 },
        { ...good, count: -1 },
        { ...good, count: 2.5 },
        { ...good, outBatch: allocate(3) },
        { ...good, inBatch: allocate(3) },
      ];
      for (const options of bad) {
        assertThrows(() => mapLookupBatch(token, map, options), RangeError);
        assertThrows(() => mapLookupAndDeleteBatch(token, map, options), RangeError);
      }
      for (const options of bad.slice(0, 5)) assertThrows(() => mapUpdateBatch(token, map, options), RangeError);
      assertThrows(() => mapDeleteBatch(token, map, bad[0]), RangeError);
      assertEquals(interposed.calls, []);
    }
    const guard = 0xa5;
    const memory = Array.from({ length: 3 }, () => allocate(1024).fill(guard));
    const [keys, values, outBatch] = memory.map((bytes, index) => bytes.subarray(64, 64 + [200, 400, 4][index]));
    const { count } = mapLookupBatch(token, map, { keys, values, count: 50, outBatch });
    assertGreater(count, 0);
    memory.forEach((bytes, index) => {
      const [before, after] = [bytes.subarray(0, 64), bytes.subarray(64 + [200, 400, 4][index])];
      assert([...before, ...after].every((byte) => byte === guard), `buffer ${index}`);
    });
    assert(values.some((byte) => byte !== guard));
  },
);
