/**
 * What the command line costs, beside bpftool: `deno task bench:cli`. The first answer of `prog show` from the start of
 * the process, with nothing to show and with one program, and what each of 500 programs and 500 maps costs beyond that.
 *
 * With `--check` it fails where the first answer takes more than {@linkcode FIRST_LIMIT}, or the others more than
 * {@linkcode LIMIT} times what they cost bpftool.
 *
 * @module
 */

import { acquire, asm, mapCreate, Program } from "../mod.ts";
import { median } from "./_baseline.ts";

const MAIN = decodeURIComponent(new URL("../cli/main.ts", import.meta.url).pathname);
const ROUNDS = Number(Deno.env.get("ROUNDS") ?? 21);
const COUNT = 500;
/** Milliseconds for the first answer, on a machine that has nothing else to do. */
const FIRST_LIMIT = 80;
/** What an object may cost, in costs of bpftool. */
const LIMIT = 2;

const LISTS = ["prog show", "-j prog show", "map show", "-j map show"];
const token = acquire("CAP_BPF", "CAP_SYS_ADMIN");

/** Milliseconds of a process, from its start to its end. */
async function timed(command: string, args: readonly string[]): Promise<number> {
  const start = performance.now();
  const { code, stderr } = await new Deno.Command(command, { args: [...args], stdout: "null", stderr: "piped" })
    .output();
  if (code !== 0) throw new Error(`Cannot measure ${command} ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
  return performance.now() - start;
}

const ours = (words: string): Promise<number> =>
  timed(Deno.execPath(), ["run", "--no-lock", "--allow-ffi", MAIN, ...words.split(" ")]);
const theirs = (words: string): Promise<number> => timed("bpftool", words.split(" "));

/** What both tools took for the same, round by round. */
class Row {
  readonly ours: number[] = [];
  readonly theirs: number[] = [];

  async measure(words: string): Promise<void> {
    // The one that comes first finds the caches of the other's last round.
    if (this.ours.length % 2 === 0) this.ours.push(await ours(words));
    this.theirs.push(await theirs(words));
    if (this.ours.length < this.theirs.length) this.ours.push(await ours(words));
  }

  /** What this took beyond another, round by round. */
  minus(other: Row): Row {
    const row = new Row();
    row.ours.push(...this.ours.map((time, round) => time - other.ours[round]));
    row.theirs.push(...this.theirs.map((time, round) => time - other.theirs[round]));
    return row;
  }

  print(what: string): void {
    const [one, other] = [this.ours, this.theirs].map((times) => median(times).toFixed(1).padStart(8));
    console.log(`${what.padEnd(44)} ${one} ms ${other} ms of bpftool`);
  }
}

/** Programs and maps, which are gone once the stack is. */
function make(stack: DisposableStack, count: number): void {
  for (let number = 0; number < count; number++) {
    const insns = asm`
      r0 = 0
      exit
    `;
    stack.use(Program.load(token, { type: "socket_filter", license: "GPL", insns, name: `bench_${number}` }));
    stack.use(mapCreate(token, { type: "array", keySize: 4, valueSize: 8, maxEntries: 1, name: `bench_${number}` }));
  }
}

// The first run compiles what the others find in the cache.
await ours("prog show");
const none = new Row();
const first = new Map(LISTS.map((words) => [words, new Row()]));
const full = new Map(LISTS.map((words) => [words, new Row()]));
// The rounds take turns with what they are compared with: the machine's speed changes.
for (let round = 0; round < ROUNDS; round++) {
  await none.measure("prog show");
  using stack = new DisposableStack();
  make(stack, 1);
  for (const [words, row] of first) await row.measure(words);
  make(stack, COUNT - 1);
  for (const [words, row] of full) await row.measure(words);
}
none.print("prog show: first answer, nothing to show");
for (const [words, row] of first) row.print(`${words}: first answer, one to show`);
const ratios = LISTS.map((words) => {
  const beyond = full.get(words)!.minus(first.get(words)!);
  beyond.print(`${words}: ${COUNT - 1} more`);
  return median(beyond.ours) / median(beyond.theirs);
});
console.log(
  `more of them cost ${ratios.map((ratio) => ratio.toFixed(2)).join(", ")} times bpftool; the limit is ${LIMIT}`,
);
const isSlow = median(first.get("prog show")!.ours) > FIRST_LIMIT || ratios.some((ratio) => ratio > LIMIT);
if (Deno.args.includes("--check") && isSlow) Deno.exitCode = 1;
