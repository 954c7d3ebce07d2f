/**
 * Passing file descriptors between processes: over UNIX sockets (SCM_RIGHTS), and out of another process (pidfd_getfd).
 *
 * @module
 */

import { NotSupportedError, SyscallError } from "../errors.ts";
import { errnos } from "../uapi/errno.gen.ts";
import { Epoll } from "./epoll.ts";
import { Fd, fdNumber, type FdSource } from "./fd.ts";
import { Message } from "./_fd_message.ts";
import { type Bytes, kernel } from "./kernel.ts";
import { allocate, LITTLE_ENDIAN } from "./memory.ts";

const AF_UNIX = 1;
const SOCK_SEQPACKET = 5;
const SOCK_CLOEXEC = 0o2000000;
/** Neither connecting to a full queue nor accepting what somebody else took may hold up the main thread. */
const SOCK_NONBLOCK = 0o4000;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const MSG_CMSG_CLOEXEC = 0x40000000;
const MSG_CTRUNC = 8;
const MSG_TRUNC = 0x20;

/** The most descriptors that the kernel passes at once. C name: `SCM_MAX_FD`. */
const MAX_FDS = 253;
/** A UNIX socket's address: u16 family, then the path and a NUL. */
const MAX_PATH = 107;
const MAX_DATA = 65536;

/** What came over a channel. */
export interface FdMessage {
  /** The descriptors, close-on-exec, which the receiver owns. */
  readonly fds: readonly Fd[];
  /** What was sent along. */
  readonly data: Bytes;
}

/** What ends a wait. */
export interface ReceiveOptions {
  /** Ends the wait with the signal's reason. */
  signal?: AbortSignal | undefined;
}

function checked(result: number, command: string, action: string): number {
  if (result < 0) throw new SyscallError({ command, errno: -result, action });
  return result;
}

/** A path's socket address; one that starts with `@` is in the abstract namespace. */
function address(path: string): Bytes {
  const bytes = new TextEncoder().encode(path);
  if (bytes.length === 0 || bytes.length > MAX_PATH || bytes.includes(0)) {
    throw new RangeError(`Cannot use path: ${bytes.length} bytes are not from 1 to ${MAX_PATH}, without NUL`);
  }
  const whole = allocate(2 + bytes.length + 1);
  new DataView(whole.buffer).setUint16(0, AF_UNIX, LITTLE_ENDIAN);
  whole.set(bytes, 2);
  if (path.startsWith("@")) whole[2] = 0;
  return path.startsWith("@") ? whole.subarray(0, -1) : whole;
}

function newSocket(): Fd {
  const type = SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK;
  return Fd.own(checked(kernel().socket(AF_UNIX, type, 0), "socket", "make a UNIX socket"));
}

/** A socket that is waited for. */
class Socket {
  readonly fd: Fd;
  /** A descriptor that is closed wakes nobody by itself. */
  readonly #waiting = new Set<() => void>();

  constructor(fd: Fd) {
    this.fd = fd;
  }

  /** Waits until it is readable, or closed. */
  async readable({ signal }: ReceiveOptions): Promise<void> {
    signal?.throwIfAborted();
    using epoll = new Epoll([this.fd]);
    const wake = (): void => epoll.wake();
    signal?.addEventListener("abort", wake);
    this.#waiting.add(wake);
    try {
      await epoll.wait();
    } finally {
      signal?.removeEventListener("abort", wake);
      this.#waiting.delete(wake);
    }
    signal?.throwIfAborted();
  }

