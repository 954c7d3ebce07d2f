/**
 * What attaching to many places costs by one link against one by one, and what going through all programs costs beside
 * bpftool: `deno task bench:links`.
 *
 * With `--check` it fails where a row is above its limit. Names choose what is measured: uprobes, kprobes, trampolines,
 * programs. What the kernel lacks is left out: kprobes and trampolines are measured in the VMs of tests/vm.
 *
 * @module
 */

import {
  acquire,
  asm,
  attachKprobe,
  attachKprobeMulti,
  attachTracing,
  attachTracingMulti,
  type AttachType,
  attachUprobe,
  attachUprobeMulti,
  type Capability,
  type Fd,
  kernelBtf,
  NotSupportedError,
  objGetInfoByFd,
  type PermissionToken,
  progGetFdById,
  progGetNextId,
  progLoad,
  Program,
  SyscallError,
} from "../mod.ts";
import { kernel, swapKernel } from "../ffi/kernel.ts";
import { median } from "./_baseline.ts";

const PLACES = 1000;
const ROUNDS = 1;
const PROGRAMS = 500;
const PROGRAM_ROUNDS = 9;
/** Functions of the kernel that are there to be traced by tests. */
const FUNCTIONS = Array.from({ length: 8 }, (_, index) => `bpf_fentry_test${index + 1}`);

type Token = PermissionToken<Capability>;

/** What something took. */
interface Cost {
  readonly milliseconds: number;
  /** System calls through the gate to the kernel. */
  readonly calls: number;
}

/** One line of the table. */
interface Row {
  readonly what: string;
  readonly ours: Cost;
  readonly theirs: Cost;
  /** What the ratio of the times, or of the calls, may be at most. */
  readonly limit?: number;
  readonly by: "milliseconds" | "calls";
}

/** Measures some work, and counts its system calls. */
function cost(work: () => void): Cost {
  const real = kernel();
  let calls = 0;
  swapKernel(
    new Proxy(real, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name, target);
        if (typeof member !== "function") return member;
        return (...args: unknown[]): unknown => {
          calls++;
          return member.apply(target, args);
        };
      },
    }),
  );
  const start = performance.now();
  try {
    work();
    return { milliseconds: performance.now() - start, calls };
  } finally {
    swapKernel(real);
  }
}

const medianCost = (costs: readonly Cost[]): Cost => ({
  milliseconds: median(costs.map(({ milliseconds }) => milliseconds)),
  calls: median(costs.map(({ calls }) => calls)),
});

/** Attaches all, measures that, and closes. */
function attaching(attach: () => readonly Disposable[]): { attach: Cost; close: Cost } {
  let attached: readonly Disposable[] = [];
  const opening = cost(() => attached = attach());
  return { attach: opening, close: cost(() => attached.forEach((one) => one[Symbol.dispose]())) };
}

/** Two ways in turns, each some times. */
function compare(
  what: string,
  ways: { ours: () => readonly Disposable[]; theirs: () => readonly Disposable[] },
  options: { by: Row["by"]; limit?: number; rounds?: number },
): Row[] {
  const { by, limit, rounds = ROUNDS } = options;
  const measured = Array.from(
    { length: rounds },
    () => ({ ours: attaching(ways.ours), theirs: attaching(ways.theirs) }),
  );
  return (["attach", "close"] as const).map((step) => ({
    what: step === "attach" ? what : `${what}: closing`,
    ours: medianCost(measured.map(({ ours }) => ours[step])),
    theirs: medianCost(measured.map(({ theirs }) => theirs[step])),
    by,
    ...(step === "attach" && limit !== undefined ? { limit } : {}),
  }));
}

function load(token: Token, type: "kprobe" | "tracing", expectedAttachType?: AttachType, attachTo?: string): Fd {
  const options = {
    type,
    license: "GPL",
    expectedAttachType,
    insns: asm`
    r0 = 0
    exit
  `,
  };
  if (attachTo === undefined) return progLoad(token, options);
  return Program.load(token, { ...options, attachTo }).descriptor;
}

/** A library with many functions. */
function manyFunctions(): { path: string; symbols: readonly string[] } & Disposable {
  const folder = Deno.makeTempDirSync({ prefix: "bpf_deno_bench_" });
  const symbols = Array.from({ length: PLACES }, (_, index) => `place_${index}`);
  Deno.writeTextFileSync(`${folder}/many.c`, symbols.map((name) => `int ${name}(void) { return 0; }`).join("\n"));
  const path = `${folder}/libmany.so`;
  const compiled = ["clang-19", "clang", "gcc", "cc"].some((compiler) => {
    try {
      const args = ["-shared", "-fPIC", "-o", path, `${folder}/many.c`];
      return new Deno.Command(compiler, { args, stderr: "null" }).outputSync().success;
    } catch {
      return false;
    }
  });
  if (!compiled) throw new Error("Cannot measure: there is no C compiler here");
  return { path, symbols, [Symbol.dispose]: () => Deno.removeSync(folder, { recursive: true }) };
}

