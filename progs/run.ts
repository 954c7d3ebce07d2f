/**
 * Running a program by hand: what it takes by type, and room for what it gives.
 *
 * @module
 */

import { progTestRun, type ProgTestRunResult } from "../cmds/prog_run.ts";
import type { FdSource } from "../ffi/fd.ts";
import type { Bytes } from "../ffi/kernel.ts";
import { allocate } from "../ffi/memory.ts";
import type { AnyToken } from "../tokens/token.ts";
import {
  BPF_F_TEST_RUN_ON_CPU,
  BPF_F_TEST_SKB_CHECKSUM_COMPLETE,
  BPF_F_TEST_XDP_LIVE_FRAMES,
} from "../uapi/constants.gen.ts";
import type { ProgType } from "../uapi/enums.gen.ts";
import { flagBits } from "./load_options.ts";

/**
 * How a program is run, by name.
 *
 * - `run_on_cpu`: on the CPU that is named, for raw tracepoints; `cpu` sets it
 * - `xdp_live_frames`: packets really go where the program sends them, since 5.18
 * - `skb_checksum_complete`: the packet's checksum counts as checked
 */
export type RunFlag = "run_on_cpu" | "xdp_live_frames" | "skb_checksum_complete";

const RUN_FLAGS: Readonly<Record<RunFlag, number>> = {
  run_on_cpu: BPF_F_TEST_RUN_ON_CPU,
  xdp_live_frames: BPF_F_TEST_XDP_LIVE_FRAMES,
  skb_checksum_complete: BPF_F_TEST_SKB_CHECKSUM_COMPLETE,
};

/** What `Program.run()` takes. Its C name is `bpf_attr.test`. */
export interface RunOptions {
  /** The packet that it sees. XDP, socket filters and tc programs need 14 bytes at least. C name: `data_in`. */
  data?: Bytes | undefined;
  /** Its context, such as a `struct __sk_buff` or `struct xdp_md`. C name: `ctx_in`. Since 5.2. */
  ctx?: Bytes | undefined;
  /** How often it runs. C name: `repeat`. @default {1} */
  repeat?: number | undefined;
  /** Flags, by name; a number is taken as it is. C name: `flags`. Since 5.10. @default {[]} */
  flags?: readonly RunFlag[] | number | undefined;
  /** The CPU that a raw tracepoint program runs on, which sets its flag. C name: `cpu`. Since 5.10. */
  cpu?: number | undefined;
  /** With `xdp_live_frames`: frames at a time, at most 256. C name: `batch_size`. Since 5.18. @default {64} */
  batchSize?: number | undefined;
  /**
   * Bytes at most of the packet that the program leaves. More is ENOSPC, after the program has run. C name:
   * `data_size_out`. @default {4096 more than there are in data}
   */
  dataOutSize?: number | undefined;
}

/** What programs of these types leave is not given back: the kernel refuses to be asked for it. */
const WITHOUT_OUTPUT: ReadonlySet<ProgType | number> = new Set<ProgType | number>([
  "raw_tracepoint",
  "raw_tracepoint_writable",
  "tracing",
  "struct_ops",
  "syscall",
]);

/** Types whose context is written back. */
const WITH_CONTEXT_OUTPUT: ReadonlySet<ProgType | number> = new Set<ProgType | number>([
  "socket_filter",
  "sched_cls",
  "sched_act",
  "xdp",
  "cgroup_skb",
  "lwt_in",
  "lwt_out",
  "lwt_xmit",
  "lwt_seg6local",
  "sk_lookup",
]);

/** Larger than any context that the kernel writes back. */
const CONTEXT_ROOM = 512;
const DATA_ROOM = 4096;

const NOTHING: Bytes = new Uint8Array(0);

/**
 * Runs a program.
 *
 * @param token A permission token.
 * @param prog The program.
 * @param type Its type.
 * @param options What it sees, and how often it runs.
 * @returns What it returned, and what it left.
 */
export function runProgram(
  token: AnyToken,
  prog: FdSource,
  type: ProgType | number,
  options: RunOptions,
): ProgTestRunResult {
  const { data = NOTHING, ctx, repeat, cpu, batchSize } = options;
  if (repeat !== undefined && !(Number.isInteger(repeat) && repeat >= 1 && repeat <= 0x7fffffff)) {
    throw new RangeError(`Cannot use repeat: ${repeat} is not an integer from 1 to ${0x7fffffff}`);
  }
  const flags = flagBits(RUN_FLAGS, options.flags ?? []) | (cpu === undefined ? 0 : BPF_F_TEST_RUN_ON_CPU);
  const isLive = (flags & BPF_F_TEST_XDP_LIVE_FRAMES) !== 0;
  const gives = !WITHOUT_OUTPUT.has(type) && !isLive;
  const dataOut = gives && data.length > 0 ? allocate(options.dataOutSize ?? data.length + DATA_ROOM) : undefined;
  const ctxOut = gives && ctx !== undefined && WITH_CONTEXT_OUTPUT.has(type) ? allocate(CONTEXT_ROOM) : undefined;
  // The kernel writes the context of a syscall program back to where it came from.
  const own = ctx === undefined || type !== "syscall" ? ctx : allocate(ctx.length);
  if (own !== ctx) own?.set(ctx as Bytes);
  const result = progTestRun(token, prog, { data, ctx: own, dataOut, ctxOut, repeat, flags, cpu, batchSize });
  return type === "syscall" && own !== undefined ? { ...result, ctx: own } : result;
}