  close(): void {
    this.fd.close();
    for (const wake of this.#waiting) wake();
  }
}

/**
 * One end of a UNIX socket (SOCK_SEQPACKET) over which maps, programs, links and any other descriptors pass to another
 * process: each message arrives whole, with all of its descriptors.
 *
 * @example
 * ```ts
 * import { acquire, BpfMap, FdChannel, u32, u64 } from "@bpf/deno";
 *
 * const token = acquire("CAP_BPF");
 * using hits = BpfMap.create(token, { type: "hash", key: u32, value: u64, maxEntries: 16 });
 * const [here, there] = FdChannel.pair();
 * here.send([hits]);
 * const { fds: [fd] } = (await there.receive())!;
 * using same = BpfMap.open(token, { fd }, { type: "hash", key: u32, value: u64 });
 * console.log(same.count());
 * ```
 */
export class FdChannel implements Disposable {
  readonly #socket: Socket;
  readonly #sending = new Set<Message>();

  /**
   * Takes over a connected socket, such as one that was inherited.
   *
   * @param socket The socket, of type SOCK_SEQPACKET.
   */
  constructor(socket: Fd | number) {
    this.#socket = new Socket(typeof socket === "number" ? Fd.own(socket) : socket);
  }

  /**
   * Makes two connected ends, one of which is to be inherited by or passed to another process.
   *
   * @returns Both ends.
   * @throws {SyscallError} Where socketpair(2) fails.
   */
  static pair(): [FdChannel, FdChannel] {
    const fds = allocate(8);
    checked(
      kernel().socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds),
      "socketpair",
      "make a pair of UNIX sockets",
    );
    const view = new DataView(fds.buffer);
    const first = Fd.own(view.getInt32(0, LITTLE_ENDIAN));
    return [new FdChannel(first), new FdChannel(Fd.own(view.getInt32(4, LITTLE_ENDIAN)))];
  }

  /**
   * Connects to a listener.
   *
   * @param path The path; one that starts with `@` is in the abstract namespace.
   * @returns The connected end.
   * @throws {SyscallError} ENOENT and ECONNREFUSED where nobody listens there; EAGAIN where too many wait to be accepted.
   */
  static connect(path: string): FdChannel {
    const socket = newSocket();
    try {
      checked(kernel().connect(socket.fd, address(path)), "connect", `connect to ${path}`);
      return new FdChannel(socket);
    } catch (error) {
      socket.close();
      throw error;
    }
  }

  /** The socket's descriptor. */
  get fd(): number {
    return this.#socket.fd.as("channel");
  }

  /** The socket's owner, which can be made inheritable. */
  get descriptor(): Fd {
    return this.#socket.fd;
  }

  /**
   * Sends descriptors. They stay open here, too.
   *
   * @param fds The descriptors: maps, programs, links, or any other; 253 at most.
   * @param data What is sent along: 65,536 bytes at most. By default one zero.
   * @throws {RangeError} For more than that.
   * @throws {SyscallError} EPIPE where the other end is closed; EAGAIN where it does not read.
   */
  send(fds: readonly FdSource[], data: Bytes = allocate(1)): void {
    if (fds.length > MAX_FDS) {
      throw new RangeError(`Cannot send fds: ${fds.length} are more than the limit of ${MAX_FDS}`);
    }
    // A message without data would read as the end.
    if (data.length === 0 || data.length > MAX_DATA) {
      throw new RangeError(`Cannot send data: ${data.length} bytes are not from 1 to ${MAX_DATA}`);
    }
    const copy = allocate(data.length);
    copy.set(data);
    const message = new Message(copy, fds.length);
    message.setFds(fds.map((fd, index) => fdNumber(fd, `fds[${index}]`)));
    // Its bytes point at memory that it alone keeps: it has to be there until the call returns.
    this.#sending.add(message);
    const result = kernel().sendmsg(this.fd, message.bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
    this.#sending.delete(message);
    checked(result, "sendmsg", "send descriptors");
  }

  /**
   * Waits for a message, off the main thread.
   *
   * @param options What ends the wait.
   * @returns The message; undefined where the other end was closed.
   * @throws {unknown} The signal's reason, once it aborts.
   * @throws {TypeError} Where this end is closed, also meanwhile.
   * @throws {SyscallError} Where recvmsg(2) fails, or descriptors were lost for want of room in this process.
   */
  async receive(options: ReceiveOptions = {}): Promise<FdMessage | undefined> {
    const message = new Message(allocate(MAX_DATA), MAX_FDS);
    while (true) {
      const flags = MSG_DONTWAIT | MSG_CMSG_CLOEXEC;
      const length = kernel().recvmsg(this.fd, message.bytes, flags);
      if (length === -errnos.EAGAIN) {
        await this.#socket.readable(options);
        continue;
      }
      checked(length, "recvmsg", "receive descriptors");
      const fds = message.fds().map((fd) => Fd.own(fd));
      if ((message.flags & (MSG_CTRUNC | MSG_TRUNC)) !== 0) {
        for (const fd of fds) fd.close();
        throw new SyscallError({
          command: "recvmsg",
          errno: errnos.EMFILE,
          action: "receive descriptors",
          hint: "not all of them found room, and those that did were closed",
        });
      }
      if (length > 0) return { fds, data: message.data.slice(0, length) };
      // A message without data, which this library sends none of.
      for (const fd of fds) fd.close();
      return undefined;
    }
  }

  /** Closes this end. */
  close(): void {
    this.#socket.close();
  }

  /** Closes this end. */
  [Symbol.dispose](): void {
    this.close();
  }
}

/** A UNIX socket that others connect to. */
export class FdListener implements Disposable {
  readonly #socket: Socket;

