/**
 * The one gate to the kernel. Every system call of the library passes the {@link Kernel} object, which returns a
 * number ≥ 0 or −errno; errno is read here, right after the call, and nowhere else.
 *
 * @module
 */

import { BPF_COMMON_ATTRS } from "../uapi/constants.gen.ts";
import { commands } from "../uapi/enums.gen.ts";
import { errnos } from "../uapi/errno.gen.ts";
import { type Libc, libc, syscallNumber } from "./libc.ts";

/** Bytes in memory that JavaScript owns. */
export type Bytes = Uint8Array<ArrayBuffer>;

/** The system calls that the library makes: each answers a number ≥ 0 or −errno. */
export interface Kernel {
  /** bpf(2): the command's number, the attr, and how many of its bytes count. */
  bpf(cmd: number, attr: Bytes, size: number): number;
  /**
   * bpf(2) with what all commands share, a `struct bpf_common_attr`: BPF_COMMON_ATTRS. Kernels before 7.2 do not know it,
   * and say EINVAL.
   */
  bpfCommon(cmd: number, attr: Bytes, common: Bytes): number;
  /** perf_event_open(2). */
  perfEventOpen(attr: Bytes, pid: number, cpu: number, groupFd: number, flags: number): number;
  /** capget(2): header and data as the kernel's version 3 lays them out. */
  capget(header: Bytes, data: Bytes): number;
  /** prlimit(2) on the own process: two u64, soft and hard, to set, to get, or both. */
  prlimit(resource: number, set: Bytes | null, get: Bytes | null): number;
  /** statx(2) of a path, or of the fd itself where the path is empty and `flags` has AT_EMPTY_PATH. */
  statx(dirFd: number, path: string, flags: number, mask: number, buffer: Bytes): number;
  /** open(2). */
  open(path: string, flags: number, mode: number): number;
  /** openat(2). */
  openAt(dirFd: number, path: string, flags: number): number;
  /** readlinkat(2) into all of `buffer`. */
  readlinkAt(dirFd: number, path: string, buffer: Bytes): number;
  /** read(2) into all of `buffer`. */
  read(fd: number, buffer: Bytes): number;
  /** readlink(2) into all of `buffer`. */
  readlink(path: string, buffer: Bytes): number;
  /** mkdir(2). */
  mkdir(path: string, mode: number): number;
  /** rmdir(2). */
  rmdir(path: string): number;
  /** unlink(2). */
  unlink(path: string): number;
  /** mount(2), with options as text. */
  mount(source: string, target: string, type: string, flags: number, options: string): number;
  /** getdents64(2) into all of `buffer`. */
  getdents(fd: number, buffer: Bytes): number;
  /** write(2) of all of `buffer`. */
  write(fd: number, buffer: Bytes): number;
  /** close(2), which is not repeated after EINTR: Linux has closed the fd by then. */
  close(fd: number): number;
  /** fcntl(2) with an integer argument. */
  fcntl(fd: number, cmd: number, argument: number): number;
  /** ioctl(2) with an integer argument or a buffer. */
  ioctl(fd: number, request: number, argument: number | Bytes): number;
  /** socket(2). */
  socket(domain: number, type: number, protocol: number): number;
  /** setsockopt(2). */
  setsockopt(fd: number, level: number, name: number, value: Bytes): number;
  /** getsockopt(2): answers the length that the kernel wrote. */
  getsockopt(fd: number, level: number, name: number, value: Bytes): number;
  /** socketpair(2): writes two descriptors. */
  socketpair(domain: number, type: number, protocol: number, fds: Bytes): number;
  /** bind(2). */
  bind(fd: number, address: Bytes): number;
  /** connect(2). */
  connect(fd: number, address: Bytes): number;
  /** listen(2). */
  listen(fd: number, backlog: number): number;
  /** accept4(2), without the peer's address. */
  accept(fd: number, flags: number): number;
  /** sendmsg(2): a struct msghdr, whose pointers the caller keeps alive. */
  sendmsg(fd: number, message: Bytes, flags: number): number;
  /** recvmsg(2): a struct msghdr, whose pointers the caller keeps alive. */
  recvmsg(fd: number, message: Bytes, flags: number): number;
  /** pidfd_open(2). */
  pidfdOpen(pid: number, flags: number): number;
  /** pidfd_getfd(2). */
  pidfdGetfd(pidfd: number, fd: number, flags: number): number;
  /** getsockname(2): answers the length that the kernel would write. */
  getsockname(fd: number, address: Bytes): number;
  /** getpeername(2): answers the length that the kernel would write. */
  getpeername(fd: number, address: Bytes): number;
  /** if_nametoindex(3): the index, 0 or less where there is no such interface. */
  ifNameToIndex(name: string): number;
  /** eventfd(2). */
  eventfd(initial: number, flags: number): number;
  /** epoll_create1(2). */
  epollCreate(flags: number): number;
  /** epoll_ctl(2): `event` is a packed struct epoll_event, or null to delete. */
  epollCtl(epollFd: number, op: number, fd: number, event: Bytes | null): number;
  /** epoll_wait(2) that does not wait. */
  epollPoll(epollFd: number, events: Bytes, maxEvents: number): number;
  /**
   * epoll_wait(2) on another thread, whose errno is not ours: −1 says only that it failed. The caller keeps `events`
   * and the fds alive until the promise settles.
   */
  epollWait(epollFd: number, events: Bytes, maxEvents: number, timeoutMs: number): Promise<number>;
  /**
   * mmap(2) of `fd`, with MAP_SHARED or MAP_PRIVATE, at an address of the kernel's choice or near one that is given: the
   * address, or −errno.
   */
  mmap(
    length: number,
    prot: number,
    flags: number,
    fd: number,
    offset: number,
    near?: bigint,
  ): Deno.PointerObject | number;
  /** munmap(2). */
  munmap(address: Deno.PointerObject, length: number): number;
  /** sysconf(3). */
  sysconf(name: number): number;
}

