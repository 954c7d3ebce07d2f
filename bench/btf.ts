/**
 * What reading the kernel's BTF costs, beside libbpf in C: `deno task bench:btf`.
 *
 * Both read /sys/kernel/btf/vmlinux, in turn. With `--check` it fails where that costs more than {@linkcode LIMIT}
 * times what `btf__load_vmlinux_btf` does, where the types take more than {@linkcode MEMORY_LIMIT} beside the bytes, or
 * where a name is not found in microseconds.
 *
 * @module
 */

import { Btf } from "../btf/mod.ts";
import { Baseline, measure, median, type Sample } from "./_baseline.ts";

const VMLINUX = "/sys/kernel/btf/vmlinux";
const ROUNDS = 41;
const WARM_UP = 12;
/** What reading may cost, in costs of libbpf. */
const LIMIT = 3;
/** Bytes beside those of the BTF. */
const MEMORY_LIMIT = 40e6;
/** Nanoseconds for a name, once there is a table. */
const FIND_LIMIT = 10_000;

const NAMES = [
  ...["task_struct", "sk_buff", "file", "inode", "net_device", "bpf_prog", "mm_struct", "sock", "page", "cgroup"],
  ...["no_such_struct"],
];

function read(work: () => Btf): Sample {
  return measure(() => work().typeCount, 1);
}

/** One row: both in turn, each time with the other one first. Gives the median of the rounds' ratios. */
async function compare(what: string, c: () => Promise<Sample>, ours: () => Sample): Promise<number> {
  for (let round = 0; round < WARM_UP; round++) ours(), await c();
  const [cCosts, costs]: [number[], number[]] = [[], []];
  for (let round = 0; round < ROUNDS; round++) {
    const first = round % 2 === 0 ? ours() : undefined;
    const theirs = await c();
    const mine = first ?? ours();
    if (mine.sum !== theirs.sum) throw new Error(`Cannot trust ${what}: ${mine.sum} types, not ${theirs.sum}`);
    cCosts.push(theirs.nanoseconds);
    costs.push(mine.nanoseconds);
  }
  const ratio = median(costs.map((cost, round) => cost / cCosts[round]));
  const milliseconds = [cCosts, costs].map((list) => (median(list) / 1e6).toFixed(2).padStart(10));
  console.log(`${what.padEnd(34)} ${milliseconds.join(" ")} ${ratio.toFixed(2).padStart(8)}`);
  return ratio;
}

/** What is in memory, once what is not needed is gone. */
function memory(): number {
  const { gc } = globalThis as { gc?: () => void };
  if (gc === undefined) throw new Error("Cannot measure memory: run it with --v8-flags=--expose-gc");
  gc();
  gc();
  const { heapUsed, external } = Deno.memoryUsage();
  return heapUsed + external;
}

/** Looks for names until there is a table of them. */
function makeTable(btf: Btf): void {
  for (let count = 0; count < 16; count++) btf.find("struct", "no_such_struct");
}

/** Nanoseconds of the first name, and of others once there is a table. */
function findCosts(bytes: Uint8Array<ArrayBuffer>): [first: number, later: number] {
  const firsts: number[] = [];
  const laters: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const btf = Btf.parse(bytes);
    let start = performance.now();
    btf.find("func", "bpf_iter_task_file");
    firsts.push((performance.now() - start) * 1e6);
    makeTable(btf);
    start = performance.now();
    for (const name of NAMES) btf.find("struct", name);
    laters.push((performance.now() - start) * 1e6 / NAMES.length);
  }
  return [median(firsts), median(laters)];
}

async function main(check: boolean): Promise<number> {
  await using libbpf = new Baseline("btf.c", [VMLINUX], { libraries: ["bpf"] });
  console.log(`${"".padEnd(34)} ${"C, ms".padStart(10)} ${"btf/, ms".padStart(10)} ${"btf/C".padStart(8)}`);
  const load = await compare(
    "read and index vmlinux",
    () => libbpf.run("load", 1),
    () => read(() => Btf.parse(Deno.readFileSync(VMLINUX))),
  );
  const bytes = Deno.readFileSync(VMLINUX);
  await compare("index its bytes", () => libbpf.run("parse", 1), () => read(() => Btf.parse(bytes)));

  const [first, later] = findCosts(bytes);
  console.log(`first name found: ${(first / 1e6).toFixed(2)} ms; each one in a table: ${(later / 1e3).toFixed(2)} µs`);

  const before = memory();
  const btf = Btf.parse(bytes);
  makeTable(btf);
  const used = memory() - before;
  console.log(`memory beside the ${(bytes.length / 1e6).toFixed(1)} MB of BTF: ${(used / 1e6).toFixed(1)} MB`);
  if (btf.typeCount < 1) throw new Error("Cannot trust the memory: the types are gone");

  const wrong = [
    ...(load > LIMIT ? [`Reading costs ${load.toFixed(2)} times libbpf; the limit is ${LIMIT}`] : []),
    ...(used > MEMORY_LIMIT ? [`The types take ${used} bytes; the limit is ${MEMORY_LIMIT}`] : []),
    ...(later > FIND_LIMIT ? [`A name takes ${later.toFixed(0)} ns; the limit is ${FIND_LIMIT}`] : []),
  ];
  for (const sentence of wrong) console.error(sentence);
  return check && wrong.length > 0 ? 1 : 0;
}

if (import.meta.main) Deno.exitCode = await main(Deno.args.includes("--check"));
