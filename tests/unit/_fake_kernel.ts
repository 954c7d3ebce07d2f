/**
 * A kernel for tests that need none: it remembers what it is asked, and answers what the test says.
 *
 * @module
 */

import { type Bytes, type Kernel, swapKernel } from "../../ffi/kernel.ts";
import { attrLayouts } from "../../uapi/attr.gen.ts";
import { errnos } from "../../uapi/errno.gen.ts";
import { type CommandName, commands } from "../../uapi/enums.gen.ts";
import { structLayouts } from "../../uapi/structs.gen.ts";

/** One bpf(2) call as the kernel saw it. */
export interface SeenCall {
  readonly command: CommandName;
  /** A copy of the bytes of attr that counted. */
  readonly bytes: Bytes;
  readonly size: number;
}

/** A bpf(2) call while it is being answered: its attr may still be written to. */
export class OpenCall {
  readonly #bytes: Bytes;

  constructor(readonly command: CommandName, bytes: Bytes) {
    this.#bytes = bytes;
  }

  #place(field: string): { offset: number; size: number } {
    const fields: Readonly<Record<string, { offset: number; size: number }>> = attrLayouts[this.command].fields;
    if (fields[field] === undefined) throw new Error(`${this.command} has no field ${field}`);
    return fields[field];
  }

  /** The value of an integer field. */
  get(field: string): bigint {
    return readInteger(this.#bytes, this.#place(field));
  }

  /** Writes an integer field, as the kernel does for what it answers. */
  set(field: string, value: number | bigint): void {
    const { offset, size } = this.#place(field);
    this.#bytes.set(integer(value, size), offset);
  }

  /** The memory that a pointer field points at. */
  memory(field: string, length: number): Bytes {
    return memoryAt(this.get(field), length);
  }
}

/** Answers a bpf(2) call: ≥ 0, or −errno; undefined for what the fake answers by itself. */
export type Answer = (call: OpenCall) => number | undefined;

/** An integer as bytes of this machine. */
export function integer(value: number | bigint, size: number): Bytes {
  const bytes = new Uint8Array(new BigUint64Array([BigInt.asUintN(64, BigInt(value))]).buffer);
  return bytes.slice(0, size);
}

function readInteger(bytes: Bytes, { offset, size }: { offset: number; size: number }): bigint {
  const whole = new Uint8Array(8);
  whole.set(bytes.subarray(offset, offset + size));
  return new BigUint64Array(whole.buffer)[0];
}

/** The memory of this process at an address. */
export function memoryAt(address: bigint, length: number): Bytes {
  const pointer = Deno.UnsafePointer.create(address);
  if (pointer === null || length === 0) return new Uint8Array(0);
  return new Uint8Array(Deno.UnsafePointerView.getArrayBuffer(pointer, length));
}

/** Numbers that no open file has. */
const FIRST_FD = 1_000_000;

const namesByNumber = new Map<number, CommandName>(
  Object.entries(commands).map(([name, number]) => [number, name as CommandName]),
);

/** The fake. It is in place from when it is made until it is disposed of. */
export class FakeKernel implements Kernel, Disposable {
  /** The bpf(2) calls, in their order. */
  readonly seen: SeenCall[] = [];
  /** What there is to open, by path: its text. */
  readonly files: Map<string, string> = new Map();
  /** Where symbolic links point, by path. */
  readonly symlinks: Map<string, string> = new Map();
  /** The descriptors that are open. */
  readonly openFds: Set<number> = new Set();
  /** The descriptors that were closed, in their order. */
  readonly closed: number[] = [];
  /** The other calls, as text. */
  readonly log: string[] = [];
  /** RLIMIT_MEMLOCK: soft and hard. */
  memlock: [soft: bigint, hard: bigint] = [65536n, 65536n];
  /** Whether the process may raise its hard limits. */
  mayRaise = false;
  /** The effective capabilities, as bits. */
  capabilities = 0n;
  /** What `fcntl` answers instead of working. */
  fcntlAnswer: number | undefined;
  /** Sizes that maps have. */
  shape = { type: 1, keySize: 4, valueSize: 8 };
  /** The bpf(2) commands' answers. */
  answer: Answer = () => undefined;
  /** Settles the wait that is under way. */
  endWait: ((result: number) => void) | undefined;

