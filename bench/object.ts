/**
 * What loading a compiled object costs, beside libbpf in C: `deno task bench:object`.
 *
 * Both open, relocate and load the same object, in turn: 10 maps, 10 programs, 20 CO-RE relocations. For "open and
 * relocate" calls of bpf(2) are answered without the kernel on both sides. libbpf reads the types of the kernel at each
 * load; here they are read once a process, before what is measured, and what that costs is told apart. With `--check` it
 * fails above {@linkcode RELOCATE_LIMIT} and {@linkcode LOAD_LIMIT}.
 *
 * @module
 */

import { acquire, BpfObject, type Capability, kernelBtf } from "../mod.ts";
import { type Kernel, kernel, swapKernel } from "../ffi/kernel.ts";
import { commands } from "../uapi/enums.gen.ts";
import { Baseline, measure, median, type Sample } from "./_baseline.ts";

const ROUNDS = 31;
const WARM_UP = 12;
/** What opening and relocating may cost, in costs of libbpf. */
const RELOCATE_LIMIT = 3;
/** What the whole load may cost. */
const LOAD_LIMIT = 1.3;
const F_DUPFD_CLOEXEC = 1030;
const MAKES_FD: ReadonlySet<number> = new Set([commands.map_create, commands.prog_load, commands.btf_load]);

const token = acquire<Capability>("CAP_BPF", "CAP_PERFMON", "CAP_SYS_ADMIN");

async function compile(folder: string): Promise<string> {
  const source = decodeURIComponent(new URL("object.bpf.c", import.meta.url).pathname);
  const object = `${folder}/object.bpf.o`;
  const args = ["-O2", "-g", "-target", "bpf", "-I/usr/include/x86_64-linux-gnu", "-c", source, "-o", object];
  const { success, stderr } = await new Deno.Command("clang-19", { args }).output();
  if (!success) throw new Error(`Cannot compile ${source}: ${new TextDecoder().decode(stderr)}`);
  return object;
}

function pass(bytes: Uint8Array<ArrayBuffer>): number {
  using object = BpfObject.parse(bytes, { name: "object" });
  object.load(token);
  return Object.values(object.needs.programs).reduce((sum, { insnCount }) => sum + insnCount, 0);
}

/** The same, without the sum that shows that it was done. */
function timed(bytes: Uint8Array<ArrayBuffer>): number {
  using object = BpfObject.parse(bytes, { name: "object" });
  object.load(token);
  return 1;
}

/** The kernel, whose bpf(2) answers at once: with another descriptor of standard input where it makes one. */
function withoutBpf(real: Kernel): Kernel {
  const bpf = (cmd: number): number => MAKES_FD.has(cmd) ? real.fcntl(0, F_DUPFD_CLOEXEC, 3) : 0;
  return new Proxy(real, {
    get: (target, key) => {
      if (key === "bpf") return bpf;
      const value = Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

/** One row: both in turn, each time with the other one first. Gives the median of the rounds' ratios. */
async function compare(what: string, c: () => Promise<Sample>, ours: () => Sample): Promise<number> {
  for (let round = 0; round < WARM_UP; round++) ours(), await c();
  const [cCosts, costs]: [number[], number[]] = [[], []];
  for (let round = 0; round < ROUNDS; round++) {
    const first = round % 2 === 0 ? ours() : undefined;
    const theirs = await c();
    const mine = first ?? ours();
    cCosts.push(theirs.nanoseconds);
    costs.push(mine.nanoseconds);
  }
  const ratio = median(costs.map((cost, round) => cost / cCosts[round]));
  const milliseconds = [cCosts, costs].map((list) => (median(list) / 1e6).toFixed(2).padStart(12));
  console.log(`${what.padEnd(30)} ${milliseconds.join(" ")} ${ratio.toFixed(2).padStart(10)}`);
  return ratio;
}

async function main(check: boolean): Promise<number> {
  const folder = await Deno.makeTempDir();
  try {
    const path = await compile(folder);
    const bytes = await Deno.readFile(path);
    const start = performance.now();
    const types = kernelBtf();
    types.find("struct", "task_struct");
    const readingTypes = performance.now() - start;
    await using libbpf = new Baseline("object.c", [path], { libraries: ["bpf", "dl"] });
    const { sum } = await libbpf.run("load", 1);
    if (sum !== pass(bytes)) throw new Error(`Cannot trust it: libbpf has ${sum} instructions, we have ${pass(bytes)}`);
    const relos = BpfObject.parse(bytes).spec.functions.reduce((count, { coreRelos }) => count + coreRelos.length, 0);
    console.log(
      `${relos} CO-RE relocations, ${sum} instructions; the kernel's types: ${readingTypes.toFixed(1)} ms, once`,
    );
    console.log(
      `${"".padEnd(30)} ${"libbpf, ms".padStart(12)} ${"object/, ms".padStart(12)} ${"object/C".padStart(10)}`,
    );
    const load = await compare("whole load", () => libbpf.run("load", 1), () => measure(() => timed(bytes), 1));
    const before = swapKernel(withoutBpf(kernel()));
    const relocate = await compare(
      "open and relocate",
      () => libbpf.run("relocate", 1),
      () => measure(() => timed(bytes), 1),
    );
    swapKernel(before);
    const wrong = [
      ...(relocate > RELOCATE_LIMIT
        ? [`Relocating costs ${relocate.toFixed(2)} times libbpf; the limit is ${RELOCATE_LIMIT}`]
        : []),
      ...(load > LOAD_LIMIT ? [`Loading costs ${load.toFixed(2)} times libbpf; the limit is ${LOAD_LIMIT}`] : []),
    ];
    for (const sentence of wrong) console.error(sentence);
    return check && wrong.length > 0 ? 1 : 0;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

if (import.meta.main) Deno.exitCode = await main(Deno.args.includes("--check"));