/** The flags that {@linkcode Kernel.mmap} takes: whether what is written there is seen by others. */
export const MAP_SHARED = 1;
export const MAP_PRIVATE = 2;
const MAP_FAILED = 0xffff_ffff_ffff_ffffn;

/** How often BPF_PROG_LOAD is tried while the verifier gives up because of pending signals: libbpf's number. */
const PROG_LOAD_ATTEMPTS = 5;

/** The size of struct statx. */
const STATX_SIZE = 256;

/** The size of struct msghdr on 64-bit machines. */
export const MSGHDR_SIZE = 56;

/** The size of struct epoll_event, which the kernel packs on x86-64 only. */
export const EPOLL_EVENT_SIZE: number = Deno.build.arch === "x86_64" ? 12 : 16;

const encoder = new TextEncoder();

function checkMessage(message: Bytes): void {
  if (message.length !== MSGHDR_SIZE) {
    throw new RangeError(`Cannot call sendmsg(2) or recvmsg(2): a struct msghdr has ${MSGHDR_SIZE} bytes`);
  }
}

function checkEvents(events: Bytes, maxEvents: number): void {
  if (maxEvents * EPOLL_EVENT_SIZE > events.length) {
    throw new RangeError(`Cannot call epoll_wait(2): ${maxEvents} events do not fit ${events.length} bytes`);
  }
}

/** Characters up to which bytes are written here: asking the encoder costs more than they do. */
const SHORT = 16;

/** A short string of ASCII characters, as the names in /proc are; undefined for any other. */
function shortCString(text: string): Bytes | undefined {
  if (text.length > SHORT) return undefined;
  const bytes = new Uint8Array(text.length + 1);
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 0 || code > 0x7f) return undefined;
    bytes[at] = code;
  }
  return bytes;
}

function longCString(text: string): Bytes {
  if (text.includes("\0")) throw new TypeError("Cannot pass a string to the kernel: it contains a NUL character");
  return encoder.encode(`${text}\0`);
}

/**
 * A string as C takes it.
 *
 * @param text The text, without NUL.
 * @returns Its UTF-8 bytes and a NUL.
 * @throws {TypeError} For a text that contains NUL, which C would cut short.
 */
export function cString(text: string): Bytes {
  return shortCString(text) ?? longCString(text);
}

/** The running kernel, through libc. */
export class LibcKernel implements Kernel {
  readonly #libc: Libc;
  readonly #symbols: Libc["symbols"];
  readonly #errno: Int32Array;
  readonly #bpf: number = syscallNumber("bpf");
  readonly #perfEventOpen: number = syscallNumber("perf_event_open");
  readonly #capget: number = syscallNumber("capget");
  readonly #prlimit: number = syscallNumber("prlimit64");
  readonly #statx: number = syscallNumber("statx");
  readonly #getdents64: number = syscallNumber("getdents64");
  readonly #pidfdOpen: number = syscallNumber("pidfd_open");
  readonly #pidfdGetfd: number = syscallNumber("pidfd_getfd");

  /**
   * Makes the gate.
   *
   * @param libc The C library's functions, and the thread's errno.
   */
  constructor(libc: Libc) {
    this.#libc = libc;
    this.#symbols = libc.symbols;
    this.#errno = libc.errno;
  }

