/**
 * Maps beside models of them in JavaScript, by random operations; and readers over memory that no kernel writes.
 *
 * @module
 */

import { assert, assertEquals, assertGreater, assertInstanceOf, assertThrows } from "@std/assert";
import fc from "fast-check";
import { BpfMap, ipv4Prefix, RingBuffer, SyscallError, u32, u64 } from "../../mod.ts";
import { Mapping, pageSize } from "../../ffi/mapping.ts";
import { PerfReader } from "../../maps/_perf_reader.ts";
import { kernelTest, SLOWNESS } from "../_kernel_test.ts";
import { rootToken, trying } from "./_objects.ts";

/** Where the numbers start: `MAPS_MODEL_SEED` tries others. */
const SEED = Number(Deno.env.get("MAPS_MODEL_SEED") ?? 0x3a9);
/** Fewer where the machine is emulated. */
const RUNS = Math.ceil(Number(Deno.env.get("MAPS_MODEL_RUNS") ?? 200) / SLOWNESS);

/** These cost next to nothing. */
const PERF_RUNS = 400;

const ROOM = 24;
const key = fc.nat(30);
const keys = fc.array(key, { maxLength: 12 });
const value = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const pairs = fc.array(fc.tuple(key, value), { maxLength: 12 });
const mode = fc.constantFrom("any" as const, "noexist" as const, "exist" as const);

/** What is done to a map, and what came of it. */
type Done = unknown;

type Hash = BpfMap<number, bigint, "get" | "set" | "delete" | "iterate" | "take" | "setAll">;

/** One step, on the kernel's map and on JavaScript's. */
type Step = (map: Hash, model: Map<number, bigint>) => readonly [ours: Done, theirs: Done];

/** The name of an error that was thrown, or what was given. */
function outcome(fn: () => unknown): Done {
  try {
    return fn();
  } catch (error) {
    assertInstanceOf(error, SyscallError);
    return error.code;
  }
}

function put(model: Map<number, bigint>, at: number, what: bigint, how: "any" | "noexist" | "exist"): Done {
  if (how === "noexist" && model.has(at)) return "EEXIST";
  if (how === "exist" && !model.has(at)) return "ENOENT";
  if (!model.has(at) && model.size === ROOM) return "E2BIG";
  model.set(at, what);
  return "done";
}

function byKey(entries: Iterable<[number, bigint]>): [number, bigint][] {
  return [...entries].sort(([a], [b]) => a - b);
}

function steps(canTake: boolean): fc.Arbitrary<Step> {
  const all: fc.Arbitrary<Step>[] = [
    fc.tuple(key, value, mode).map(([at, what, how]): Step => (map, model) => [
      outcome(() => (map.set(at, what, { mode: how }), "done")),
      put(model, at, what, how),
    ]),
    key.map((at): Step => (map, model) => [[map.get(at), map.has(at)], [model.get(at), model.has(at)]]),
    key.map((at): Step => (map, model) => [map.delete(at), model.delete(at)]),
    pairs.map((some): Step => (map, model) => {
      let code: Done = some.length;
      for (const [at, what] of some) {
        const did = put(model, at, what, "any");
        if (did === "done") continue;
        code = did;
        break;
      }
      return [outcome(() => map.setAll(some)), code];
    }),
    keys.map((some): Step => (map, model) => [map.deleteAll(some), some.filter((at) => model.delete(at)).length]),
    fc.constant<Step>((map, model) => [byKey(map), byKey(model)]),
    fc.constant<Step>((map, model) => [map.count(), model.size]),
    fc.constant<Step>((map, model) => [[...map.keys()].sort((a, b) => a - b), [...model.keys()].sort((a, b) => a - b)]),
    // Each that is met is deleted: all are met.
    fc.constant<Step>((map, model) => {
      const met: number[] = [];
      for (const [at] of map) {
        met.push(at);
        map.delete(at);
      }
      const wanted = [...model.keys()].sort((a, b) => a - b);
      model.clear();
      return [met.sort((a, b) => a - b), wanted];
    }),
  ];
  const rare: fc.Arbitrary<Step>[] = [
    fc.constant<Step>((map, model) => {
      const { size } = model;
      model.clear();
      return [map.clear(), size];
    }),
    fc.constant<Step>((map, model) => {
      const all = byKey(model);
      model.clear();
      return [byKey(map.drain()), all];
    }),
  ];
  if (canTake) {
    all.push(key.map((at): Step => (map, model) => {
      const had = model.get(at);
      model.delete(at);
      return [map.getAndDelete(at), had];
    }));
  }
  return fc.oneof(
    ...all.map((arbitrary) => ({ weight: 4, arbitrary })),
    ...rare.map((arbitrary) => ({ weight: 1, arbitrary })),
  );
}

