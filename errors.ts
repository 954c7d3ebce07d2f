/**
 * The error classes of the library. A bad argument is a `TypeError` or a `RangeError`, a malformed input a
 * `SyntaxError`; what the kernel or the permission model answers is one of these.
 *
 * @module
 */

import { commands } from "./uapi/enums.gen.ts";
import { errnoMeanings, type ErrnoName, errnos } from "./uapi/errno.gen.ts";
import { parseVerifierLog, type VerifierReport } from "./verifier_log.ts";

const namesByNumber = new Map<number, ErrnoName>(
  // EAGAIN and EWOULDBLOCK share a number, as do a few others: the first name is the usual one.
  (Object.entries(errnos) as [ErrnoName, number][]).reverse().map(([name, number]) => [number, name]),
);

/**
 * The name of an error number.
 *
 * @param errno A positive error number, as errno(3) numbers them.
 * @returns The name, such as `"EPERM"`, or `"E<number>"` for a number that has none.
 */
export function errnoName(errno: number): string {
  return namesByNumber.get(errno) ?? `E${errno}`;
}

/**
 * What an error number means, in the words of strerror(3).
 *
 * @param errno A positive error number, as errno(3) numbers them.
 * @returns The meaning, or "Unknown error" with the number.
 */
export function errnoMeaning(errno: number): string {
  const name = namesByNumber.get(errno);
  return name === undefined ? `Unknown error ${errno}` : errnoMeanings[name];
}

/** What a {@link SyscallError} is made of. */
export interface SyscallErrorInit extends ErrorOptions {
  /** The bpf(2) command in lower case (`"map_create"`), or the name of another system call. */
  command: string;
  /** The positive error number. */
  errno: number;
  /** What was being done: it follows "Cannot" in the message. */
  action: string;
  /** What the error most likely means here. */
  hint?: string | undefined;
}

/** The kernel refused or failed a system call. */
export class SyscallError extends Error {
  /** The class's name, `"SyscallError"`. */
  override name = "SyscallError";
  /** The bpf(2) command in lower case (`"map_create"`), or the name of another system call. */
  readonly command: string;
  /** The positive error number. */
  readonly errno: number;
  /** The error number's name, such as `"EINVAL"`. */
  readonly code: string;
  /** What the error most likely means here, where that is known. */
  readonly hint: string | undefined;

  /**
   * Makes the error of one failed call.
   *
   * @param init The command, the error number and what was being done.
   */
  constructor(init: SyscallErrorInit) {
    const code = errnoName(init.errno);
    const hint = init.hint === undefined ? "" : `: ${init.hint}`;
    super(`Cannot ${init.action}: ${code} (${errnoMeaning(init.errno)})${hint}`, init);
    this.command = init.command;
    this.errno = init.errno;
    this.code = code;
    this.hint = init.hint;
  }
}

/** What a {@link PermissionError} is made of. */
export interface PermissionErrorInit extends ErrorOptions {
  /** The bpf(2) command in lower case, or what else was asked for. */
  command: string;
  /** What was being done: it follows "Cannot" in the message. */
  action: string;
  /** The capabilities that are missing; empty where a restriction of the token refuses. */
  missing: readonly string[];
  /** Why the kernel, or the token, asks for it. */
  reason: string;
  /** What would grant it. */
  remedy: string;
  /** The positive error number that the kernel answers in this case. */
  errno?: number | undefined;
}

/** A permission token, or the kernel in spite of it, does not allow an operation. */
export class PermissionError extends Error {
  /** The class's name, `"PermissionError"`. */
  override name = "PermissionError";
  /** The bpf(2) command in lower case, or what else was asked for. */
  readonly command: string;
  /** The capabilities that are missing; empty where a restriction of the token refuses. */
  readonly missing: readonly string[];
  /** Why the kernel, or the token, asks for it. */
  readonly reason: string;
  /** What would grant it. */
  readonly remedy: string;
  /** The positive error number that the kernel answers in this case, where it is the kernel's rule. */
  readonly errno: number | undefined;
  /** The error number's name, such as `"EPERM"`, where it is the kernel's rule. */
  readonly code: string | undefined;

  /**
   * Makes the error of one refused operation.
   *
   * @param init The command, what is missing, why, and what would grant it.
   */
  constructor(init: PermissionErrorInit) {
    const missing = init.missing.length === 0 ? "" : `missing ${init.missing.join(" and ")}: `;
    const command = Object.hasOwn(commands, init.command) ? ` (BPF_${init.command.toUpperCase()})` : "";
    super(`Cannot ${init.action}${command}: ${missing}${init.reason}. ${init.remedy}`, init);
    this.command = init.command;
    this.missing = init.missing;
    this.reason = init.reason;
    this.remedy = init.remedy;
    this.errno = init.errno;
    this.code = init.errno === undefined ? undefined : errnoName(init.errno);
  }
}

/** The running system lacks a feature: an older kernel, another architecture, another operating system. */
export class NotSupportedError extends Error {
  /** The class's name, `"NotSupportedError"`. */
  override name = "NotSupportedError";
  /** What is lacking. */
  readonly feature: string;
  /** The kernel release that has it, such as `"6.9"`, where a release is what is lacking. */
  readonly since: string | undefined;

  /**
   * Makes the error of one lacking feature.
   *
   * @param feature What is lacking: the subject of the message.
   * @param options The kernel release that has it, or another reason, and the cause.
   */
  constructor(feature: string, options: ErrorOptions & { since?: string; reason?: string } = {}) {
    const reason = options.reason ?? "the running kernel does not have it";
    const since = options.since === undefined ? "" : `; Linux ${options.since} has it`;
    super(`Cannot use ${feature}: ${reason}${since}`, options);
    this.feature = feature;
    this.since = options.since;
  }
}

/** The number of the log's last lines that a {@link VerifierError} shows in its message. */
const SHOWN_LOG_LINES = 12;

/** The verifier refused a program (or the kernel a BTF object), with the log that says why. */
export class VerifierError extends SyscallError {
  /** The class's name, `"VerifierError"`. */
  override name = "VerifierError";
  /** The whole log. */
  readonly log: string;
  #report: VerifierReport | undefined;

  /**
   * Makes the error of one refused program.
   *
   * @param init As for a {@link SyscallError}.
   * @param log The whole log.
   */
  constructor(init: SyscallErrorInit, log: string) {
    const lines = log.trimEnd().split("\n");
    const tail = lines.slice(-SHOWN_LOG_LINES).map((line) => `\n  ${line}`).join("");
    const cut = lines.length > SHOWN_LOG_LINES ? `\n  … ${lines.length - SHOWN_LOG_LINES} lines above` : "";
    super(init);
    this.log = log;
    if (log !== "") this.message += `${cut}${tail}`;
  }
  /** The log, read: the instruction, its source line, the registers, the reason, and what the verifier counted. */
  get report(): VerifierReport {
    return this.#report ??= parseVerifierLog(this.log);
  }

  /** The few lines of the log that matter. */
  get summary(): string {
    return this.report.summary;
  }
}
