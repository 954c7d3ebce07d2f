/**
 * What the runs of a program cost by the counters of the CPU: `bpf prog profile`.
 *
 * @module
 */

import { asm } from "../asm/mod.ts";
import { btfOfProgram } from "../progs/mod.ts";
import { functionsOf, Program } from "../progs/mod.ts";
import { mapCreate } from "../cmds/map.ts";
import { mapLookupElem, mapUpdateElem } from "../cmds/map_elem.ts";
import { objGetInfoByFd } from "../cmds/obj.ts";
import { encode, u32 } from "../codec.ts";
import { NotSupportedError, SyscallError } from "../errors.ts";
import { onlineCpus, possibleCpus } from "../ffi/cpus.ts";
import type { Fd } from "../ffi/fd.ts";
import { kernel } from "../ffi/kernel.ts";
import { LITTLE_ENDIAN } from "../ffi/memory.ts";
import { openPerfEvent } from "../ffi/perf_event.ts";
import { structBuffer } from "../ffi/struct_buffer.ts";
import { attachTracing } from "../links/mod.ts";
import * as perf from "../uapi/constants.gen.ts";
import { sleep, untilInterrupted } from "./_interrupt.ts";
import { parseRef, PROGS } from "./_refs.ts";
import { type HeldToken, orSay, type Session } from "./_session.ts";
import { CommandError, type Words } from "./_words.ts";

/** A counter: what perf_event_open(2) is asked for, and what it is shown beside. */
interface Metric {
  readonly type: number;
  readonly config: number;
  /** Another metric that this one is divided by. */
  readonly ratio?: readonly [metric: string, times: number, words: string];
}

const cache = (level: number, result: number): number => level | perf.PERF_COUNT_HW_CACHE_OP_READ << 8 | result << 16;
const ACCESS = perf.PERF_COUNT_HW_CACHE_RESULT_ACCESS;
const MISS = perf.PERF_COUNT_HW_CACHE_RESULT_MISS;
const CACHE = perf.PERF_TYPE_HW_CACHE;

const METRICS: Readonly<Record<string, Metric>> = {
  cycles: { type: perf.PERF_TYPE_HARDWARE, config: perf.PERF_COUNT_HW_CPU_CYCLES },
  instructions: {
    type: perf.PERF_TYPE_HARDWARE,
    config: perf.PERF_COUNT_HW_INSTRUCTIONS,
    ratio: ["cycles", 1, "insns per cycle"],
  },
  l1d_loads: { type: CACHE, config: cache(perf.PERF_COUNT_HW_CACHE_L1D, ACCESS) },
  llc_misses: {
    type: CACHE,
    config: cache(perf.PERF_COUNT_HW_CACHE_LL, MISS),
    ratio: ["instructions", 1e6, "LLC misses per million insns"],
  },
  itlb_misses: {
    type: CACHE,
    config: cache(perf.PERF_COUNT_HW_CACHE_ITLB, MISS),
    ratio: ["instructions", 1e6, "itlb misses per million insns"],
  },
  dtlb_misses: {
    type: CACHE,
    config: cache(perf.PERF_COUNT_HW_CACHE_DTLB, MISS),
    ratio: ["instructions", 1e6, "dtlb misses per million insns"],
  },
  // Beyond bpftool: a clock of the kernel's, for machines that show no counters.
  cpu_clock: { type: perf.PERF_TYPE_SOFTWARE, config: perf.PERF_COUNT_SW_CPU_CLOCK },
};

/** What a counter came to over all runs and CPUs. */
interface Reading {
  readonly metric: string;
  readonly value: bigint;
  readonly enabled: bigint;
  readonly running: bigint;
}

/** A value of a counter has three numbers: C name `struct bpf_perf_event_value`. */
const VALUE_SIZE = 24;

/** One counter: an event on each CPU, what it was when a run began, and the sum of all runs. */
class Counter implements Disposable {
  readonly name: string;
  readonly events: Fd;
  readonly starts: Fd;
  readonly sums: Fd;
  readonly #stack = new DisposableStack();
  readonly #token: HeldToken;

