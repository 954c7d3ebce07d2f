/**
 * The C library, opened at the first call: the one table of C symbols that the library uses.
 *
 * @module
 */

import { NotSupportedError } from "../errors.ts";
import { syscallNames } from "../uapi/syscalls.gen.ts";

/** glibc, then musl under the names that it installs its library as. */
const LIBRARY_NAMES = [
  "libc.so.6",
  `libc.musl-${Deno.build.arch}.so.1`,
  `/lib/ld-musl-${Deno.build.arch}.so.1`,
];

/*
 * Each symbol stands with its C declaration. `long` results that are small are taken as i32: a 64-bit result costs a
 * BigInt, and so would a `usize`: lengths, size_t in C, are u32, which both architectures' calls extend with zeros.
 * syscall(2) is variadic, but passes integers and pointers as a plain function does on x86-64 and arm64.
 *
 * Opening a symbol takes Deno a tenth of a millisecond: every program waits for the first ones, which all need; the
 * others are opened together when one of them is called.
 */
const FIRST_SYMBOLS = {
  // int *__errno_location(void);
  __errno_location: { parameters: [], result: "pointer" },
  // long syscall(SYS_bpf, int cmd, union bpf_attr *attr, unsigned int size);
  bpf: { name: "syscall", parameters: ["i32", "i32", "buffer", "u32"], result: "i32" },
  // long syscall(SYS_capget, cap_user_header_t hdrp, cap_user_data_t datap);
  capget: { name: "syscall", parameters: ["i32", "buffer", "buffer"], result: "i32" },
  // int open(const char *path, int flags, mode_t mode);
  open: { parameters: ["buffer", "i32", "u32"], result: "i32" },
  // int openat(int dirfd, const char *path, int flags, mode_t mode);
  openat: { parameters: ["i32", "buffer", "i32", "u32"], result: "i32" },
  // ssize_t read(int fd, void *buf, size_t count);
  read: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  // ssize_t readlink(const char *path, char *buf, size_t size);
  readlink: { parameters: ["buffer", "buffer", "u32"], result: "i32" },
  // ssize_t readlinkat(int dirfd, const char *path, char *buf, size_t size);
  readlinkat: { parameters: ["i32", "buffer", "buffer", "u32"], result: "i32" },
  // ssize_t syscall(SYS_getdents64, int fd, void *buf, size_t count);
  getdents64: { name: "syscall", parameters: ["i32", "i32", "buffer", "u32"], result: "i32" },
  // int close(int fd);
  close: { parameters: ["i32"], result: "i32" },
  // int fcntl(int fd, int cmd, int arg);
  fcntl: { parameters: ["i32", "i32", "i32"], result: "i32" },
  // long syscall(SYS_statx, int dirfd, const char *path, int flags, unsigned int mask, struct statx *statxbuf);
  statx: { name: "syscall", parameters: ["i32", "i32", "buffer", "i32", "u32", "buffer"], result: "i32" },
  // void *mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset);
  mmap: { parameters: ["pointer", "usize", "i32", "i32", "i32", "i64"], result: "pointer" },
  // int munmap(void *addr, size_t length);
  munmap: { parameters: ["pointer", "usize"], result: "i32" },
  // long sysconf(int name);
  sysconf: { parameters: ["i32"], result: "i32" },
} as const;

