/**
 * What reading and writing a map costs through cmds/, through Deno's FFI alone, and in C: `deno task bench`.
 *
 * The three run in turn on one hash map of 10,000 entries, u32 to u64. With `--check` it fails where a lookup through
 * cmds/ costs more than {@linkcode LIMIT} times the loop in C.
 *
 * @module
 */

import { acquire, type Fd, mapCreate, MapElemCall, mapLookupBatch, type PermissionToken } from "../mod.ts";
import { syscallNumber } from "../ffi/libc.ts";
import { commands } from "../uapi/enums.gen.ts";
import { Baseline, measure, median, type Sample } from "./_baseline.ts";

const ENTRIES = 10_000;
const PASSES = 5;
const ROUNDS = 31;
const BATCH = 1024;
/** What a lookup through cmds/ may cost, in costs of the loop in C. */
const LIMIT = 1.15;

const OPERATIONS = ["lookup", "update", "delete", "walk", "batch"] as const;
type Operation = typeof OPERATIONS[number];

/** One pass over the whole map: answers the sum of the values or keys that it saw. */
type Passes = Readonly<Record<Operation, () => number>>;

const WHAT: Readonly<Record<Operation, string>> = {
  lookup: "lookup",
  update: "update",
  delete: "delete and insert",
  walk: "next key",
  batch: "batch lookup, per element",
};

const SUM = ENTRIES * (ENTRIES - 1) / 2;

function words(bytes: Uint8Array<ArrayBuffer>): Uint32Array<ArrayBuffer> {
  return new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
}

/** The loops through cmds/, as a user of the library writes them. */
function throughCmds(token: PermissionToken<"CAP_BPF">, map: Fd): Passes {
  const lookup = new MapElemCall(token, map, "map_lookup_elem");
  const update = new MapElemCall(token, map, "map_update_elem");
  const remove = new MapElemCall(token, map, "map_delete_elem");
  const next = new MapElemCall(token, map, "map_get_next_key");
  const [lookupKey, lookupValue] = [words(lookup.key), words(lookup.value)];
  const [updateKey, updateValue] = [words(update.key), words(update.value)];
  const removeKey = words(remove.key);
  const [key, nextKey] = [words(next.key), words(next.value)];
  const [keys, values] = [new Uint8Array(4 * BATCH), new Uint8Array(8 * BATCH)];
  const batchValues = words(values);
  return {
    lookup: () => {
      let sum = 0;
      for (let index = 0; index < ENTRIES; index++) {
        lookupKey[0] = index;
        if (!lookup.run()) throw new Error(`Cannot look up ${index}`);
        sum += lookupValue[0];
      }
      return sum;
    },
    update: () => {
      let sum = 0;
      for (let index = 0; index < ENTRIES; index++) {
        updateKey[0] = index;
        updateValue[0] = index;
        update.run();
        sum += index;
      }
      return sum;
    },
    delete: () => {
      let sum = 0;
      for (let index = 0; index < ENTRIES; index++) {
        removeKey[0] = index;
        updateKey[0] = index;
        updateValue[0] = index;
        if (!remove.run()) throw new Error(`Cannot delete ${index}`);
        update.run();
        sum += index;
      }
      return sum;
    },
    walk: () => {
      let sum = 0;
      // After a key that the map does not have comes the first.
      key[0] = 0xffffffff;
      while (next.run()) {
        sum += nextKey[0];
        key[0] = nextKey[0];
      }
      return sum;
    },
    batch: () => {
      let sum = 0;
      let inBatch: Uint8Array<ArrayBuffer> | undefined;
      let outBatch = new Uint8Array(4);
      while (true) {
        const { count, done } = mapLookupBatch(token, map, { keys, values, count: BATCH, inBatch, outBatch });
        for (let index = 0; index < count; index++) sum += batchValues[2 * index];
        if (done) return sum;
        [inBatch, outBatch] = [outBatch, inBatch ?? new Uint8Array(4)];
      }
    },
  };
}

