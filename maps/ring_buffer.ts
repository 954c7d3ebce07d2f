/**
 * Reading ring buffers: what programs send by bpf_ringbuf_output() and bpf_ringbuf_submit().
 *
 * @module
 */

import { mapShape } from "../cmds/map_shape.ts";
import { Codec } from "../codec.ts";
import { PermissionError } from "../errors.ts";
import type { FdSource } from "../ffi/fd.ts";
import type { Bytes } from "../ffi/kernel.ts";
import type { AnyToken } from "../tokens/token.ts";
import { BPF_F_RB_OVERWRITE } from "../uapi/constants.gen.ts";
import { mapTypes } from "../uapi/enums.gen.ts";
import { typeName } from "./operations.ts";
import { type EventBuffer, eventsOf, Waiters } from "./_events.ts";
import { type EventsOptions, type EventSource, EventStream } from "./event_stream.ts";
import { OverwriteReader, RingMemory, RingReader } from "./_ring_reader.ts";
import type { RecordView } from "./record_view.ts";

/** Where a ring buffer's reader and writers are: bytes since the ring was made. */
export interface RingPositions {
  /** How far the reader has come. */
  readonly consumer: number;
  /** How far the programs have come, records that are not complete included. */
  readonly producer: number;
  /** What there is to read: the difference. */
  readonly available: number;
  /** What fits: the map's `max_entries`. */
  readonly size: number;
  /** What was overwritten before it was read, in bytes: with the flag `rb_overwrite`. */
  readonly lost: number;
}

/**
 * Refuses positions that no reader can have: whoever has the map may write them, and what lies between would be read as
 * records.
 */
function checkPositions(memory: RingMemory, overwrites: boolean): void {
  const { consumer, producer, size } = memory;
  const behind = producer - consumer;
  if (consumer >= 0 && consumer % 8 === 0 && behind >= 0 && (overwrites || behind <= size)) return;
  memory.close();
  throw new Error(`Cannot read a ring buffer: its reader is said to be at ${consumer}, and its writers at ${producer}`);
}

/**
 * A reader of a ring buffer map. C names: `struct ring_buffer`, BPF_MAP_TYPE_RINGBUF. Since Linux 5.8.
 *
 * A ring buffer has one reader: a second one of the same map would take records from the first. Where it is full,
 * programs fail to reserve, which only they can count; with the flag `rb_overwrite` (since 6.19) they overwrite the
 * oldest records, which {@link RingBuffer.positions} tells.
 *
 * @example
 * ```ts
 * import { acquire, mapCreate, RingBuffer, struct, u32, u64 } from "@bpf/deno";
 *
 * const token = acquire("CAP_BPF");
 * using map = mapCreate(token, { type: "ringbuf", maxEntries: 64 * 1024 });
 * using ring = new RingBuffer(token, map);
 * const event = struct({ time: u64, pid: u32, uid: u32 });
 * for await (const { pid } of ring.events(event, { signal: AbortSignal.timeout(1000) })) console.log(pid);
 * ```
 */
export class RingBuffer implements Disposable {
  readonly #memory: RingMemory;
  readonly #reader: RingReader | OverwriteReader;
  readonly #buffer: EventBuffer;
  #closedBecause: string | undefined;

