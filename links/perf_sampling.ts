/**
 * Programs that run each time a counter of the machine has counted so far: the clock of each CPU, cycles, page faults.
 *
 * @module
 */

import { NotSupportedError, SyscallError } from "../errors.ts";
import { onlineCpus } from "../ffi/cpus.ts";
import { type Fd, fdNumber, type FdSource } from "../ffi/fd.ts";
import { openPath } from "../ffi/kernel_file.ts";
import { openPerfEvent, type PerfEventAttr, type PerfEventTarget } from "../ffi/perf_event.ts";
import { structBuffer } from "../ffi/struct_buffer.ts";
import type { AnyToken } from "../tokens/token.ts";
import * as uapi from "../uapi/constants.gen.ts";
import { errnos } from "../uapi/errno.gen.ts";
import { attachEach, AttachmentGroup } from "./group.ts";
import { attachPerfEvent, type PerfEventOptions } from "./perf_event.ts";

/** What is counted, by the kernel or by the machine. C names: PERF_COUNT_SW_*, PERF_COUNT_HW_*. */
export type PerfCounter =
  | "cpu_clock"
  | "task_clock"
  | "page_faults"
  | "minor_faults"
  | "major_faults"
  | "context_switches"
  | "cpu_migrations"
  | "alignment_faults"
  | "emulation_faults"
  | "cgroup_switches"
  | "cpu_cycles"
  | "instructions"
  | "cache_references"
  | "cache_misses"
  | "branch_instructions"
  | "branch_misses"
  | "bus_cycles"
  | "stalled_cycles_frontend"
  | "stalled_cycles_backend"
  | "ref_cpu_cycles";

const software = (config: number): [number, number] => [uapi.PERF_TYPE_SOFTWARE, config];
const hardware = (config: number): [number, number] => [uapi.PERF_TYPE_HARDWARE, config];

const COUNTERS: Readonly<Record<PerfCounter, readonly [type: number, config: number]>> = {
  cpu_clock: software(uapi.PERF_COUNT_SW_CPU_CLOCK),
  task_clock: software(uapi.PERF_COUNT_SW_TASK_CLOCK),
  page_faults: software(uapi.PERF_COUNT_SW_PAGE_FAULTS),
  minor_faults: software(uapi.PERF_COUNT_SW_PAGE_FAULTS_MIN),
  major_faults: software(uapi.PERF_COUNT_SW_PAGE_FAULTS_MAJ),
  context_switches: software(uapi.PERF_COUNT_SW_CONTEXT_SWITCHES),
  cpu_migrations: software(uapi.PERF_COUNT_SW_CPU_MIGRATIONS),
  alignment_faults: software(uapi.PERF_COUNT_SW_ALIGNMENT_FAULTS),
  emulation_faults: software(uapi.PERF_COUNT_SW_EMULATION_FAULTS),
  cgroup_switches: software(uapi.PERF_COUNT_SW_CGROUP_SWITCHES),
  cpu_cycles: hardware(uapi.PERF_COUNT_HW_CPU_CYCLES),
  instructions: hardware(uapi.PERF_COUNT_HW_INSTRUCTIONS),
  cache_references: hardware(uapi.PERF_COUNT_HW_CACHE_REFERENCES),
  cache_misses: hardware(uapi.PERF_COUNT_HW_CACHE_MISSES),
  branch_instructions: hardware(uapi.PERF_COUNT_HW_BRANCH_INSTRUCTIONS),
  branch_misses: hardware(uapi.PERF_COUNT_HW_BRANCH_MISSES),
  bus_cycles: hardware(uapi.PERF_COUNT_HW_BUS_CYCLES),
  stalled_cycles_frontend: hardware(uapi.PERF_COUNT_HW_STALLED_CYCLES_FRONTEND),
  stalled_cycles_backend: hardware(uapi.PERF_COUNT_HW_STALLED_CYCLES_BACKEND),
  ref_cpu_cycles: hardware(uapi.PERF_COUNT_HW_REF_CPU_CYCLES),
};

/** What `attachPerfSampling()` takes besides the program: one of `frequency` and `period`. */
export interface AttachPerfSamplingOptions extends PerfEventOptions {
  /** What is counted; or the kernel's numbers for it: `struct perf_event_attr`'s `type` and `config`. */
  event: PerfCounter | { type: number; config: bigint };
  /** How often a second the program runs on a CPU, about. C name: `sample_freq`. */
  frequency?: number | undefined;
  /** After how many counts it runs; nanoseconds of the clocks. C name: `sample_period`. */
  period?: number | bigint | undefined;
  /** Only while this process (0: the own one) runs, wherever that is. */
  pid?: number | undefined;
  /** Only while processes of this cgroup and those below run: the path of its directory, or a descriptor of that. */
  cgroup?: string | FdSource | undefined;
  /** On these CPUs. By default on all that are online, or wherever the process is. */
  cpus?: readonly number[] | undefined;
  /** Not while the kernel runs. C name: `exclude_kernel`. @default {false} */
  excludeKernel?: boolean | undefined;
  /** Not while processes run. C name: `exclude_user`. @default {false} */
  excludeUser?: boolean | undefined;
  /** Also in the processes and threads that the process starts from now on; with `pid`. C name: `inherit`. @default {false} */
  inherit?: boolean | undefined;
}

