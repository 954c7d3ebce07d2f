/**
 * The kernel's own files under /proc and /sys. Deno opens those for `--allow-all` only, so they are read through libc:
 * for the few files that the library needs, never for paths that a user names.
 *
 * @module
 */

import { NotSupportedError, SyscallError } from "../errors.ts";
import { errnos } from "../uapi/errno.gen.ts";
import { Fd } from "./fd.ts";
import { type Bytes, kernel } from "./kernel.ts";
import { Mapping } from "./mapping.ts";
import { allocate, LITTLE_ENDIAN } from "./memory.ts";

const O_RDONLY = 0;
const O_WRONLY = 1;
const O_RDWR = 2;
const O_APPEND = 0o2000;
const O_CLOEXEC = 0o2000000;
const AT_FDCWD = -100;
const STATX_INO = 0x100;
const STATX_SIZE = 0x200;

const CHUNK_SIZE = 65536;

/**
 * Opens what bpf(2) takes a file descriptor of: a cgroup's directory, the root of a bpffs, a namespace's file. It can be
 * passed on, not read.
 *
 * @param path The path.
 * @param options Whether it is opened for writing too, as an infrared device has to be for a program to be attached.
 * @returns The descriptor's owner.
 * @throws {SyscallError} Where open(2) fails.
 */
export function openPath(path: string, options: { writable?: boolean } = {}): Fd {
  const fd = kernel().open(path, (options.writable ? O_RDWR : O_RDONLY) | O_CLOEXEC, 0);
  if (fd < 0) throw new SyscallError({ command: "open", errno: -fd, action: `open ${path}` });
  return Fd.own(fd);
}

/** What files are read into: nothing waits in between, so that one does for all. */
let scratch: Bytes | undefined;

const decoder = new TextDecoder();

/**
 * Reads a whole file: its bytes, which the next reading overwrites, or −errno with the call that failed.
 *
 * @param size The file's size, where it is large and known.
 */
function readInto(path: string, size = 0): Bytes | { readonly command: "open" | "read"; readonly errno: number } {
  const gate = kernel();
  const fd = gate.open(path, O_RDONLY | O_CLOEXEC, 0);
  if (fd < 0) return { command: "open", errno: -fd };
  let total = 0;
  try {
    // One byte more than there are tells that there are no more.
    let buffer = size >= CHUNK_SIZE ? allocate(size + 1) : scratch ??= allocate(CHUNK_SIZE);
    while (true) {
      if (total === buffer.length) {
        const larger = allocate(2 * buffer.length);
        larger.set(buffer);
        buffer = larger;
      }
      const count = gate.read(fd, total === 0 ? buffer : buffer.subarray(total));
      if (count < 0) return { command: "read", errno: -count };
      if (count === 0) return buffer.subarray(0, total);
      total += count;
    }
  } finally {
    gate.close(fd);
  }
}

/**
 * Maps a large file of the kernel's where that can be, and reads it where not: files of sysfs are read a page a call,
 * 1,400 calls for a kernel's BTF, which can be mapped since 6.16.
 *
 * @param path Its absolute path.
 * @returns Its bytes, which must not be written to where they are mapped, or the process ends.
 * @throws {SyscallError} Where it is read, and open(2) or read(2) fails.
 */
export function mapKernelFile(path: string): Bytes {
  const size = sizeOf(path);
  const mapping = size > CHUNK_SIZE ? tryMap(path, size) : undefined;
  // It stays mapped for as long as somebody has the bytes.
  return mapping === undefined ? readWhole(path, size) : new Uint8Array(mapping.buffer);
}

/** A private mapping of a file, where that can be. */
function tryMap(path: string, length: number): Mapping | undefined {
  const fd = kernel().open(path, O_RDONLY | O_CLOEXEC, 0);
  if (fd < 0) return undefined;
  try {
    return new Mapping(fd, { length, shared: false });
  } catch (error) {
    if (error instanceof SyscallError || error instanceof NotSupportedError) return undefined;
    throw error;
  } finally {
    kernel().close(fd);
  }
}

/**
 * Reads a whole file of the kernel's.
 *
 * @param path Its absolute path.
 * @returns Its bytes.
 * @throws {SyscallError} Where open(2) or read(2) fails.
 */
