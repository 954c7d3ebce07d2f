/**
 * The one gate to the kernel. Every system call of the library passes the {@link Kernel} object, which returns a
 * number ≥ 0 or −errno.
 *
 * @module
 */

import { libc } from "./libc.ts";
import { LibcKernel } from "./libc_kernel.ts";

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