function takes(): boolean {
  return trying((token) => {
    using map = BpfMap.create(token, { type: "hash", key: u32, value: u64, maxEntries: 1 });
    map.getAndDelete(0);
  })() === undefined;
}

for (const batches of [true, false]) {
  const how = batches ? "in batches" : "one by one";
  kernelTest(`BpfMap does what Map does, whatever is done to it ${how}`, {}, () => {
    const canTake = takes();
    const all = rootToken();
    const token = batches ? all : all.only({
      commands: [
        ...["map_create", "map_lookup_elem", "map_update_elem", "map_delete_elem", "map_get_next_key"] as const,
        // Where elements cannot be taken out one by one, they are by batches.
        canTake ? "map_lookup_and_delete_elem" as const : "map_lookup_and_delete_batch" as const,
      ],
    });
    let done = 0;
    fc.assert(
      fc.property(fc.array(steps(canTake), { minLength: 10, maxLength: 60, size: "max" }), (some) => {
        using map = BpfMap.create(token, { type: "hash", key: u32, value: u64, maxEntries: ROOM });
        const model = new Map<number, bigint>();
        for (const one of some) {
          const [ours, theirs] = one(map, model);
          assertEquals(ours, theirs);
          done++;
        }
        assertEquals(byKey(map), byKey(model));
      }),
      { seed: SEED, numRuns: RUNS },
    );
    assertGreater(done, 10 * RUNS);
  });
}

interface Prefix {
  readonly word: number;
  readonly length: number;
}

/** Prefixes that are in one another often. */
const prefix: fc.Arbitrary<Prefix> = fc.tuple(
  fc.constantFrom(0, 1, 8, 15, 16, 17, 24, 30, 31, 32),
  fc.nat(15),
  fc.nat(7),
)
  .map(([length, low, middle]) => {
    const word = 0x0a000000 | middle << 14 | low;
    return { word: length === 0 ? 0 : (word & -(2 ** (32 - length))) >>> 0, length };
  });

function textOf({ word, length }: Prefix): string {
  return `${[24, 16, 8, 0].map((shift) => word >>> shift & 0xff).join(".")}/${length}`;
}

function contains(outer: Prefix, inner: Prefix): boolean {
  if (outer.length > inner.length) return false;
  return outer.length === 0 || (outer.word ^ inner.word) >>> (32 - outer.length) === 0;
}