  constructor(token: HeldToken, name: string) {
    this.#token = token;
    this.name = name;
    try {
      const { type, config } = METRICS[name];
      const array = (mapType: "percpu_array" | "perf_event_array", valueSize: number, maxEntries: number): Fd =>
        this.#stack.use(
          mapCreate(token, { type: mapType, keySize: 4, valueSize, maxEntries, name: `prof_${name}`.slice(0, 15) }),
        );
      this.events = array("perf_event_array", 4, possibleCpus());
      this.starts = array("percpu_array", VALUE_SIZE, 1);
      this.sums = array("percpu_array", VALUE_SIZE + 8, 1);
      for (const cpu of onlineCpus()) {
        const attr = structBuffer("perf_event_attr").u32("type", type).u64("config", config)
          .u64("read_format", perf.PERF_FORMAT_TOTAL_TIME_ENABLED | perf.PERF_FORMAT_TOTAL_TIME_RUNNING);
        const event = this.#stack.use(openPerfEvent(attr, { cpu }));
        mapUpdateElem(token, this.events, { key: encode(u32, cpu), value: encode(u32, event.fd) });
        const result = kernel().ioctl(event.fd, perf.PERF_EVENT_IOC_ENABLE, 0);
        if (result < 0) throw new SyscallError({ command: "ioctl", errno: -result, action: "enable a perf event" });
      }
    } catch (error) {
      this.#stack.dispose();
      if (error instanceof NotSupportedError) throw new CommandError(`the machine has no counter of ${name}`);
      throw error;
    }
  }

  /** The sum over all CPUs, and how often the program ran. */
  read(): { reading: Reading; runs: bigint } {
    const bytes = mapLookupElem(this.#token, this.sums, { key: encode(u32, 0) });
    const view = new DataView(bytes!.buffer, bytes!.byteOffset, bytes!.length);
    let [value, enabled, running, runs] = [0n, 0n, 0n, 0n];
    for (let at = 0; at + VALUE_SIZE + 8 <= view.byteLength; at += VALUE_SIZE + 8) {
      value += view.getBigUint64(at, LITTLE_ENDIAN);
      enabled += view.getBigUint64(at + 8, LITTLE_ENDIAN);
      running += view.getBigUint64(at + 16, LITTLE_ENDIAN);
      runs += view.getBigUint64(at + 24, LITTLE_ENDIAN);
    }
    return { reading: { metric: this.name, value, enabled, running }, runs };
  }

  [Symbol.dispose](): void {
    this.#stack.dispose();
  }
}

/** Reads the counter where a run begins. */
function startProgram({ events, starts }: Counter): ReturnType<typeof asm> {
  return asm`
      *(u32 *)(r10 -4) = 0
      r1 = map_fd ${starts} ll
      r2 = r10
      r2 += -4
      call map_lookup_elem
      if r0 == 0 goto out
      r3 = r0
      r1 = map_fd ${events} ll
      r2 = 4294967295 ll            ; BPF_F_CURRENT_CPU
      r4 = 24
      call perf_event_read_value
    out:
      r0 = 0
      exit
  `;
}

/** Reads it where the run ends, and adds the difference. */
function endProgram({ events, starts, sums }: Counter): ReturnType<typeof asm> {
  return asm`
      *(u32 *)(r10 -4) = 0
      r1 = map_fd ${events} ll
      r2 = 4294967295 ll            ; BPF_F_CURRENT_CPU
      r3 = r10
      r3 += -32
      r4 = 24
      call perf_event_read_value
      if r0 != 0 goto out
      r1 = map_fd ${starts} ll
      r2 = r10
      r2 += -4
      call map_lookup_elem
      if r0 == 0 goto out
      r6 = r0
      r1 = map_fd ${sums} ll
      r2 = r10
      r2 += -4
      call map_lookup_elem
      if r0 == 0 goto out
      r1 = *(u64 *)(r6 +0)
      if r1 == 0 goto out           ; a run that began before this was attached
      r2 = *(u64 *)(r10 -32)
      r2 -= r1
      r3 = *(u64 *)(r0 +0)
      r3 += r2
      *(u64 *)(r0 +0) = r3
      r1 = *(u64 *)(r6 +8)
      r2 = *(u64 *)(r10 -24)
      r2 -= r1
      r3 = *(u64 *)(r0 +8)
      r3 += r2
      *(u64 *)(r0 +8) = r3
      r1 = *(u64 *)(r6 +16)
      r2 = *(u64 *)(r10 -16)
      r2 -= r1
      r3 = *(u64 *)(r0 +16)
      r3 += r2
      *(u64 *)(r0 +16) = r3
      r3 = *(u64 *)(r0 +24)
      r3 += 1
      *(u64 *)(r0 +24) = r3
    out:
      r0 = 0
      exit
  `;
}