export function readKernelFile(path: string): Bytes {
  const size = sizeOf(path);
  using mapping = size > CHUNK_SIZE ? tryMap(path, size) : undefined;
  return mapping === undefined ? readWhole(path, size) : new Uint8Array(mapping.buffer).slice();
}

function readWhole(path: string, size: number): Bytes {
  const bytes = readInto(path, size);
  if (bytes instanceof Uint8Array) return bytes.buffer === scratch?.buffer ? bytes.slice() : bytes;
  const { command, errno } = bytes;
  throw new SyscallError({ command, errno, action: command === "open" ? `open ${path}` : `read ${path}` });
}

/**
 * Reads a text file of the kernel's, where it exists and may be read.
 *
 * @param path Its absolute path.
 * @returns Its text without the newline at its end, or undefined where it cannot be read.
 */
export function tryReadKernelText(path: string): string | undefined {
  const bytes = readInto(path);
  return bytes instanceof Uint8Array ? decoder.decode(bytes).trimEnd() : undefined;
}

/**
 * Adds a line to a file of the kernel's that takes commands, such as tracefs's `uprobe_events`.
 *
 * @param path Its absolute path.
 * @param line The command.
 * @throws {SyscallError} Where open(2) fails, or write(2), which is how the kernel refuses a command.
 */
export function writeKernelLine(path: string, line: string): void {
  const fd = kernel().open(path, O_WRONLY | O_APPEND | O_CLOEXEC, 0);
  if (fd < 0) throw new SyscallError({ command: "open", errno: -fd, action: `open ${path}` });
  using file = Fd.own(fd);
  const written = kernel().write(file.fd, new TextEncoder().encode(`${line}\n`));
  if (written < 0) throw new SyscallError({ command: "write", errno: -written, action: `write "${line}" to ${path}` });
}

/**
 * Where a symbolic link of the kernel's points, such as a namespace's `"user:[4026531837]"`.
 *
 * @param path Its absolute path.
 * @returns Its target, or undefined where it cannot be read.
 */
export function tryReadKernelLink(path: string): string | undefined {
  const target = scratch ??= allocate(CHUNK_SIZE);
  const length = kernel().readlink(path, target);
  return length < 0 ? undefined : decoder.decode(target.subarray(0, length));
}

/** Characters up to which a text is put together here: asking the decoder costs more than they do. */
const SHORT = 16;

/** The text of bytes, most of which are short and of ASCII characters, as the names in /proc are. */
function shortText(bytes: Bytes, length: number): string {
  if (length > SHORT) return decoder.decode(bytes.subarray(0, length));
  let text = "";
  for (let at = 0; at < length; at++) {
    if (bytes[at] > 0x7f) return decoder.decode(bytes.subarray(0, length));
    text += String.fromCharCode(bytes[at]);
  }
  return text;
}

/** One entry of a directory. */
export interface DirectoryEntry {
  /** Its name. */
  readonly name: string;
  /** Whether it is a directory itself. */
  readonly isDirectory: boolean;
}

const DT_DIR = 4;
/** Where the members of struct linux_dirent64 are. */
const DIRENT = { length: 16, type: 18, name: 19 } as const;

/**
 * Reads the entries of one buffer of getdents64(2).
 *
 * @param bytes The buffer, as far as it was written.
 * @returns The entries, without `.` and `..`.
 * @throws {SyntaxError} For a length that is wrong; its `offset` says where.
 */
export function parseDirectory(bytes: Bytes): DirectoryEntry[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const entries: DirectoryEntry[] = [];
  for (let at = 0; at < bytes.length;) {
    const length = at + DIRENT.name <= bytes.length ? view.getUint16(at + DIRENT.length, LITTLE_ENDIAN) : 0;
    if (length < DIRENT.name + 1 || at + length > bytes.length) {
      throw Object.assign(new SyntaxError(`Cannot read a directory: its length at byte ${at} is wrong`), {
        offset: at,
      });
    }
    const text = bytes.subarray(at + DIRENT.name, at + length);
    const end = text.indexOf(0);
    const name = shortText(text, end < 0 ? text.length : end);
    if (name !== "." && name !== "..") entries.push({ name, isDirectory: bytes[at + DIRENT.type] === DT_DIR });
    at += length;
  }
  return entries;
}

/**
 * Lists a directory of the kernel's.
 *
 * @param path Its absolute path.
 * @returns Its entries; none where it cannot be read, or is gone by now.
 */