  /**
   * Listens.
   *
   * @param path The path, which must not exist; one that starts with `@` is in the abstract namespace. Who removes it is
   * the caller.
   * @throws {SyscallError} EADDRINUSE where the path exists.
   */
  constructor(path: string) {
    const socket = newSocket();
    try {
      checked(kernel().bind(socket.fd, address(path)), "bind", `listen at ${path}`);
      checked(kernel().listen(socket.fd, 16), "listen", `listen at ${path}`);
      this.#socket = new Socket(socket);
    } catch (error) {
      socket.close();
      throw error;
    }
  }

  /**
   * Waits for somebody to connect, off the main thread.
   *
   * @param options What ends the wait.
   * @returns The connected end.
   * @throws {unknown} The signal's reason, once it aborts.
   * @throws {TypeError} Where the listener is closed, also meanwhile.
   */
  async accept(options: ReceiveOptions = {}): Promise<FdChannel> {
    while (true) {
      await this.#socket.readable(options);
      const result = kernel().accept(this.#socket.fd.as("listener"), SOCK_CLOEXEC);
      // Somebody else, who waited too, was faster.
      if (result === -errnos.EAGAIN) continue;
      return new FdChannel(Fd.own(checked(result, "accept4", "accept a connection")));
    }
  }

  /** Stops listening. */
  close(): void {
    this.#socket.close();
  }

  /** Stops listening. */
  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * A descriptor of a process, as bpf(2) wants it for task storage. Since Linux 5.3.
 *
 * @param pid The process.
 * @returns Its descriptor.
 * @throws {SyscallError} ESRCH where there is no such process.
 */
export function openPidfd(pid: number): Fd {
  return Fd.own(checked(kernel().pidfdOpen(pid, 0), "pidfd_open", `open process ${pid}`));
}

/**
 * Duplicates a descriptor of another process. Since Linux 5.6.
 *
 * @param pid The process.
 * @param fd The number that it has there.
 * @returns The duplicate, close-on-exec.
 * @throws {SyscallError} EPERM where this process may not trace the other; EBADF where it has no such descriptor.
 * @throws {NotSupportedError} Where the kernel is older.
 */
export function fdOfProcess(pid: number, fd: number): Fd {
  using pidfd = openPidfd(pid);
  const result = kernel().pidfdGetfd(pidfd.fd, fd, 0);
  if (result === -errnos.ENOSYS) throw new NotSupportedError("pidfd_getfd(2)", { since: "5.6" });
  return Fd.own(checked(result, "pidfd_getfd", `duplicate file descriptor ${fd} of process ${pid}`));
}