/** The name of the function that the program starts with: what is attached to goes by it. */
function entryOf(token: HeldToken, prog: Fd): string {
  const info = objGetInfoByFd(token, prog, { kind: "prog", details: ["funcInfo"] });
  const btf = btfOfProgram(token, info);
  const [first] = btf === undefined ? [] : functionsOf(info, btf);
  if (btf === undefined || first === undefined) throw new CommandError("the program has no BTF: it can't be profiled");
  return btf.nameOf(first.typeId);
}

function text(readings: readonly Reading[], runs: bigint): string {
  let lines = `\n${`${runs}`.padStart(18)} ${"run_cnt".padEnd(20)}\n`;
  for (const { metric, value, enabled, running } of readings) {
    const [other, times, words] = METRICS[metric].ratio ?? [];
    const divisor = readings.find((one) => one.metric === other)?.value ?? 0n;
    const beside = divisor > 0n
      ? `# ${(Number(value) * times! / Number(divisor)).toFixed(2).padStart(8)} ${words!.padEnd(30)}`
      : "".padEnd(41);
    const part = enabled > running ? `(${(Number(running) * 100 / Number(enabled)).toFixed(2).padStart(4)}%)` : "";
    lines += `${`${value}`.padStart(18)} ${metric.padEnd(20)}${beside}${part}\n`;
  }
  return lines;
}

/** Profiles a program until its time is over, or until Ctrl-C. */
export async function profile(session: Session, words: Words): Promise<void> {
  using prog = parseRef(PROGS, session, words);
  const seconds = words.accept("duration") ? words.number("duration") : undefined;
  const names: string[] = [];
  while (words.left > 0) {
    const word = words.next("a metric");
    const name = Object.keys(METRICS).find((one) => one === word) ??
      Object.keys(METRICS).find((one) => one.startsWith(word));
    if (name === undefined) throw new CommandError(`unknown metric ${word}`);
    if (!names.includes(name)) names.push(name);
  }
  if (names.length === 0) throw new CommandError("no metric: give one or more, such as 'cycles'");
  const { token } = session;
  using stack = new DisposableStack();
  const target = { name: entryOf(token, prog.fd), prog: prog.fd };
  const counters = names.map((name) => stack.use(new Counter(token, name)));
  orSay("failed to attach to the program", () => {
    for (const counter of counters) {
      const places = [["trace_fexit", endProgram(counter)], ["trace_fentry", startProgram(counter)]] as const;
      for (const [expectedAttachType, insns] of places) {
        const observer = stack.use(
          Program.load(token, {
            type: "tracing",
            license: "GPL",
            expectedAttachType,
            attachTo: target,
            insns,
            name: "profile",
          }),
        );
        stack.use(attachTracing(token, observer.descriptor));
      }
    }
  });
  await untilInterrupted(async (signal) => {
    // Without a duration until Ctrl-C: a timer cannot wait for longer than this.
    await sleep(seconds === undefined ? 2 ** 31 - 1 : seconds * 1000, signal);
  });
  const read = counters.map((counter) => counter.read());
  const readings = read.map(({ reading }) => reading);
  const runs = read[0].runs;
  session.answer({
    json: () =>
      readings.map(({ metric, value, enabled, running }) => ({ metric, run_cnt: runs, value, enabled, running })),
    v1: ["prog.profile", () => ({ runs, readings })],
    text: () => text(readings, runs),
  });
}
