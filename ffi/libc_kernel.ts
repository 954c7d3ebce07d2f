/**
 * The running kernel, through the C library. errno is read here, right after the call, and nowhere else.
 *
 * @module
 */

import { BPF_COMMON_ATTRS } from "../uapi/constants.gen.ts";
import { commands } from "../uapi/enums.gen.ts";
import { errnos } from "../uapi/errno.gen.ts";
import type { Bytes, Kernel } from "./kernel.ts";
import { type Libc, syscallNumber } from "./libc.ts";
import { cString } from "./memory.ts";

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