  /**
   * Maps a ring buffer's memory into this process.
   *
   * @param token A permission token.
   * @param map The map. It may be closed afterwards, but for waiting.
   * @throws {TypeError} Where the map is no ring buffer.
   * @throws {PermissionError} Where the token was restricted to reading: records that were read are gone.
   * @throws {SyscallError} Where mmap(2) fails.
   * @throws {Error} Where somebody else has written a position that no reader can have.
   */
  constructor(token: AnyToken, map: FdSource) {
    const { type, maxEntries, flags } = mapShape(token, map);
    if (type !== mapTypes.ringbuf) {
      throw new TypeError(`Cannot read a ring buffer: the map is of type ${typeName(type)}`);
    }
    if (token.readOnly) {
      throw new PermissionError({
        command: "mmap",
        action: "read a ring buffer",
        missing: [],
        reason: "the token was restricted to reading, and records that were read are gone",
        remedy: "Use the token that it was derived from",
      });
    }
    this.#memory = new RingMemory(map, maxEntries);
    const overwrites = (flags & BPF_F_RB_OVERWRITE) !== 0;
    checkPositions(this.#memory, overwrites);
    this.#reader = overwrites ? new OverwriteReader(this.#memory) : new RingReader(this.#memory);
    const isClosed = (): boolean => this.closed;
    this.#buffer = {
      reader: this.#reader,
      descriptors: [map],
      waiters: new Waiters(),
      get closed(): boolean {
        return isClosed();
      },
    };
    token.adopt(this);
  }

  /** Whether it is closed. */
  get closed(): boolean {
    return this.#closedBecause !== undefined;
  }

  /** Where its reader and its writers are. */
  get positions(): RingPositions {
    this.#check();
    const [consumer, producer] = [this.#reader.position, this.#memory.producer];
    const { size } = this.#memory;
    return { consumer, producer, available: producer - consumer, size, lost: this.#reader.lostBytes };
  }

  /**
   * Reads what there is, without copying or allocating anything.
   *
   * @param callback Called with each record, in the order in which they were reserved. The record is valid inside of the
   * callback. What it throws ends the reading; its record counts as read.
   * @returns How many records there were.
   * @throws {TypeError} After dispose().
   */
  drain(callback: (record: RecordView) => void): number {
    this.#check();
    return this.#reader.drain(callback);
  }

  /**
   * The records as they come, without end, as copies of their bytes. Waiting keeps the process alive, and costs nothing
   * else.
   *
   * @param options What ends it.
   * @returns An async iterable. It ends when the signal aborts, or when the reader is disposed of.
   */
  events(options?: EventsOptions): EventStream<Bytes>;
  /**
   * The records as they come, without end, decoded.
   *
   * @typeParam T An event.
   * @param codec The codec. Records may be longer.
   * @param options What ends it.
   * @returns An async iterable. It throws a RangeError for a record that is too short, which counts as read.
   */
  events<T>(codec: Codec<T>, options?: EventsOptions): EventStream<T>;
  events<T>(first?: Codec<T> | EventsOptions, second?: EventsOptions): EventStream<T> | EventStream<Bytes> {
    return first instanceof Codec
      ? new EventStream([this.source(first)], second)
      : new EventStream([this.source()], first);
  }

  /**
   * This ring as one of several that are read together, by `mergeEvents()`: its records as copies of their bytes.
   *
   * @returns The source.
   */
  source(): EventSource<Bytes>;
  /**
   * This ring as one of several that are read together, by `mergeEvents()`: its records decoded.
   *
   * @typeParam T An event.
   * @param codec The codec. Records may be longer.
   * @returns The source.
   */
  source<T>(codec: Codec<T>): EventSource<T>;
  source<T>(codec?: Codec<T>): EventSource<T> | EventSource<Bytes> {
    this.#check();
    return eventsOf(this.#buffer, codec);
  }

  #check(): void {
    if (this.#closedBecause !== undefined) throw new TypeError(`Cannot read a ring buffer: ${this.#closedBecause}`);
  }

  /**
   * Unmaps the memory, and ends the iteration that is under way; a second call does nothing.
   *
   * @param reason What a later use is told, after "Cannot read a ring buffer:".
   */
  close(reason = "it is closed"): void {
    if (this.closed) return;
    this.#reader.settle();
    this.#closedBecause = reason;
    this.#memory.close();
    this.#buffer.waiters.close();
  }

  /** Unmaps the memory, and ends the iteration that is under way. */
  [Symbol.dispose](): void {
    this.close();
  }
}
