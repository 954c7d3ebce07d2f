/**
 * Makes failing bpf(2) calls by the hundred thousand, in the main thread and in a worker at once, while both allocate
 * and collect garbage, and prints how many answers were wrong. Run with `--v8-flags=--expose-gc`.
 *
 * @module
 */

import { acquire, type Fd, mapCreate, mapUpdateElem } from "../../mod.ts";
import { Attr } from "../../ffi/attr.ts";
import { type Bytes, kernel } from "../../ffi/kernel.ts";
import { errnos } from "../../uapi/errno.gen.ts";
import { commands } from "../../uapi/enums.gen.ts";

/** What one thread saw. */
export interface Tally {
  /** How many calls it made. */
  calls: number;
  /** How many answers were not the expected one, and the first few of those. */
  wrong: number;
  readonly examples: string[];
  /** How many calls expected each error, by its name. */
  readonly expected: Record<string, number>;
  /** How often the garbage was collected on demand. */
  collections: number;
}

/** A call that can only fail in one way. */
interface Failing {
  readonly name: keyof typeof errnos | "ENOTSUPP";
  readonly command: number;
  readonly attr: Bytes;
}

/** The kernel's own number, which user space's headers do not have. */
const ENOTSUPP = 524;

function failingCalls(hash: Fd, queue: Fd): Failing[] {
  const key = new Uint8Array(4);
  const missing = new Uint8Array(4).fill(9);
  const value = new Uint8Array(8);
  const long = new Uint8Array(new ArrayBuffer(1024)).fill(1);
  const noKey = new Attr("map_lookup_elem").fd("map_fd", hash).u64("key", 8).pointer("value", value);
  const lookup = new Attr("map_lookup_elem").fd("map_fd", hash).pointer("key", missing).pointer("value", value);
  const update = new Attr("map_update_elem").fd("map_fd", hash).pointer("key", key).pointer("value", value)
    .u64("flags", 1);
  const batch = new Attr("map_lookup_batch").fd("map_fd", queue).u32("count", 1);
  kept.push(noKey, lookup, update, batch);
  return [
    { name: "EBADF", command: commands.map_freeze, attr: new Attr("map_freeze").u32("map_fd", 0x7ffffff0).bytes },
    { name: "EINVAL", command: 9999, attr: new Attr("map_freeze").bytes },
    { name: "EFAULT", command: noKey.number, attr: noKey.bytes },
    { name: "ENOENT", command: lookup.number, attr: lookup.bytes },
    { name: "EEXIST", command: update.number, attr: update.bytes },
    { name: "E2BIG", command: commands.map_create, attr: long },
    { name: "ENOTSUPP", command: batch.number, attr: batch.bytes },
  ];
}

/** Attrs keep the buffers alive that they point at. */
const kept: unknown[] = [];

/** Fails on purpose. */
function fail(rounds: number): Tally {
  const token = acquire("CAP_BPF");
  using hash = mapCreate(token, { type: "hash", keySize: 4, valueSize: 8, maxEntries: 4 });
  using queue = mapCreate(token, { type: "queue", valueSize: 8, maxEntries: 4 });
  mapUpdateElem(token, hash, { key: new Uint8Array(4), value: new Uint8Array(8) });
  const calls = failingCalls(hash, queue);
  const { gc } = globalThis as unknown as { gc: (options?: { type: "minor" }) => void };
  const tally: Tally = { calls: 0, wrong: 0, examples: [], expected: {}, collections: 0 };
  let garbage: unknown[] = [];
  for (let round = 0; round < rounds; round++) {
    // A pseudo-random order, so that no errno is followed by the same one each time.
    const { name, command, attr } = calls[(round * 2654435761 >>> 7) % calls.length];
    garbage.push(new Array(16).fill(round), new Uint8Array(32), `${round}`);
    const result = kernel().bpf(command, attr, attr.length);
    const wanted = name === "ENOTSUPP" ? ENOTSUPP : errnos[name];
    tally.calls++;
    tally.expected[name] = (tally.expected[name] ?? 0) + 1;
    if (result !== -wanted) {
      tally.wrong++;
      if (tally.examples.length < 5) tally.examples.push(`call ${round}: ${result} and not ${name}`);
    }
    if (garbage.length > 3000) garbage = [];
    if (round % 20_000 === 0) {
      gc();
      tally.collections++;
    } else if (round % 1000 === 0) gc({ type: "minor" });
  }
  return tally;
}

/** A worker is the same module under another address. */
const WORKER = "#worker";

if (import.meta.url.endsWith(WORKER)) {
  const scope = self as unknown as Worker;
  scope.onmessage = ({ data }) => scope.postMessage(fail(data));
  scope.postMessage("ready");
} else if (import.meta.main) {
  const rounds = Number(Deno.args[0]);
  const worker = new Worker(import.meta.url + WORKER, { type: "module" });
  const ready = Promise.withResolvers<void>();
  const done = Promise.withResolvers<Tally>();
  worker.onmessage = ({ data }) => data === "ready" ? ready.resolve() : done.resolve(data);
  // Both threads are under way at once from here on.
  await ready.promise;
  worker.postMessage(rounds);
  const main = fail(rounds);
  console.log(JSON.stringify({ main, worker: await done.promise }));
  worker.terminate();
}
