/**
 * The log that the verifier (and the BTF checker) writes: a buffer that starts small and grows until the log fits.
 *
 * @module
 */

import type { Attr } from "../ffi/attr.ts";
import { Fd } from "../ffi/fd.ts";
import { textOf } from "../ffi/struct_buffer.ts";
import { allocate } from "../ffi/memory.ts";
import { NotSupportedError, type SyscallError, VerifierError } from "../errors.ts";
import { errnos } from "../uapi/errno.gen.ts";
import type { AnyToken } from "../tokens/token.ts";
import { attempt, type CallContext, submit } from "./_call.ts";
import { failure } from "./_failure.ts";

/** Where the verifier's log goes. */
export interface LogOptions {
  /**
   * 1 for a short log, 2 for every instruction, plus 4 for statistics. With 0 a program that is refused is checked once
   * more to get the log of its error. C name: `log_level`. @default {0}
   */
  logLevel?: number | undefined;
  /** Called with the whole log of a call that succeeded, where `logLevel` is not 0. */
  onLog?: ((log: string) => void) | undefined;
}

/** The commands that write a log, and what its fields are called there. */
const LOG_FIELDS = {
  prog_load: { level: "log_level", size: "log_size", buffer: "log_buf", trueSize: "log_true_size" },
  btf_load: { level: "btf_log_level", size: "btf_log_size", buffer: "btf_log_buf", trueSize: "btf_log_true_size" },
} as const;

const FIRST_SIZE = 64 * 1024;
/** Kernels before 5.19 take no larger one. */
const LAST_SIZE = 16 * 1024 * 1024 - 1;
/** What kernels that tell how large the log is take for sure, and JavaScript can hold as a string. */
const LAST_TOLD_SIZE = 400 * 1024 * 1024;
const GROWTH = 8;
/** The time that the verifier took has more digits the next time, perhaps. */
const SLACK = 64;

/** Errors that no log explains. */
const WITHOUT_LOG: ReadonlySet<number> = new Set([errnos.EPERM, errnos.ENOMEM, errnos.EMFILE, errnos.EBADF]);

interface Logged {
  readonly result: number;
  readonly log: string;
}

function callWithLog(token: AnyToken, attr: Attr<"prog_load"> | Attr<"btf_load">, level: number): Logged {
  const fields = LOG_FIELDS[attr.command];
  // Both commands have these fields, under two names; the table above pairs them.
  const loose = attr as Attr<"prog_load">;
  const field = (name: string): "log_size" => name as "log_size";
  for (let size = FIRST_SIZE;;) {
    const buffer = allocate(size);
    loose.u32(field(fields.level), level).u32(field(fields.size), size).pointer(field(fields.buffer), buffer);
    const result = submit(token, attr);
    // Kernels from 6.4 on say how large the log is, in a field that has to be zero again for the next call.
    const trueSize = loose.getU32(field(fields.trueSize));
    const next = trueSize > size ? Math.min(trueSize + SLACK, LAST_TOLD_SIZE) : Math.min(size * GROWTH, LAST_SIZE);
    if (result === -errnos.ENOSPC && next > size) {
      size = next;
      loose.u32(field(fields.trueSize), 0);
      continue;
    }
    return { result, log: textOf(buffer) };
  }
}

/** How the log ends where the verifier did not get to the first instruction. */
const UNTOUCHED = /^processed 0 insns /m;

/**
 * Makes a call that can write a log.
 *
 * @returns The new file descriptor, which belongs to the token.
 * @throws {VerifierError} With the log, where the kernel refused what it was given.
 */
export function callWithLogForFd(
  token: AnyToken,
  attr: Attr<"prog_load"> | Attr<"btf_load">,
  options: LogOptions,
  context: CallContext,
): Fd {
  const { logLevel = 0, onLog } = options;
  let result: number;
  let log = "";
  if (logLevel === 0) {
    result = attempt(token, attr as Attr<"prog_load">, context);
    if (result < 0 && !WITHOUT_LOG.has(-result)) ({ result, log } = callWithLog(token, attr, 1));
  } else {
    token.assert({ ...context.request, command: attr.command }, context.action);
    ({ result, log } = callWithLog(token, attr, logLevel));
  }
  if (result < 0) {
    let error = failure(token, attr as Attr<"prog_load">, -result, context);
    // Where the verifier has looked at instructions, the kernel had got past the type and the fields.
    const isAboutCode = log !== "" && !UNTOUCHED.test(log);
    if (isAboutCode && error instanceof NotSupportedError) error = error.cause as SyscallError;
    if (log === "" || !("errno" in error)) throw error;
    throw new VerifierError({ command: attr.command, errno: -result, action: context.action, cause: error }, log);
  }
  const fd = token.adopt(Fd.own(result));
  if (logLevel === 0) return fd;
  try {
    onLog?.(log);
  } catch (error) {
    fd.close();
    throw error;
  }
  return fd;
}