  #nextFd = FIRST_FD;
  readonly #contents = new Map<number, Bytes>();
  readonly #before: Kernel | undefined;

  constructor(answer?: Answer) {
    if (answer !== undefined) this.answer = answer;
    this.#before = swapKernel(this);
  }

  [Symbol.dispose](): void {
    swapKernel(this.#before);
  }

  /** A number for a new descriptor. */
  newFd(): number {
    this.openFds.add(this.#nextFd);
    return this.#nextFd++;
  }

  /** The calls of one command. */
  of(command: CommandName): SeenCall[] {
    return this.seen.filter((call) => call.command === command);
  }

  bpf(cmd: number, attr: Bytes, size: number): number {
    const command = namesByNumber.get(cmd);
    if (command === undefined) return -errnos.EINVAL;
    this.seen.push({ command, bytes: attr.slice(0, size), size });
    const call = new OpenCall(command, attr);
    return this.answer(call) ?? this.#usual(call);
  }

  #usual(call: OpenCall): number {
    const { command } = call;
    if (command === "obj_get_info_by_fd") {
      const { fields, size } = structLayouts.bpf_map_info;
      const info = call.memory("info", size);
      info.set(integer(this.shape.type, 4), fields.type.offset);
      info.set(integer(this.shape.keySize, 4), fields.key_size.offset);
      info.set(integer(this.shape.valueSize, 4), fields.value_size.offset);
      return 0;
    }
    const makesFd = /^(map_create|prog_load|btf_load|obj_get|raw_tracepoint_open|link_create|iter_create)$/;
    return makesFd.test(command) || /_get_fd_by_id$|^(enable_stats|token_create)$/.test(command) ? this.newFd() : 0;
  }

  bpfCommon(_cmd: number, _attr: Bytes, _common: Bytes): number {
    return -errnos.EINVAL;
  }

  perfEventOpen(_attr: Bytes, _pid: number, _cpu: number, _groupFd: number, _flags: number): number {
    return this.newFd();
  }

  capget(_header: Bytes, data: Bytes): number {
    data.set(integer(this.capabilities & 0xffff_ffffn, 4), 0);
    data.set(integer(this.capabilities >> 32n, 4), 12);
    return 0;
  }

  prlimit(resource: number, set: Bytes | null, get: Bytes | null): number {
    this.log.push(`prlimit ${resource}${set === null ? "" : ` ${new BigUint64Array(set.slice().buffer).join(" ")}`}`);
    if (get !== null) get.set(new Uint8Array(new BigUint64Array(this.memlock).buffer));
    if (set !== null) {
      const [soft, hard] = new BigUint64Array(set.slice().buffer);
      if (hard > this.memlock[1] && !this.mayRaise) return -errnos.EPERM;
      this.memlock = [soft, hard];
    }
    return 0;
  }

  statx(_dirFd: number, path: string, _flags: number, _mask: number, _buffer: Bytes): number {
    return this.files.has(path) ? 0 : -errnos.ENOENT;
  }

  open(path: string, flags: number): number {
    this.log.push(`open ${path} ${flags}`);
    const text = this.files.get(path);
    if (text === undefined) return -errnos.ENOENT;
    const fd = this.newFd();
    this.#contents.set(fd, new TextEncoder().encode(text));
    return fd;
  }

  read(fd: number, buffer: Bytes): number {
    const rest = this.#contents.get(fd);
    if (rest === undefined) return -errnos.EBADF;
    const part = rest.subarray(0, buffer.length);
    buffer.set(part);
    this.#contents.set(fd, rest.subarray(part.length));
    return part.length;
  }

  getdents(fd: number, _buffer: Bytes): number {
    this.log.push(`getdents ${fd}`);
    return -errnos.ENOTDIR;
  }

  readlink(path: string, buffer: Bytes): number {
    const target = this.symlinks.get(path);
    if (target === undefined) return -errnos.ENOENT;
    buffer.set(new TextEncoder().encode(target));
    return target.length;
  }

  openAt(dirFd: number, path: string): number {
    this.log.push(`openat ${dirFd} ${path}`);
    return -errnos.ENOENT;
  }

  readlinkAt(dirFd: number, path: string): number {
    this.log.push(`readlinkat ${dirFd} ${path}`);
    return -errnos.ENOENT;
  }

  mount(_source: string, target: string, type: string): number {
    this.log.push(`mount ${type} ${target}`);
    return 0;
  }

  mkdir(path: string): number {
    this.log.push(`mkdir ${path}`);
    return 0;
  }

  rmdir(path: string): number {
    this.log.push(`rmdir ${path}`);
    return 0;
  }

  unlink(path: string): number {
    this.log.push(`unlink ${path}`);
    return 0;
  }

  write(fd: number, buffer: Bytes): number {
    this.log.push(`write ${fd} ${buffer.length}`);
    return buffer.length;
  }

  close(fd: number): number {
    this.closed.push(fd);
    return this.openFds.delete(fd) ? 0 : -errnos.EBADF;
  }

  fcntl(fd: number, cmd: number, argument: number): number {
    this.log.push(`fcntl ${fd} ${cmd} ${argument}`);
    if (this.fcntlAnswer !== undefined) return this.fcntlAnswer;
    return cmd === 1030 ? this.newFd() : cmd === 1 ? 1 : 0;
  }

  ioctl(): number {
    return 0;
  }

  socket(): number {
    return this.newFd();
  }

  setsockopt(): number {
    return 0;
  }

  getsockopt(): number {
    return 0;
  }

  socketpair(_domain: number, _type: number, _protocol: number, fds: Bytes): number {
    fds.set(integer(this.newFd(), 4), 0);
    fds.set(integer(this.newFd(), 4), 4);
    return 0;
  }

  bind(): number {
    return 0;
  }

  connect(): number {
    return 0;
  }

  listen(): number {
    return 0;
  }

  accept(): number {
    return this.newFd();
  }

  sendmsg(): number {
    return 1;
  }

  recvmsg(): number {
    return 0;
  }

  pidfdOpen(): number {
    return this.newFd();
  }

  pidfdGetfd(): number {
    return this.newFd();
  }

  getsockname(): number {
    return -errnos.ENOTSOCK;
  }

  getpeername(): number {
    return -errnos.ENOTSOCK;
  }

  ifNameToIndex(name: string): number {
    return name === "lo" ? 1 : 0;
  }

  eventfd(initial: number, flags: number): number {
    this.log.push(`eventfd ${initial} ${flags}`);
    return this.newFd();
  }

  epollCreate(flags: number): number {
    this.log.push(`epoll_create1 ${flags}`);
    return this.newFd();
  }

  epollCtl(epollFd: number, op: number, fd: number, event: Bytes | null): number {
    this.log.push(`epoll_ctl ${epollFd} ${op} ${fd} ${event?.[0] ?? "null"}`);
    return this.openFds.has(fd) ? 0 : -errnos.EBADF;
  }

  epollPoll(): number {
    return 0;
  }

  epollWait(epollFd: number, _events: Bytes, maxEvents: number, timeoutMs: number): Promise<number> {
    this.log.push(`epoll_wait ${epollFd} ${maxEvents} ${timeoutMs}`);
    const { promise, resolve } = Promise.withResolvers<number>();
    this.endWait = resolve;
    return promise;
  }

  mmap(length: number, prot: number, flags: number, fd: number, offset: number): Deno.PointerObject | number {
    this.log.push(`mmap ${length} ${prot} ${flags} ${fd} ${offset}`);
    return -errnos.ENODEV;
  }

  munmap(_address: Deno.PointerObject, _length: number): number {
    return 0;
  }

  sysconf(): number {
    return 4096;
  }
}