function counterOf(event: AttachPerfSamplingOptions["event"]): readonly [number, number | bigint] {
  if (typeof event === "object") return [event.type, event.config];
  if (Object.hasOwn(COUNTERS, event)) return COUNTERS[event];
  throw new TypeError(`Cannot use event: "${event}" is none of ${Object.keys(COUNTERS).join(", ")}`);
}

function attrOf(options: AttachPerfSamplingOptions): PerfEventAttr {
  const { event, frequency, period } = options;
  if ((frequency === undefined) === (period === undefined)) {
    throw new TypeError("Cannot sample: give one of frequency and period");
  }
  if (BigInt(frequency ?? period ?? 0) <= 0n) throw new RangeError("Cannot sample: frequency and period start at 1");
  const [type, config] = counterOf(event);
  const attr = structBuffer("perf_event_attr").u32("type", type).u64("config", config);
  if (period !== undefined) attr.u64("sample_period", period);
  if (frequency !== undefined) attr.u64("sample_freq", frequency).bit("freq");
  if (options.excludeKernel) attr.bit("exclude_kernel");
  if (options.excludeUser) attr.bit("exclude_user");
  if (options.inherit) attr.bit("inherit");
  return attr;
}

/**
 * Runs a program each time a counter has counted so far. Since Linux 4.9; with a cookie since 5.15.
 *
 * Without CAP_PERFMON the sysctl kernel.perf_event_paranoid says what may be counted: from 2 on only own processes outside
 * the kernel (`pid` and `excludeKernel`), from 1 on no whole CPUs. Virtual machines often lack the machine's counters; those
 * of the kernel are there.
 *
 * @example
 * ```ts
 * import { acquire, asm, attachPerfSampling, progLoad } from "@bpf/deno";
 *
 * const token = acquire("CAP_BPF", "CAP_PERFMON");
 * using prog = progLoad(token, { type: "perf_event", license: "GPL", insns: asm`
 *   r0 = 0
 *   exit
 * ` });
 * using sampling = attachPerfSampling(token, prog, { event: "cpu_clock", frequency: 99 });
 * console.log(sampling.attachments.length); // one a CPU
 * ```
 *
 * @param token A permission token.
 * @param prog The program, of type `perf_event`.
 * @param options What is counted, how often the program runs, and where.
 * @returns The attachments, one a CPU.
 * @throws {NotSupportedError} Where the machine has no such counter.
 * @throws {PermissionError} Where kernel.perf_event_paranoid keeps the process from it.
 * @throws {SyscallError} ESRCH where there is no such process; EINVAL for a frequency above
 * kernel.perf_event_max_sample_rate.
 */
export function attachPerfSampling(
  token: AnyToken,
  prog: FdSource,
  options: AttachPerfSamplingOptions,
): AttachmentGroup {
  const { pid, cgroup } = options;
  if (pid !== undefined && cgroup !== undefined) throw new TypeError("Cannot sample: give one of pid and cgroup");
  const attr = attrOf(options);
  token.assert({ command: "link_create", attachType: "perf_event" }, "attach to a perf event");
  using directory = typeof cgroup === "string" ? openPath(cgroup) : undefined;
  const source = directory ?? (cgroup as FdSource | undefined);
  const target = source === undefined
    ? { pid: pid ?? -1 }
    : { pid: fdNumber(source, "cgroup"), flags: uapi.PERF_FLAG_PID_CGROUP };
  const cpus = options.cpus ?? (pid === undefined ? onlineCpus() : [-1]);
  const attachments = attachEach(cpus, (cpu) => {
    using event = open(attr, { ...target, cpu });
    return attachPerfEvent(token, prog, event, options);
  });
  return new AttachmentGroup(token, attachments);
}

function open(attr: PerfEventAttr, target: PerfEventTarget): Fd {
  try {
    return openPerfEvent(attr, target);
  } catch (error) {
    const inCgroup = (target.flags ?? 0) !== 0 && error instanceof NotSupportedError;
    if (!inCgroup || !(error.cause instanceof SyscallError) || error.cause.errno !== errnos.ENOENT) throw error;
    const reason =
      "the machine has no such event, or the cgroup has no perf_event controller (it comes with the first " +
      "controller that is enabled in the root's cgroup.subtree_control, and is at one hierarchy only)";
    throw new NotSupportedError("this perf event", { reason, cause: error });
  }
}