export function listKernelDirectory(path: string): DirectoryEntry[] {
  using directory = KernelDirectory.tryOpen(path);
  return directory?.list() ?? [];
}

/**
 * A directory of the kernel's that is kept open: its files are found without the way to it being gone anew each time,
 * which costs more than reading them.
 */
export class KernelDirectory implements Disposable {
  readonly #fd: number;
  #closed = false;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /**
   * Opens a directory.
   *
   * @param path Its absolute path.
   * @returns The directory; undefined where it cannot be opened, or is gone by now.
   */
  static tryOpen(path: string): KernelDirectory | undefined {
    const fd = kernel().open(path, O_RDONLY | O_CLOEXEC, 0);
    return fd < 0 ? undefined : new KernelDirectory(fd);
  }

  /** Its entries, from where the last listing ended. */
  list(): DirectoryEntry[] {
    return readEntries(this.#fd);
  }

  /** Whether a symbolic link in it points to what starts with one of some texts of ASCII characters. */
  pointsTo(name: string, starts: readonly string[]): boolean {
    const target = scratch ??= allocate(CHUNK_SIZE);
    const length = kernel().readlinkAt(this.#fd, name, target);
    return starts.some((start) => {
      if (start.length > length) return false;
      for (let at = 0; at < start.length; at++) if (target[at] !== start.charCodeAt(at)) return false;
      return true;
    });
  }

  /** The text of a small file in it, which the kernel writes in one piece; undefined where it cannot be read. */
  text(name: string): string | undefined {
    const gate = kernel();
    const fd = gate.openAt(this.#fd, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return undefined;
    const buffer = scratch ??= allocate(CHUNK_SIZE);
    const count = gate.read(fd, buffer);
    gate.close(fd);
    return count < 0 ? undefined : decoder.decode(buffer.subarray(0, count));
  }

  /** Closes it. */
  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    kernel().close(this.#fd);
  }
}

function readEntries(directory: number): DirectoryEntry[] {
  const entries: DirectoryEntry[] = [];
  const buffer = scratch ??= allocate(CHUNK_SIZE);
  while (true) {
    const count = kernel().getdents(directory, buffer);
    if (count <= 0) return entries;
    entries.push(...parseDirectory(buffer.subarray(0, count)));
  }
}

/** Where the members of struct statx are. */
const STATX = { bytes: 256, inode: 32, size: 40, deviceMajor: 136, deviceMinor: 140 } as const;

/** The size that a file says it has; 0 for those of /proc, and where it cannot be told. */
function sizeOf(path: string): number {
  const buffer = allocate(STATX.bytes);
  if (kernel().statx(AT_FDCWD, path, 0, STATX_SIZE, buffer) < 0) return 0;
  return Number(new DataView(buffer.buffer).getBigUint64(STATX.size, LITTLE_ENDIAN));
}

/** The device and inode number that name a file, a namespace or a cgroup. */
export interface FileId {
  /** The device, as the kernel's own dev_t counts it (major << 20 | minor). */
  readonly device: bigint;
  /** The inode number. */
  readonly inode: bigint;
}

/**
 * The device and inode of a path, symbolic links followed.
 *
 * @param path The path.
 * @returns Both numbers.
 * @throws {SyscallError} Where statx(2) fails.
 */
export function fileId(path: string): FileId {
  const buffer = allocate(STATX.bytes);
  const result = kernel().statx(AT_FDCWD, path, 0, STATX_INO, buffer);
  if (result < 0) throw new SyscallError({ command: "statx", errno: -result, action: `stat ${path}` });
  const view = new DataView(buffer.buffer);
  const [major, minor] = [STATX.deviceMajor, STATX.deviceMinor].map((at) => view.getUint32(at, LITTLE_ENDIAN));
  return { device: BigInt(major) << 20n | BigInt(minor), inode: view.getBigUint64(STATX.inode, LITTLE_ENDIAN) };
}

/**
 * Whether a path exists, as far as this process can tell.
 *
 * @param path The path.
 * @returns False only where the kernel says ENOENT or ENOTDIR.
 */
export function pathExists(path: string): boolean {
  const result = kernel().statx(AT_FDCWD, path, 0, 0, allocate(STATX.bytes));
  return result !== -errnos.ENOENT && result !== -errnos.ENOTDIR;
}