const MORE_SYMBOLS = {
  // long syscall(SYS_bpf, int cmd, union bpf_attr *attr, unsigned int size, struct bpf_common_attr *common,
  //              unsigned int common_size);
  bpf_common: { name: "syscall", parameters: ["i32", "i32", "buffer", "u32", "buffer", "u32"], result: "i32" },
  // long syscall(SYS_perf_event_open, struct perf_event_attr *attr, pid_t pid, int cpu, int group_fd, unsigned long flags);
  perf_event_open: { name: "syscall", parameters: ["i32", "buffer", "i32", "i32", "i32", "u32"], result: "i32" },
  // long syscall(SYS_prlimit64, pid_t pid, int resource, const struct rlimit64 *new, struct rlimit64 *old);
  prlimit: { name: "syscall", parameters: ["i32", "i32", "i32", "buffer", "buffer"], result: "i32" },
  // int mkdir(const char *path, mode_t mode);
  mkdir: { parameters: ["buffer", "u32"], result: "i32" },
  // int rmdir(const char *path);
  rmdir: { parameters: ["buffer"], result: "i32" },
  // int unlink(const char *path);
  unlink: { parameters: ["buffer"], result: "i32" },
  // int mount(const char *source, const char *target, const char *type, unsigned long flags, const void *data);
  mount: { parameters: ["buffer", "buffer", "buffer", "usize", "buffer"], result: "i32" },
  // ssize_t write(int fd, const void *buf, size_t count);
  write: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  // int ioctl(int fd, unsigned long request, unsigned long arg);
  ioctl: { parameters: ["i32", "usize", "usize"], result: "i32" },
  // int ioctl(int fd, unsigned long request, void *arg);
  ioctl_buffer: { name: "ioctl", parameters: ["i32", "usize", "buffer"], result: "i32" },
  // int socket(int domain, int type, int protocol);
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  // int setsockopt(int fd, int level, int name, const void *value, socklen_t size);
  setsockopt: { parameters: ["i32", "i32", "i32", "buffer", "u32"], result: "i32" },
  // int getsockopt(int fd, int level, int name, void *value, socklen_t *size);
  getsockopt: { parameters: ["i32", "i32", "i32", "buffer", "buffer"], result: "i32" },
  // int socketpair(int domain, int type, int protocol, int fds[2]);
  socketpair: { parameters: ["i32", "i32", "i32", "buffer"], result: "i32" },
  // int bind(int fd, const struct sockaddr *address, socklen_t size);
  bind: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  // int connect(int fd, const struct sockaddr *address, socklen_t size);
  connect: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  // int listen(int fd, int backlog);
  listen: { parameters: ["i32", "i32"], result: "i32" },
  // int accept4(int fd, struct sockaddr *address, socklen_t *size, int flags);
  accept4: { parameters: ["i32", "pointer", "pointer", "i32"], result: "i32" },
  // ssize_t sendmsg(int fd, const struct msghdr *message, int flags);
  sendmsg: { parameters: ["i32", "buffer", "i32"], result: "i32" },
  // ssize_t recvmsg(int fd, struct msghdr *message, int flags);
  recvmsg: { parameters: ["i32", "buffer", "i32"], result: "i32" },
  // long syscall(SYS_pidfd_open, pid_t pid, unsigned int flags);
  pidfd_open: { name: "syscall", parameters: ["i32", "i32", "u32"], result: "i32" },
  // long syscall(SYS_pidfd_getfd, int pidfd, int targetfd, unsigned int flags);
  pidfd_getfd: { name: "syscall", parameters: ["i32", "i32", "i32", "u32"], result: "i32" },
  // unsigned int if_nametoindex(const char *name);
  if_nametoindex: { parameters: ["buffer"], result: "i32" },
  // int getsockname(int fd, struct sockaddr *address, socklen_t *size);
  getsockname: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  // int getpeername(int fd, struct sockaddr *address, socklen_t *size);
  getpeername: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  // int eventfd(unsigned int initval, int flags);
  eventfd: { parameters: ["u32", "i32"], result: "i32" },
  // int epoll_create1(int flags);
  epoll_create1: { parameters: ["i32"], result: "i32" },
  // int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event);
  epoll_ctl: { parameters: ["i32", "i32", "i32", "buffer"], result: "i32" },
  // int epoll_wait(int epfd, struct epoll_event *events, int maxevents, int timeout);
  epoll_wait: { parameters: ["i32", "buffer", "i32", "i32"], result: "i32" },
  // The same on another thread, for waits that may block.
  epoll_wait_async: {
    name: "epoll_wait",
    parameters: ["i32", "buffer", "i32", "i32"],
    result: "i32",
    nonblocking: true,
  },
} as const;

/** The functions of the C library that every program needs, by the names of the table above. */
export type LibcSymbols = Deno.DynamicLibrary<typeof FIRST_SYMBOLS>["symbols"];

/** The other functions of the C library that the library uses. */
export type MoreLibcSymbols = Deno.DynamicLibrary<typeof MORE_SYMBOLS>["symbols"];

/** The opened C library. */
export interface Libc {
  /** The functions that every program needs. */
  readonly symbols: LibcSymbols;
  /** The others, opened when they are first asked for. */
  readonly more: MoreLibcSymbols;
  /** The thread's errno, as one element. */
  readonly errno: Int32Array;
}

let opened: Libc | undefined;

/**
 * The C library of the running process, opened at the first call.
 *
 * @returns Its functions, and a view of errno.
 * @throws {NotSupportedError} On another system than Linux, or another architecture than x86-64 and arm64.
 * @throws {Deno.errors.NotCapable} Without `--allow-ffi`.
 */
export function libc(): Libc {
  return opened ??= open();
}

/**
 * The number of a system call on this architecture.
 *
 * @param name The call's name, such as `"bpf"`.
 * @returns Its number.
 * @throws {NotSupportedError} On an architecture whose numbers are not known.
 */
export function syscallNumber(name: string): number {
  const number = (syscallNames[Deno.build.arch] ?? []).indexOf(name);
  if (number < 0) throw new NotSupportedError(`system call ${name}`, { reason: unsupported() });
  return number;
}

function unsupported(): string {
  return `@bpf/deno runs on Linux on x86-64 and arm64, and this is ${Deno.build.os} on ${Deno.build.arch}`;
}

function open(): Libc {
  if (Deno.build.os !== "linux" || !(Deno.build.arch in syscallNames)) {
    throw new NotSupportedError("bpf(2)", { reason: unsupported() });
  }
  const symbols = openSymbols(FIRST_SYMBOLS);
  const location = symbols.__errno_location();
  if (location === null) throw new Error("Cannot read errno: __errno_location() gave no address");
  // SAFETY: errno lives as long as its thread, and this module instance never leaves the thread: each worker has its
  // own. The view is four bytes at the address that libc itself gives for them.
  const errno = new Int32Array(Deno.UnsafePointerView.getArrayBuffer(location, 4));
  let more: MoreLibcSymbols | undefined;
  return {
    symbols,
    errno,
    get more(): MoreLibcSymbols {
      return more ??= openSymbols(MORE_SYMBOLS);
    },
  };
}

function openSymbols<const S extends Deno.ForeignLibraryInterface>(table: S): Deno.DynamicLibrary<S>["symbols"] {
  const failures: string[] = [];
  for (const name of LIBRARY_NAMES) {
    try {
      // SAFETY: the tables repeat the C declarations, and Deno converts each argument by them. The library is never
      // closed, so its functions stay valid.
      return Deno.dlopen(name, table).symbols;
    } catch (error) {
      if (error instanceof Deno.errors.NotCapable) throw error;
      failures.push(`${name}: ${error instanceof Error ? error.message : error}`);
    }
  }
  throw new NotSupportedError("the C library", { reason: `it could not be opened (${failures.join("; ")})` });
}