/** The loops on Deno's FFI alone: prepared as well as can be, and nothing checked but the result. */
function throughFfi(map: Fd): Passes {
  const { symbols } = Deno.dlopen("libc.so.6", {
    syscall: { parameters: ["i32", "i32", "buffer", "u32"], result: "i32" },
  });
  const number = syscallNumber("bpf");
  const address = (bytes: Uint8Array<ArrayBuffer>): bigint =>
    BigInt(Deno.UnsafePointer.value(Deno.UnsafePointer.of(bytes)));
  const both = new Uint8Array(new ArrayBuffer(16));
  const [key, value] = [new Uint32Array(both.buffer, 0, 1), new Uint32Array(both.buffer, 8, 2)];
  const attr = new Uint8Array(new ArrayBuffer(32));
  const view = new DataView(attr.buffer);
  view.setUint32(0, map.fd, true);
  view.setBigUint64(8, address(both), true);
  view.setBigUint64(16, address(both) + 8n, true);
  const [keys, values, place] = [4 * BATCH, 8 * BATCH, 8].map((size) => new Uint8Array(new ArrayBuffer(size)));
  const batchValues = words(values);
  const batch = new Uint8Array(new ArrayBuffer(56));
  const batchView = new DataView(batch.buffer);
  const call = (command: number, size: number): boolean => symbols.syscall(number, command, attr, size) === 0;
  return {
    lookup: () => {
      let sum = 0;
      for (let index = 0; index < ENTRIES; index++) {
        key[0] = index;
        if (!call(commands.map_lookup_elem, 32)) throw new Error(`Cannot look up ${index}`);
        sum += value[0];
      }
      return sum;
    },
    update: () => {
      let sum = 0;
      for (let index = 0; index < ENTRIES; index++) {
        key[0] = index;
        value[0] = index;
        if (!call(commands.map_update_elem, 32)) throw new Error(`Cannot update ${index}`);
        sum += index;
      }
      return sum;
    },
    delete: () => {
      let sum = 0;
      for (let index = 0; index < ENTRIES; index++) {
        key[0] = index;
        value[0] = index;
        if (!call(commands.map_delete_elem, 16)) throw new Error(`Cannot delete ${index}`);
        if (!call(commands.map_update_elem, 32)) throw new Error(`Cannot insert ${index}`);
        sum += index;
      }
      return sum;
    },
    walk: () => {
      let sum = 0;
      key[0] = 0xffffffff;
      while (call(commands.map_get_next_key, 24)) {
        sum += value[0];
        key[0] = value[0];
      }
      return sum;
    },
    batch: () => {
      let sum = 0;
      batchView.setBigUint64(0, 0n, true);
      batchView.setBigUint64(8, address(place), true);
      batchView.setBigUint64(16, address(keys), true);
      batchView.setBigUint64(24, address(values), true);
      batchView.setUint32(36, map.fd, true);
      while (true) {
        batchView.setUint32(32, BATCH, true);
        const result = symbols.syscall(number, commands.map_lookup_batch, batch, 56);
        const count = batchView.getUint32(32, true);
        for (let index = 0; index < count; index++) sum += batchValues[2 * index];
        if (result !== 0) return sum;
        batchView.setBigUint64(0, address(place), true);
      }
    },
  };
}

const CONTESTANTS = ["C", "FFI", "cmds/"] as const;
type Contestant = typeof CONTESTANTS[number];

/** Nanoseconds an element of each round, by contestant. */
type Costs = Readonly<Record<Contestant, number[]>>;

async function compare(operation: Operation, runs: Record<Contestant, (passes: number) => Sample | Promise<Sample>>) {
  const costs: Costs = { C: [], FFI: [], "cmds/": [] };
  for (const contestant of CONTESTANTS) await runs[contestant](PASSES * 4);
  for (let round = 0; round < ROUNDS; round++) {
    // Whoever comes first in a round finds other caches than whoever comes last.
    for (let turn = 0; turn < CONTESTANTS.length; turn++) {
      const contestant = CONTESTANTS[(round + turn) % CONTESTANTS.length];
      const { nanoseconds, sum } = await runs[contestant](PASSES);
      if (sum !== PASSES * SUM) throw new Error(`Cannot trust ${operation} of ${contestant}: it saw ${sum}`);
      costs[contestant].push(nanoseconds / (PASSES * ENTRIES));
    }
  }
  return costs;
}

async function main(check: boolean): Promise<number> {
  const token = acquire("CAP_BPF");
  using map = mapCreate(token, { type: "hash", keySize: 4, valueSize: 8, maxEntries: ENTRIES, name: "bench" });
  const cmds = throughCmds(token, map);
  const ffi = throughFfi(map);
  await using c = new Baseline("map_elem.c", [map.fd, ENTRIES], { inherit: [map] });
  cmds.update();
  console.log(
    `${"".padEnd(26)} ${CONTESTANTS.map((name) => `${name}, ns`.padStart(10)).join(" ")}` +
      `${"FFI/C".padStart(8)}${"cmds/C".padStart(8)}`,
  );
  let lookupRatio = NaN;
  for (const operation of OPERATIONS) {
    const costs = await compare(operation, {
      C: (passes) => c.run(operation, passes),
      FFI: (passes) => measure(ffi[operation], passes),
      "cmds/": (passes) => measure(cmds[operation], passes),
    });
    // The median of each round's ratio: a machine that slows down for a while slows down all three.
    const ratio = (name: Contestant): number => median(costs[name].map((cost, round) => cost / costs.C[round]));
    if (operation === "lookup") lookupRatio = ratio("cmds/");
    const medians = CONTESTANTS.map((name) => median(costs[name]).toFixed(1).padStart(10)).join(" ");
    const ratios = (["FFI", "cmds/"] as const).map((name) => ratio(name).toFixed(2).padStart(8)).join("");
    console.log(`${WHAT[operation].padEnd(26)} ${medians}${ratios}`);
  }
  if (!check || lookupRatio <= LIMIT) return 0;
  console.error(`A lookup through cmds/ costs ${lookupRatio.toFixed(2)} times the loop in C; the limit is ${LIMIT}`);
  return 1;
}

if (import.meta.main) Deno.exitCode = await main(Deno.args.includes("--check"));