/** The same function, where the kernel has what it measures. */
function where(lacking: (text: string) => void, measureRows: () => Row[]): Row[] {
  try {
    return measureRows();
  } catch (error) {
    if (!(error instanceof NotSupportedError) && !(error instanceof SyscallError)) throw error;
    lacking(error.message);
    return [];
  }
}

function uprobes(token: Token): Row[] {
  using library = manyFunctions();
  using multi = load(token, "kprobe", "trace_uprobe_multi");
  using single = load(token, "kprobe");
  const { path, symbols } = library;
  // Singles are given offsets, as the file would be read again for each.
  using link = attachUprobeMulti(token, multi, { path, symbols });
  const { offsets } = link.info as unknown as { offsets: readonly bigint[] };
  link.close();
  return compare(`${PLACES} uprobes`, {
    ours: () => [attachUprobeMulti(token, multi, { path, symbols })],
    theirs: () => offsets.map((offset) => attachUprobe(token, single, { path, offset })),
  }, { by: "milliseconds", limit: 0.5 });
}

function kprobes(token: Token): Row[] {
  using multi = load(token, "kprobe", "trace_kprobe_multi");
  using single = load(token, "kprobe");
  return compare(`${FUNCTIONS.length} kprobes`, {
    ours: () => [attachKprobeMulti(token, multi, { symbols: FUNCTIONS })],
    theirs: () => FUNCTIONS.map((name) => attachKprobe(token, single, name)),
  }, { by: "calls", limit: 0.5 });
}

function trampolines(token: Token): Row[] {
  using multi = load(token, "tracing", "trace_fentry_multi");
  // The kernel's types are read once a process, whichever way comes first.
  const types = kernelBtf();
  const rows = compare(`${FUNCTIONS.length} functions by fentry`, {
    ours: () => [attachTracingMulti(token, multi, { functions: FUNCTIONS })],
    // One program goes to one function: each has to be loaded, too.
    theirs: () =>
      FUNCTIONS.map((name) => {
        using prog = load(token, "tracing", "trace_fentry", name);
        return attachTracing(token, prog);
      }),
  }, { by: "calls", limit: 0.5 });
  if (types.typeCount === 0) throw new Error("Cannot measure: the kernel has no types");
  return rows;
}

/** Goes through all programs, with what bpftool tells of each. */
function allPrograms(token: Token): number {
  let sum = 0;
  for (let id = progGetNextId(token); id !== undefined; id = progGetNextId(token, id)) {
    using fd = progGetFdById(token, id);
    const { name, tag, loadTime, mapIds } = objGetInfoByFd(token, fd, { kind: "prog", details: ["mapIds"] });
    sum += name.length + tag.length + Number(loadTime) * 0 + (mapIds?.length ?? 0) + 1;
  }
  return sum;
}

function programs(token: Token): Row[] {
  using stack = new DisposableStack();
  for (let index = 0; index < PROGRAMS; index++) stack.use(load(token, "kprobe"));
  const bpftool = (): void => {
    const { success } = new Deno.Command("bpftool", { args: ["-j", "prog"], stdout: "piped" }).outputSync();
    if (!success) throw new Error("Cannot measure: bpftool failed");
  };
  const rounds = Array.from({ length: PROGRAM_ROUNDS }, () => ({
    ours: cost(() => void allPrograms(token)),
    theirs: cost(bpftool),
  }));
  return [{
    what: `going through ${PROGRAMS} programs beside bpftool -j prog`,
    ours: medianCost(rounds.map(({ ours }) => ours)),
    theirs: medianCost(rounds.map(({ theirs }) => theirs)),
    by: "milliseconds",
    limit: 2,
  }];
}

const token: Token = acquire<Capability>("CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON", "CAP_SYS_ADMIN");
const lacking = (text: string): void => console.error(`left out: ${text.split("\n")[0]}`);
const MEASURES = { uprobes, kprobes, trampolines, programs };
const wanted = Deno.args.filter((arg) => !arg.startsWith("-"));
const chosen = Object.entries(MEASURES).filter(([name]) => wanted.length === 0 || wanted.includes(name));
const rows = chosen.flatMap(([, measured]) => where(lacking, () => measured(token)));
const show = ({ milliseconds, calls }: Cost): string => `${milliseconds.toFixed(2)} ms, ${calls} calls`;
let above = false;
for (const { what, ours, theirs, by, limit } of rows) {
  const ratio = ours[by] / theirs[by];
  const isAbove = limit !== undefined && ratio > limit;
  above ||= isAbove;
  const limits = limit === undefined ? "" : ` (limit ${limit}${isAbove ? ": ABOVE" : ""})`;
  console.log(`${what}: ${show(ours)} against ${show(theirs)}: ${ratio.toPrecision(3)} of the ${by}${limits}`);
}
if (above && Deno.args.includes("--check")) Deno.exit(1);
