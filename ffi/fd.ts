/**
 * Owned file descriptors: close-on-exec, never 0, 1 or 2, closed once, and closed by the garbage collector where the
 * user forgot.
 *
 * @module
 */

import { SyscallError } from "../errors.ts";
import { kernel } from "./kernel.ts";

const F_DUPFD_CLOEXEC = 1030;
const F_GETFD = 1;
const F_SETFD = 2;
const FD_CLOEXEC = 1;

/** A file descriptor that the caller keeps open: an owned one, anything that carries one, or a bare number. */
export type FdSource = number | { readonly fd: number };

interface LedgerEntry {
  readonly fd: number;
  readonly stack: string;
}

let ledger: Map<number, LedgerEntry> | undefined;

/** Starts to remember where each open {@link Fd} was made, for tests. */
export function enableLedger(): void {
  ledger ??= new Map();
}

/**
 * The owned fds that are open, since {@link enableLedger} was called.
 *
 * @returns Each fd with the stack of the call that made it.
 */
export function openFds(): readonly LedgerEntry[] {
  return ledger === undefined ? [] : [...ledger.values()];
}

const forgotten = new FinalizationRegistry<number>((fd) => {
  ledger?.delete(fd);
  kernel().close(fd);
});

/**
 * The number of a file descriptor that the caller keeps open.
 *
 * @param source An owned fd, anything that carries one, or a bare number.
 * @param argument What the caller named it, for the message.
 * @returns The number.
 * @throws {TypeError} Where it is no fd, or a closed one.
 */
export function fdNumber(source: FdSource, argument: string): number {
  if (source instanceof Fd) return source.as(argument);
  const number = typeof source === "number" ? source : source?.fd;
  if (!Number.isInteger(number) || number < 0 || number > 0x7fffffff) {
    throw new TypeError(`Cannot use ${argument}: ${String(number)} is not a file descriptor`);
  }
  return number;
}

/**
 * A file descriptor that a system call just returned, moved up where it is one of the standard streams: what writes to
 * those must never reach it.
 *
 * @param fd The descriptor.
 * @returns It, or the one that it was moved to.
 * @throws {SyscallError} Where it cannot be moved; it is closed then.
 */
export function aboveStandard(fd: number): number {
  if (fd > 2) return fd;
  const moved = kernel().fcntl(fd, F_DUPFD_CLOEXEC, 3);
  kernel().close(fd);
  if (moved < 0) throw new SyscallError({ command: "fcntl", errno: -moved, action: "move a file descriptor above 2" });
  return moved;
}

/** A file descriptor that this object owns. */
export class Fd implements Disposable {
  #fd: number;
  #closedBecause = "it is closed";

  private constructor(fd: number) {
    this.#fd = fd;
    forgotten.register(this, fd, this);
    ledger?.set(fd, { fd, stack: new Error().stack ?? "" });
  }

  /**
   * Takes ownership of a file descriptor that a system call just returned.
   *
   * @param fd The descriptor, which nobody else closes. 0, 1 and 2 are moved up.
   * @returns Its owner.
   * @throws {SyscallError} Where a descriptor below 3 cannot be moved; it is closed then.
   */
  static own(fd: number): Fd {
    return new Fd(aboveStandard(fd));
  }

  /**
   * The descriptor's number, for as long as this object is open.
   *
   * @throws {TypeError} Where it is closed.
   */
  get fd(): number {
    return this.as("a file descriptor");
  }

  /**
   * The descriptor's number, for a named purpose.
   *
   * @param argument What the caller named it, for the message.
   * @returns The number.
   * @throws {TypeError} Where it is closed.
   */
  as(argument: string): number {
    if (this.#fd < 0) throw new TypeError(`Cannot use ${argument}: ${this.#closedBecause}`);
    return this.#fd;
  }

  /** Whether it is closed. */
  get closed(): boolean {
    return this.#fd < 0;
  }

  /**
   * A second descriptor for the same object, close-on-exec too.
   *
   * @returns Its owner.
   * @throws {SyscallError} Where the process has no descriptor left (EMFILE).
   */
  dup(): Fd {
    const copy = kernel().fcntl(this.fd, F_DUPFD_CLOEXEC, 3);
    if (copy < 0) {
      throw new SyscallError({ command: "fcntl", errno: -copy, action: "duplicate a file descriptor" });
    }
    return new Fd(copy);
  }

  /**
   * Whether the descriptor passes to programs that this process executes. Descriptors start out not to.
   *
   * @param inheritable True to clear close-on-exec, false to set it.
   * @throws {SyscallError} Where fcntl(2) fails.
   */
  setInheritable(inheritable: boolean): void {
    const flags = kernel().fcntl(this.fd, F_GETFD, 0);
    const result = flags < 0
      ? flags
      : kernel().fcntl(this.fd, F_SETFD, inheritable ? flags & ~FD_CLOEXEC : flags | FD_CLOEXEC);
    if (result < 0) {
      throw new SyscallError({ command: "fcntl", errno: -result, action: "change close-on-exec" });
    }
  }

  /**
   * Closes the descriptor; a second call does nothing.
   *
   * @param reason What a later use is told, after "Cannot use a file descriptor:".
   */
  close(reason = "it is closed"): void {
    if (this.#fd < 0) return;
    const fd = this.#fd;
    this.#fd = -1;
    this.#closedBecause = reason;
    forgotten.unregister(this);
    ledger?.delete(fd);
    // An error of close(2) leaves nothing to do: the descriptor is gone on Linux even then.
    kernel().close(fd);
  }

  /** Closes the descriptor. */
  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * A second descriptor for what a caller has open, close-on-exec.
 *
 * @param source The descriptor, which stays the caller's.
 * @param argument What the caller named it, for the message.
 * @returns The owner of the second one.
 * @throws {TypeError} Where it is no fd, or a closed one.
 * @throws {SyscallError} EBADF where no file is open under the number; EMFILE where the process has none left.
 */
export function duplicateFd(source: FdSource, argument: string): Fd {
  const copy = kernel().fcntl(fdNumber(source, argument), F_DUPFD_CLOEXEC, 3);
  if (copy < 0) throw new SyscallError({ command: "fcntl", errno: -copy, action: "duplicate a file descriptor" });
  return Fd.own(copy);
}
