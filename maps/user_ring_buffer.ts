/**
 * User ring buffers: this process writes records, programs read them by bpf_user_ringbuf_drain().
 *
 * @module
 */

import { mapShape } from "../cmds/map_shape.ts";
import type { Codec } from "../codec.ts";
import { PermissionError } from "../errors.ts";
import { Epoll } from "../ffi/epoll.ts";
import { BPF_RINGBUF_BUSY_BIT, BPF_RINGBUF_DISCARD_BIT, BPF_RINGBUF_HDR_SZ } from "../uapi/constants.gen.ts";
import type { Bytes } from "../ffi/kernel.ts";
import { recordSize, RingMemory } from "./_ring_reader.ts";
import { MapHandle } from "./map_handle.ts";

/** How long a writer rests that was woken in vain, in milliseconds: the kernel wakes it for any room, however little. */
const REST_MS = 1;

/** A record that was reserved. Where it goes out of scope before it was submitted, it is discarded. */
export class UserRecord implements Disposable {
  /** Its bytes, in the ring; zeroed. Empty once the ring is closed. */
  readonly bytes: Bytes;
  readonly #finish: (flags: number, lenient?: boolean) => void;
  #open = true;

  /**
   * Made by `reserve()`.
   *
   * @param bytes Its bytes.
   * @param finish Clears its busy bit; where it is told to be lenient, a closed ring is no error.
   */
  constructor(bytes: Bytes, finish: (flags: number, lenient?: boolean) => void) {
    this.bytes = bytes;
    this.#finish = finish;
  }

  /**
   * Hands the record to the programs.
   *
   * @throws {TypeError} Where it was submitted or discarded before, or the ring is closed.
   */
  submit(): void {
    this.#end(0);
  }

  /**
   * Takes the record back: programs pass over it.
   *
   * @throws {TypeError} Where it was submitted or discarded before, or the ring is closed.
   */
  discard(): void {
    this.#end(BPF_RINGBUF_DISCARD_BIT);
  }

  #end(flags: number): void {
    if (!this.#open) throw new TypeError("Cannot finish a record: it was submitted or discarded before");
    this.#open = false;
    this.#finish(flags);
  }

  /** Discards the record, where it was not submitted. */
  [Symbol.dispose](): void {
    if (this.#open) this.#finish(BPF_RINGBUF_DISCARD_BIT, true);
    this.#open = false;
  }
}

/**
 * A user ring buffer. It has one writer, this object. C names: `struct user_ring_buffer`, BPF_MAP_TYPE_USER_RINGBUF.
 * Since Linux 6.1.
 *
 * @example
 * ```ts
 * import { acquire, BpfMap, struct, u32, u64 } from "@bpf/deno";
 *
 * const token = acquire("CAP_BPF");
 * using ring = BpfMap.create(token, { type: "user_ringbuf", maxEntries: 4096 });
 * const command = struct({ kind: u32, value: u64 });
 * console.log(ring.write(command, { kind: 1, value: 2n }));
 * ```
 */
export class UserRingBuffer extends MapHandle<Bytes, Bytes> {
  #memory: RingMemory | undefined;

  /** Bytes that are free for records and their headers of 8 bytes. */
  get available(): number {
    const memory = this.#map();
    return memory.size - (memory.producer - memory.consumer);
  }

  /**
   * Writes a record.
   *
   * @typeParam T The value.
   * @param codec The codec.
   * @param value The value.
   * @returns Whether there was room.
   * @throws {RangeError | TypeError} Where the value does not fit its codec; the record is discarded then.
   */
  write<T>(codec: Codec<T>, value: T): boolean {
    using record = this.reserve(codec.size);
    if (record === undefined) return false;
    const { buffer, byteOffset, length } = record.bytes;
    codec.encode(new DataView(buffer, byteOffset, length), 0, value);
    record.submit();
    return true;
  }

  /**
   * Reserves a record. Programs do not see it, nor those that are reserved after it, until it is submitted or discarded.
   *
   * @param size Its bytes.
   * @returns The record; undefined where there is no room.
   * @throws {RangeError} For a size that the ring can never hold.
   */
  reserve(size: number): UserRecord | undefined {
    const memory = this.#map();
    this.#checkSize(size, memory);
    if (this.available < recordSize(size)) return undefined;
    const position = memory.producer;
    const offset = position & (memory.size - 1);
    const word = offset >>> 2;
    Atomics.store(memory.words, word, size | BPF_RINGBUF_BUSY_BIT);
    Atomics.store(memory.words, word + 1, 0);
    const bytes = new Uint8Array(memory.data.buffer, memory.data.byteOffset + offset + BPF_RINGBUF_HDR_SZ, size).fill(
      0,
    );
    memory.producer = position + recordSize(size);
    return new UserRecord(bytes, (flags, lenient = false) => {
      if (memory.closed && lenient) return;
      if (memory.closed) throw new TypeError("Cannot finish a record: the user ring buffer is closed");
      Atomics.store(memory.words, word, size | flags);
    });
  }

  /**
   * Reserves a record, waiting for room off the main thread. C name: `user_ring_buffer__reserve_blocking()`.
   *
   * @param size Its bytes.
   * @param options What ends the wait.
   * @returns The record.
   * @throws {RangeError} For a size that the ring can never hold.
   * @throws {unknown} The signal's reason, once it aborts.
   * @throws {TypeError} Where the map is closed meanwhile.
   */
  async reserveBlocking(size: number, { signal }: { signal?: AbortSignal | undefined } = {}): Promise<UserRecord> {
    signal?.throwIfAborted();
    let record = this.reserve(size);
    if (record !== undefined) return record;
    using epoll = new Epoll([this.descriptor], true);
    const wake = (): void => epoll.wake();
    this.#waiting.add(wake);
    signal?.addEventListener("abort", wake);
    try {
      while (record === undefined) {
        await epoll.wait();
        signal?.throwIfAborted();
        record = this.reserve(size);
        if (record === undefined) await new Promise((resolve) => setTimeout(resolve, REST_MS));
      }
      return record;
    } finally {
      signal?.removeEventListener("abort", wake);
      this.#waiting.delete(wake);
    }
  }

  readonly #waiting = new Set<() => void>();

  #map(): RingMemory {
    if (this.#memory !== undefined && !this.#memory.closed) return this.#memory;
    if (this.token.readOnly) {
      throw new PermissionError({
        command: "mmap",
        action: "write a user ring buffer",
        missing: [],
        reason: "the token was restricted to reading",
        remedy: "Use the token that it was derived from",
      });
    }
    const { maxEntries } = mapShape(this.token, this.descriptor);
    this.#memory = this.token.adopt(new RingMemory(this.descriptor, maxEntries, true));
    // Whoever waits for room hears of it where the token is revoked.
    this.token.adopt(this);
    return this.#memory;
  }

  #checkSize(size: number, memory: RingMemory): void {
    if (Number.isSafeInteger(size) && size >= 0 && recordSize(size) <= memory.size) return;
    throw new RangeError(
      `Cannot reserve a record: ${size} bytes are not from 0 to ${memory.size - BPF_RINGBUF_HDR_SZ}`,
    );
  }

  /**
   * Closes the map, and ends waits for room.
   *
   * @param reason What a later use is told.
   */
  override close(reason?: string): void {
    this.#memory?.close();
    super.close(reason);
    for (const wake of this.#waiting) wake();
  }
}
