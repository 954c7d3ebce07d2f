/** Answers to probes: yes, no, or that it could not be told; only the first two are kept. */

import { NotSupportedError, PermissionError, SyscallError, VerifierError } from "../errors.ts";
import { errnos } from "../uapi/errno.gen.ts";

/** What an attempt gave. */
export interface Attempt {
  /** 0, or the error's number; undefined where it was not tried, or refused for want of privilege. */
  readonly errno: number | undefined;
  /** The verifier's log; empty where there is none. */
  readonly log: string;
}

const known = new Map<string, boolean>();

/** An answer that is kept for as long as the process lives. */
export function cached(key: string, probe: () => boolean | undefined): boolean | undefined {
  const kept = known.get(key);
  if (kept !== undefined) return kept;
  const answer = probe();
  if (answer !== undefined) known.set(key, answer);
  return answer;
}

/** Forgets all answers, for tests. */
export function forgetAnswers(): void {
  known.clear();
}

/** Errors that are no answer: they may be gone the next time, or with more privilege. */
const INCONCLUSIVE: ReadonlySet<number> = new Set([
  errnos.EPERM,
  errnos.EACCES,
  errnos.ENOMEM,
  errnos.EMFILE,
  errnos.ENFILE,
  errnos.EAGAIN,
  errnos.EINTR,
]);

/** Tries something; what it makes is closed. */
export function attempt(make: () => { close(): void } | void): Attempt {
  try {
    make()?.close();
    return { errno: 0, log: "" };
  } catch (error) {
    if (error instanceof PermissionError) return { errno: undefined, log: "" };
    const cause = error instanceof NotSupportedError ? error.cause : error;
    if (cause instanceof VerifierError) return { errno: cause.errno, log: cause.log };
    if (!(cause instanceof SyscallError)) throw error;
    return { errno: cause.errno, log: "" };
  }
}

/** What an attempt says where it succeeds exactly on kernels that have the feature. */
export function yesOrNo({ errno, log }: Attempt): boolean | undefined {
  if (errno === 0) return true;
  if (errno === undefined || (log === "" && INCONCLUSIVE.has(errno))) return undefined;
  return false;
}