  get #more(): Libc["more"] {
    return this.#libc.more;
  }

  /** The result of a call, or −errno: to be called on the result directly, before anything else can run. */
  #answer(result: number): number {
    return result === -1 ? -this.#errno[0] : result;
  }

  bpf(cmd: number, attr: Bytes, size: number): number {
    if (size > attr.length) {
      throw new RangeError(`Cannot call bpf(2): size ${size} is past the ${attr.length} bytes of attr`);
    }
    let attempts = 1;
    while (true) {
      const result = this.#symbols.bpf(this.#bpf, cmd, attr, size);
      if (result >= 0) return result;
      const errno = this.#errno[0];
      if (errno === errnos.EINTR) continue;
      if (errno === errnos.EAGAIN && cmd === commands.prog_load && attempts++ < PROG_LOAD_ATTEMPTS) continue;
      return -errno;
    }
  }

  bpfCommon(cmd: number, attr: Bytes, common: Bytes): number {
    return this.#retry(() =>
      this.#more.bpf_common(this.#bpf, cmd | BPF_COMMON_ATTRS, attr, attr.length, common, common.length)
    );
  }

  perfEventOpen(attr: Bytes, pid: number, cpu: number, groupFd: number, flags: number): number {
    return this.#answer(this.#more.perf_event_open(this.#perfEventOpen, attr, pid, cpu, groupFd, flags));
  }

  capget(header: Bytes, data: Bytes): number {
    return this.#answer(this.#symbols.capget(this.#capget, header, data));
  }

  prlimit(resource: number, set: Bytes | null, get: Bytes | null): number {
    return this.#answer(this.#more.prlimit(this.#prlimit, 0, resource, set, get));
  }

  statx(dirFd: number, path: string, flags: number, mask: number, buffer: Bytes): number {
    if (buffer.length < STATX_SIZE) {
      throw new RangeError(`Cannot call statx(2): the buffer has under ${STATX_SIZE} bytes`);
    }
    return this.#answer(this.#symbols.statx(this.#statx, dirFd, cString(path), flags, mask, buffer));
  }

  open(path: string, flags: number, mode: number): number {
    const bytes = cString(path);
    return this.#retry(() => this.#symbols.open(bytes, flags, mode));
  }

  openAt(dirFd: number, path: string, flags: number): number {
    return this.#answer(this.#symbols.openat(dirFd, cString(path), flags, 0));
  }

  readlinkAt(dirFd: number, path: string, buffer: Bytes): number {
    return this.#answer(this.#symbols.readlinkat(dirFd, cString(path), buffer, buffer.length));
  }

  read(fd: number, buffer: Bytes): number {
    return this.#retry(() => this.#symbols.read(fd, buffer, buffer.length));
  }

  readlink(path: string, buffer: Bytes): number {
    return this.#answer(this.#symbols.readlink(cString(path), buffer, buffer.length));
  }

  mkdir(path: string, mode: number): number {
    return this.#answer(this.#more.mkdir(cString(path), mode));
  }

  rmdir(path: string): number {
    return this.#answer(this.#more.rmdir(cString(path)));
  }

  unlink(path: string): number {
    return this.#answer(this.#more.unlink(cString(path)));
  }

  mount(source: string, target: string, type: string, flags: number, options: string): number {
    const [from, to, name, data] = [source, target, type, options].map(cString);
    return this.#answer(this.#more.mount(from, to, name, BigInt(flags), data));
  }

  getdents(fd: number, buffer: Bytes): number {
    return this.#retry(() => this.#symbols.getdents64(this.#getdents64, fd, buffer, buffer.length));
  }

  write(fd: number, buffer: Bytes): number {
    return this.#retry(() => this.#more.write(fd, buffer, buffer.length));
  }

  close(fd: number): number {
    return this.#answer(this.#symbols.close(fd));
  }

  fcntl(fd: number, cmd: number, argument: number): number {
    return this.#retry(() => this.#symbols.fcntl(fd, cmd, argument));
  }

  ioctl(fd: number, request: number, argument: number | Bytes): number {
    return this.#retry(() =>
      typeof argument === "number"
        ? this.#more.ioctl(fd, BigInt(request), BigInt(argument))
        : this.#more.ioctl_buffer(fd, BigInt(request), argument)
    );
  }

  socket(domain: number, type: number, protocol: number): number {
    return this.#answer(this.#more.socket(domain, type, protocol));
  }

  setsockopt(fd: number, level: number, name: number, value: Bytes): number {
    return this.#answer(this.#more.setsockopt(fd, level, name, value, value.length));
  }

  getsockopt(fd: number, level: number, name: number, value: Bytes): number {
    const length = new Uint32Array([value.length]);
    const result = this.#answer(this.#more.getsockopt(fd, level, name, value, length));
    return result < 0 ? result : length[0];
  }

  socketpair(domain: number, type: number, protocol: number, fds: Bytes): number {
    if (fds.length < 8) throw new RangeError("Cannot call socketpair(2): two descriptors take 8 bytes");
    return this.#answer(this.#more.socketpair(domain, type, protocol, fds));
  }

  bind(fd: number, address: Bytes): number {
    return this.#answer(this.#more.bind(fd, address, address.length));
  }

  connect(fd: number, address: Bytes): number {
    return this.#retry(() => this.#more.connect(fd, address, address.length));
  }

  listen(fd: number, backlog: number): number {
    return this.#answer(this.#more.listen(fd, backlog));
  }

  accept(fd: number, flags: number): number {
    return this.#retry(() => this.#more.accept4(fd, null, null, flags));
  }

  sendmsg(fd: number, message: Bytes, flags: number): number {
    checkMessage(message);
    return this.#retry(() => this.#more.sendmsg(fd, message, flags));
  }

  recvmsg(fd: number, message: Bytes, flags: number): number {
    checkMessage(message);
    return this.#retry(() => this.#more.recvmsg(fd, message, flags));
  }

  pidfdOpen(pid: number, flags: number): number {
    return this.#answer(this.#more.pidfd_open(this.#pidfdOpen, pid, flags));
  }

  pidfdGetfd(pidfd: number, fd: number, flags: number): number {
    return this.#answer(this.#more.pidfd_getfd(this.#pidfdGetfd, pidfd, fd, flags));
  }

  getsockname(fd: number, address: Bytes): number {
    const length = new Uint32Array([address.length]);
    const result = this.#answer(this.#more.getsockname(fd, address, length));
    return result < 0 ? result : length[0];
  }

  getpeername(fd: number, address: Bytes): number {
    const length = new Uint32Array([address.length]);
    const result = this.#answer(this.#more.getpeername(fd, address, length));
    return result < 0 ? result : length[0];
  }

  ifNameToIndex(name: string): number {
    return this.#more.if_nametoindex(cString(name));
  }

  eventfd(initial: number, flags: number): number {
    return this.#answer(this.#more.eventfd(initial, flags));
  }

  epollCreate(flags: number): number {
    return this.#answer(this.#more.epoll_create1(flags));
  }

  epollCtl(epollFd: number, op: number, fd: number, event: Bytes | null): number {
    return this.#answer(this.#more.epoll_ctl(epollFd, op, fd, event));
  }

  epollPoll(epollFd: number, events: Bytes, maxEvents: number): number {
    checkEvents(events, maxEvents);
    return this.#retry(() => this.#more.epoll_wait(epollFd, events, maxEvents, 0));
  }

  epollWait(epollFd: number, events: Bytes, maxEvents: number, timeoutMs: number): Promise<number> {
    checkEvents(events, maxEvents);
    return this.#more.epoll_wait_async(epollFd, events, maxEvents, timeoutMs);
  }

  mmap(
    length: number,
    prot: number,
    flags: number,
    fd: number,
    offset: number,
    near = 0n,
  ): Deno.PointerObject | number {
    if ((flags & ~(MAP_SHARED | MAP_PRIVATE)) !== 0) throw new RangeError(`Cannot call mmap(2): flags ${flags}`);
    // SAFETY: without MAP_FIXED the address is no more than a hint: nothing that is mapped is replaced.
    const hint = Deno.UnsafePointer.create(near);
    const address = this.#symbols.mmap(hint, BigInt(length), prot, flags, fd, BigInt(offset));
    const errno = this.#errno[0];
    // SAFETY: reads the pointer's number only, to tell MAP_FAILED from an address.
    if (address === null || Deno.UnsafePointer.value(address) === MAP_FAILED) return -errno;
    return address;
  }

  munmap(address: Deno.PointerObject, length: number): number {
    return this.#answer(this.#symbols.munmap(address, BigInt(length)));
  }

  sysconf(name: number): number {
    return this.#answer(this.#symbols.sysconf(name));
  }

  /** Repeats a call that a signal interrupted. */
  #retry(call: () => number): number {
    while (true) {
      const result = call();
      if (result !== -1) return result;
      const errno = this.#errno[0];
      if (errno !== errnos.EINTR) return -errno;
    }
  }
}

let current: Kernel | undefined;

/**
 * The kernel: the running one, through libc, unless a test swapped it.
 *
 * @returns The gate that every system call passes.
 * @throws {NotSupportedError} On another system than Linux, or another architecture than x86-64 and arm64.
 * @throws {Deno.errors.NotCapable} Without `--allow-ffi`.
 */
export function kernel(): Kernel {
  return current ??= new LibcKernel(libc());
}

/**
 * Puts another kernel in place of the running one, for tests.
 *
 * @param replacement The fake, or undefined for the running kernel.
 * @returns The kernel that was in place before, to be put back.
 */
export function swapKernel(replacement: Kernel | undefined): Kernel | undefined {
  const before = current;
  current = replacement;
  return before;
}
