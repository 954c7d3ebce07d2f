/**
 * What the command line costs, beside bpftool: `deno task bench:cli`. The first answer of `prog show` from the start of
 * the process, and what listing 500 programs and 500 maps costs beyond that.
 *
 * @module
 */

import { acquire, mapCreate, Program } from "../mod.ts";
import { asm } from "../mod.ts";

const MAIN = decodeURIComponent(new URL("../cli/main.ts", import.meta.url).pathname);
const ROUNDS = Number(Deno.env.get("ROUNDS") ?? 9);
const COUNT = 500;

/** Milliseconds of a process, from its start to its end: the median of some. */
async function timed(command: string, args: readonly string[]): Promise<number> {
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const start = performance.now();
    const { code, stderr } = await new Deno.Command(command, { args: [...args], stdout: "null", stderr: "piped" })
      .output();
    if (code !== 0) throw new Error(`Cannot measure ${command} ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
    times.push(performance.now() - start);
  }
  return times.sort((one, other) => one - other)[Math.floor(ROUNDS / 2)];
}

/** What both tools take for the same. */
async function both(words: readonly string[]): Promise<{ ours: number; theirs: number }> {
  const ours = await timed(Deno.execPath(), ["run", "--no-lock", "--allow-ffi", MAIN, ...words]);
  return { ours, theirs: await timed("bpftool", words) };
}

const show = (what: string, { ours, theirs }: { ours: number; theirs: number }): void =>
  console.log(`${what.padEnd(44)} ${ours.toFixed(1).padStart(8)} ms ${theirs.toFixed(1).padStart(8)} ms of bpftool`);

const token = acquire("CAP_BPF", "CAP_SYS_ADMIN");
// The first run compiles what the others find in the cache.
await timed(Deno.execPath(), ["run", "--no-lock", "--allow-ffi", MAIN, "prog", "show"]);
const empty = { prog: await both(["prog", "show"]), map: await both(["map", "show"]) };
show("prog show: first answer from the start", empty.prog);
show("map show: first answer from the start", empty.map);

using stack = new DisposableStack();
for (let number = 0; number < COUNT; number++) {
  stack.use(Program.load(token, {
    type: "socket_filter",
    license: "GPL",
    insns: asm`
    r0 = 0
    exit
  `,
    name: `bench_${number}`,
  }));
  stack.use(mapCreate(token, { type: "array", keySize: 4, valueSize: 8, maxEntries: 1, name: `bench_${number}` }));
}
const ratios: number[] = [];
for (const kind of ["prog", "map"] as const) {
  for (const words of [[kind, "show"], ["-j", kind, "show"]]) {
    const full = await both(words);
    const beyond = { ours: full.ours - empty[kind].ours, theirs: full.theirs - empty[kind].theirs };
    show(`${words.join(" ")}: ${COUNT} of them, beyond start-up`, beyond);
    ratios.push(beyond.ours / beyond.theirs);
  }
}
console.log(`beyond start-up ${ratios.map((ratio) => ratio.toFixed(2)).join(", ")} times bpftool; the limit is 2`);
if (Deno.args.includes("--check") && (empty.prog.ours > 80 || ratios.some((ratio) => ratio > 2))) Deno.exitCode = 1;
