/**
 * Forgets a probe of tracefs, and prints how many there are before and after the garbage collector came. Run with
 * `--v8-flags=--expose-gc`.
 *
 * @module
 */

import { acquire, asm, attachUprobe, progLoad } from "../../mod.ts";

const { gc } = globalThis as unknown as { gc: () => void };
const [path, tracefs] = Deno.args;
const token = acquire("CAP_BPF", "CAP_PERFMON");
const count = (): number =>
  Deno.readTextFileSync(`${tracefs}/uprobe_events`).split("\n").filter((line) => line.includes(`_${Deno.pid}_`)).length;

/** Attaches, and keeps nothing of it. */
function forget(): void {
  using prog = progLoad(token, {
    type: "kprobe",
    license: "GPL",
    insns: asm`
      r0 = 0
      exit
    `,
  });
  attachUprobe(token, prog, { path, symbol: "work", mode: "legacy", tracefs });
}

forget();
const before = count();
for (let turn = 0; turn < 20 && count() > 0; turn++) {
  await new Promise((resolve) => setTimeout(resolve, 10));
  gc();
}
console.log(before, count());
