/**
 * What lifetime_test.ts runs with `--v8-flags=--expose-gc`: it forgets maps without closing them, lets the garbage
 * collector run, and prints how many of their descriptors the kernel still has.
 *
 * @module
 */

import { mapCreate } from "../../cmds/map.ts";
import type { Fd } from "../../ffi/fd.ts";
import { rootToken } from "./_objects.ts";

const COUNT = 20;
const token = rootToken();
const collect: unknown = Reflect.get(globalThis, "gc");
if (typeof collect !== "function") throw new Error("Cannot collect garbage: run with --v8-flags=--expose-gc");

const make = (): Fd => mapCreate(token, { type: "array", keySize: 4, valueSize: 8, maxEntries: 1, name: "forgotten" });

/** The descriptors of maps that this process has. */
function openMaps(): number {
  let count = 0;
  for (const { name } of Deno.readDirSync("/proc/self/fd")) {
    try {
      if (Deno.readLinkSync(`/proc/self/fd/${name}`) === "anon_inode:bpf-map") count++;
    } catch {
      // The directory's own descriptor.
    }
  }
  return count;
}

const kept = make();
for (let index = 0; index < COUNT; index++) make();
const before = openMaps();
for (let tries = 0; tries < 100 && openMaps() > 1; tries++) {
  collect();
  // Finalizers run between tasks.
  await new Promise((resolve) => setTimeout(resolve, 10));
}
console.log(JSON.stringify({ before, after: openMaps(), kept: !kept.closed }));
kept.close();
