/**
 * Running programs by hand and reading what they print: BPF_PROG_TEST_RUN and BPF_PROG_STREAM_READ_BY_FD.
 *
 * @module
 */

import { Attr } from "../ffi/attr.ts";
import type { FdSource } from "../ffi/fd.ts";
import type { Bytes } from "../ffi/kernel.ts";
import { BPF_STREAM_STDERR, BPF_STREAM_STDOUT } from "../uapi/constants.gen.ts";
import type { AnyToken } from "../tokens/token.ts";
import { call } from "./_call.ts";
import { numberOf } from "./_types.ts";

/** What `progTestRun()` takes besides the program. Its C name is `bpf_attr.test`. */
export interface ProgTestRunOptions {
  /** The packet that it sees. C names: `data_in`, `data_size_in`. */
  data?: Bytes | undefined;
  /** Where the kernel writes the packet afterwards. C names: `data_out`, `data_size_out`. */
  dataOut?: Bytes | undefined;
  /** Its context, such as a `struct __sk_buff` or `struct xdp_md`. C names: `ctx_in`, `ctx_size_in`. Since 5.2. */
  ctx?: Bytes | undefined;
  /** Where the kernel writes the context afterwards. C names: `ctx_out`, `ctx_size_out`. Since 5.2. */
  ctxOut?: Bytes | undefined;
  /** How often it runs; 0 is once. C name: `repeat`. @default {0} */
  repeat?: number | undefined;
  /** BPF_F_TEST_RUN_ON_CPU, BPF_F_TEST_XDP_LIVE_FRAMES, … C name: `flags`. Since 5.10. @default {0} */
  flags?: number | undefined;
  /** With BPF_F_TEST_RUN_ON_CPU: the CPU. C name: `cpu`. Since 5.10. @default {0} */
  cpu?: number | undefined;
  /** With BPF_F_TEST_XDP_LIVE_FRAMES: frames at a time. C name: `batch_size`. Since 5.18. @default {0} */
  batchSize?: number | undefined;
}

/** What a run gave. */
export interface ProgTestRunResult {
  /** What the program returned. C name: `retval`. */
  readonly returnValue: number;
  /** How long one run took on average, in nanoseconds. C name: `duration`. */
  readonly durationNs: number;
  /** The part of `dataOut` that the kernel wrote. */
  readonly data: Bytes;
  /** The part of `ctxOut` that the kernel wrote. */
  readonly ctx: Bytes;
}

const NOTHING: Bytes = new Uint8Array(0);

/**
 * Runs a program once or many times on data of the caller's: BPF_PROG_TEST_RUN, since 5.14 also BPF_PROG_RUN. Since
 * Linux 4.12; which program types have it, and what they take, depends on the release.
 *
 * @example
 * ```ts
 * import { acquire, asm, progLoad, progTestRun } from "@bpf/deno";
 *
 * const token = acquire("CAP_BPF");
 * using prog = progLoad(token, { type: "socket_filter", license: "GPL", insns: asm`
 *   r0 = 7
 *   exit
 * ` });
 * console.log(progTestRun(token, prog, { data: new Uint8Array(64) }).returnValue);
 * ```
 *
 * @param token A permission token.
 * @param prog The program.
 * @param options What it sees, and how often it runs.
 * @returns What it returned, how long it took, and what it left behind.
 * @throws {SyscallError} ENOTSUPP for program types that cannot be run; ENOSPC where `dataOut` is too short; EINVAL for
 * data or a context that does not suit the type.
 */
export function progTestRun(token: AnyToken, prog: FdSource, options: ProgTestRunOptions = {}): ProgTestRunResult {
  const { data = NOTHING, dataOut = NOTHING, ctx = NOTHING, ctxOut = NOTHING } = options;
  const attr = new Attr("prog_test_run").fd("prog_fd", prog)
    .pointer("data_in", data).u32("data_size_in", data.length)
    .pointer("data_out", dataOut).u32("data_size_out", dataOut.length)
    .pointer("ctx_in", ctx).u32("ctx_size_in", ctx.length)
    .pointer("ctx_out", ctxOut).u32("ctx_size_out", ctxOut.length)
    .u32("repeat", options.repeat ?? 0).u32("flags", options.flags ?? 0)
    .u32("cpu", options.cpu ?? 0).u32("batch_size", options.batchSize ?? 0);
  call(token, attr, { action: "run a program" });
  return {
    returnValue: attr.getU32("retval"),
    durationNs: attr.getU32("duration"),
    data: dataOut.subarray(0, attr.getU32("data_size_out")),
    ctx: ctxOut.subarray(0, attr.getU32("ctx_size_out")),
  };
}

/** The streams that a program can print to. */
export type ProgStream = "stdout" | "stderr";

const STREAMS: Readonly<Record<ProgStream, number>> = { stdout: BPF_STREAM_STDOUT, stderr: BPF_STREAM_STDERR };

/**
 * Reads what a program printed to a stream: BPF_PROG_STREAM_READ_BY_FD. What was read is gone. Since Linux 6.17.
 *
 * @param token A permission token.
 * @param prog The program.
 * @param options The stream, and where the kernel writes.
 * @returns The part of the buffer that the kernel wrote; empty where there is nothing.
 * @throws {NotSupportedError} On kernels before 6.17.
 * @throws {SyscallError} ENOENT for a stream that does not exist.
 */
export function progStreamRead(
  token: AnyToken,
  prog: FdSource,
  options: {
    /** Which stream. C name: `stream_id`. */
    stream: ProgStream | number;
    /** Where the kernel writes. C names: `stream_buf`, `stream_buf_len`. */
    buffer: Bytes;
  },
): Bytes {
  const { stream, buffer } = options;
  const attr = new Attr("prog_stream_read_by_fd").fd("prog_fd", prog)
    .u32("stream_id", numberOf<ProgStream>(STREAMS, stream, "stream"))
    .pointer("stream_buf", buffer).u32("stream_buf_len", buffer.length);
  return buffer.subarray(0, call(token, attr, { action: `read a program's ${stream}` }));
}