kernelTest("BpfMap of type lpm_trie finds the longest prefix, whatever comes and goes", {}, () => {
  const step = fc.record({ what: fc.constantFrom("set", "set", "delete", "get", "list"), prefix, value: fc.nat(999) });
  let found = 0;
  fc.assert(
    fc.property(fc.array(step, { minLength: 20, maxLength: 80, size: "max" }), (some) => {
      using map = BpfMap.create(rootToken(), { type: "lpm_trie", key: ipv4Prefix, value: u32, maxEntries: 200 });
      const model = new Map<string, { prefix: Prefix; value: number }>();
      for (const { what, prefix, value } of some) {
        const text = textOf(prefix);
        if (what === "set") {
          map.set(text, value);
          model.set(text, { prefix, value });
        } else if (what === "delete") assertEquals(map.delete(text), model.delete(text), text);
        else if (what === "get") {
          const matching = [...model.values()].filter((one) => contains(one.prefix, prefix));
          const longest = matching.sort((a, b) => b.prefix.length - a.prefix.length)[0];
          assertEquals(map.get(text), longest?.value, text);
          if (longest !== undefined) found++;
        } else {
          const ours = [...map].sort(([a], [b]) => a < b ? -1 : 1);
          assertEquals(ours, [...model].map(([name, one]) => [name, one.value]).sort(([a], [b]) => a < b ? -1 : 1));
        }
      }
      assertEquals(map.clear(), model.size);
    }),
    { seed: SEED, numRuns: RUNS },
  );
  assertGreater(found, RUNS);
});

kernelTest("PerfReader ends, and reads nothing outside, whatever the ring's memory says", {}, () => {
  // An array's memory instead of a ring's: it can be written.
  const page = pageSize();
  using array = BpfMap.create(rootToken(), {
    type: "array",
    value: u64,
    maxEntries: 2 * page / 8,
    flags: ["mmapable"],
  });
  const memory = array.view(Uint32Array);
  const [head, tail] = [1024 / 4, 1032 / 4];
  const size = fc.constantFrom(0, 7, 8, 11, 12, 16, 24, 40, page - 8, page, 0xffff);
  const kind = fc.constantFrom(2, 9, 9, 9, 1, 0);
  const word = fc.oneof(fc.tuple(kind, size).map(([type, bytes]) => [type, bytes << 16]), fc.tuple(fc.nat(), fc.nat()));
  const [seen, refused] = [{ count: 0 }, { count: 0 }];
  fc.assert(
    fc.property(
      fc.array(word, { minLength: 1, maxLength: 24 }),
      fc.nat(page / 8),
      fc.nat(3),
      fc.boolean(),
      (words, blocks, start, timestamps) => {
        memory.fill(0);
        for (let at = 0; at < page / 4; at++) memory[page / 4 + at] = words[(at >> 1) % words.length][at & 1];
        memory[head] = memory[tail] = start * 8;
        const reader = new PerfReader(array, { cpu: 0, pages: 1, timestamps });
        try {
          memory[head] += 8 * blocks;
          let count = 0;
          reader.drain((record, _, time) => {
            assertEquals(typeof time, timestamps ? "bigint" : "undefined");
            assert(++count <= page / 8, "more records than fit");
            assertEquals(record.bytes().length, record.length);
            seen.count++;
          });
        } catch (error) {
          assertInstanceOf(error, Error);
          assert(error.message.startsWith("Cannot read a perf buffer: a record of CPU 0 has "), error.message);
          refused.count++;
        } finally {
          reader.close();
        }
      },
    ),
    { seed: SEED, numRuns: PERF_RUNS },
  );
  assertGreater(seen.count, PERF_RUNS / 10);
  assertGreater(refused.count, PERF_RUNS / 20);
});

kernelTest("RingBuffer refuses a ring whose reader is said to be where none can be", {}, () => {
  const token = rootToken();
  using map = BpfMap.create(token, { type: "ringbuf", maxEntries: pageSize() });
  using consumer = new Mapping(map, { length: pageSize(), writable: true });
  const position = new BigInt64Array(consumer.buffer, 0, 1);
  for (const wrong of [8n, -8n, 4n, -(2n ** 40n), 2n ** 62n]) {
    position[0] = wrong;
    assertThrows(() => new RingBuffer(token, map), Error, "Cannot read a ring buffer: its reader is said to be at");
  }
  position[0] = 0n;
  using ring = new RingBuffer(token, map);
  assertEquals(ring.drain(() => {}), 0);
});
