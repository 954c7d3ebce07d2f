/**
 * Waiting for file descriptors to become readable, off the main thread, until one is or the wait is woken.
 *
 * @module
 */

import { SyscallError } from "../errors.ts";
import { Fd, fdNumber, type FdSource } from "./fd.ts";
import { kernel } from "./kernel.ts";
import { EPOLL_EVENT_SIZE } from "./libc_kernel.ts";
import { allocate, LITTLE_ENDIAN } from "./memory.ts";

const EPOLL_CLOEXEC = 0o2000000;
const EPOLL_CTL_ADD = 1;
const EPOLLIN = 1;
const EPOLLOUT = 4;
const EFD_CLOEXEC = 0o2000000;
const EFD_NONBLOCK = 0o4000;

const MAX_EVENTS = 16;

function checked(result: number, command: string): number {
  if (result < 0) throw new SyscallError({ command, errno: -result, action: "wait for events" });
  return result;
}

/** An epoll set that one waiter at a time waits on, and that anybody can wake. */
export class Epoll implements Disposable {
  readonly #epoll: Fd;
  readonly #wakeUp: Fd;
  readonly #events = allocate(MAX_EVENTS * EPOLL_EVENT_SIZE);
  #waiting: Promise<number> | undefined;

  /**
   * Makes a set.
   *
   * @param sources The descriptors to wait for. The caller keeps them open.
   * @param writable Whether they are waited for to be writable instead of readable.
   * @throws {SyscallError} Where the process has no descriptors left, or one of them cannot be waited for.
   */
  constructor(sources: readonly FdSource[], writable = false) {
    this.#epoll = Fd.own(checked(kernel().epollCreate(EPOLL_CLOEXEC), "epoll_create1"));
    try {
      this.#wakeUp = Fd.own(checked(kernel().eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd"));
    } catch (error) {
      this.#epoll.close();
      throw error;
    }
    try {
      this.#add(this.#wakeUp.fd, EPOLLIN);
      for (const source of sources) this.#add(fdNumber(source, "fd"), writable ? EPOLLOUT : EPOLLIN);
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  #add(fd: number, events: number): void {
    const event = allocate(EPOLL_EVENT_SIZE);
    new DataView(event.buffer).setUint32(0, events, LITTLE_ENDIAN);
    checked(kernel().epollCtl(this.#epoll.fd, EPOLL_CTL_ADD, fd, event), "epoll_ctl");
  }

  /**
   * Waits until a descriptor is readable, {@link Epoll.wake} is called, or the time is over.
   *
   * @param timeoutMs The time in milliseconds; −1 waits forever.
   * @returns Settles once the wait is over, whatever ended it.
   */
  async wait(timeoutMs = -1): Promise<void> {
    if (this.#waiting !== undefined) throw new TypeError("Cannot wait for events: another wait is under way");
    this.#waiting = kernel().epollWait(this.#epoll.fd, this.#events, MAX_EVENTS, timeoutMs);
    try {
      await this.#waiting;
    } finally {
      this.#waiting = undefined;
    }
  }

  /** Ends the wait that is under way, and every later one at once. */
  wake(): void {
    if (this.#wakeUp.closed) return;
    const one = allocate(8);
    new DataView(one.buffer).setBigUint64(0, 1n, LITTLE_ENDIAN);
    kernel().write(this.#wakeUp.fd, one);
  }

  /** Wakes the wait that is under way, and closes the set once it has returned. */
  [Symbol.dispose](): void {
    const close = (): void => {
      this.#epoll.close();
      this.#wakeUp?.close();
    };
    if (this.#waiting === undefined) return close();
    this.wake();
    this.#waiting.finally(close);
  }
}
