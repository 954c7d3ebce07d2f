/**
 * Memory that the kernel shares through mmap(2), as typed arrays.
 *
 * @module
 */

import { NotSupportedError, SyscallError } from "../errors.ts";
import { fdNumber, type FdSource } from "./fd.ts";
import { kernel } from "./kernel.ts";
import { MAP_PRIVATE, MAP_SHARED } from "./libc_kernel.ts";

const PROT_READ = 1;
const PROT_WRITE = 2;
const SC_PAGESIZE = 30;

/**
 * The size of a page of memory.
 *
 * @returns Its bytes: 4096 on x86-64, up to 65536 on arm64.
 */
export function pageSize(): number {
  return kernel().sysconf(SC_PAGESIZE);
}

const forgotten = new FinalizationRegistry<{ address: Deno.PointerObject; length: number }>(({ address, length }) => {
  kernel().munmap(address, length);
});

/** A mapping of a file descriptor's memory. */
export class Mapping implements Disposable {
  readonly #address: Deno.PointerObject;
  readonly #length: number;
  #buffer: ArrayBuffer;

  /**
   * Maps memory of a file descriptor.
   *
   * @param source The descriptor. The mapping outlives it.
   * @param options `length` in bytes, `offset` in bytes and a multiple of the page size, whether it may be written, whether
   * it is shared with the kernel, which some files do not allow, and the address that it has to have, where that matters.
   * @throws {SyscallError} Where mmap(2) fails.
   */
  constructor(
    source: FdSource,
    options: { length: number; offset?: number; writable?: boolean; shared?: boolean; address?: bigint },
  ) {
    const { length, offset = 0, writable = false, shared = true, address: wanted } = options;
    if (!Number.isSafeInteger(length) || length <= 0) throw new RangeError(`Cannot map memory: length ${length}`);
    const prot = writable ? PROT_READ | PROT_WRITE : PROT_READ;
    const flags = shared ? MAP_SHARED : MAP_PRIVATE;
    const address = kernel().mmap(length, prot, flags, fdNumber(source, "fd"), offset, wanted);
    if (typeof address === "number") {
      throw new SyscallError({ command: "mmap", errno: -address, action: `map ${length} bytes of memory` });
    }
    this.#address = address;
    this.#length = length;
    try {
      // SAFETY: the kernel just mapped `length` bytes there, and they stay mapped until dispose() has detached this
      // buffer. Nobody writes to a read-only mapping: views of it are private to their readers in this library.
      this.#buffer = Deno.UnsafePointerView.getArrayBuffer(address, length);
    } catch (cause) {
      kernel().munmap(address, length);
      throw new NotSupportedError("memory mapping", { reason: "this build of Deno cannot view foreign memory", cause });
    }
    // Keyed by the buffer, not by this object: a view that outlives us keeps the memory mapped.
    forgotten.register(this.#buffer, { address, length }, this);
  }

  /** The mapped memory. It reads as empty after dispose(). */
  get buffer(): ArrayBuffer {
    return this.#buffer;
  }

  /** Where the memory is. */
  get address(): bigint {
    // SAFETY: tells the pointer's number; nothing is read or written.
    return BigInt(Deno.UnsafePointer.value(this.#address));
  }

  /** Whether the memory was unmapped. */
  get closed(): boolean {
    return this.#buffer.detached;
  }

  /** Unmaps the memory. Views that are left over read as empty. */
  close(): void {
    if (this.#buffer.detached) return;
    forgotten.unregister(this);
    // Detached first, so that a stale view reads as empty instead of crashing the process.
    this.#buffer.transfer(0);
    kernel().munmap(this.#address, this.#length);
  }

  /** Unmaps the memory. */
  [Symbol.dispose](): void {
    this.close();
  }
}
