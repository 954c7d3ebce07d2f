/**
 * Reading ring buffers: what programs send by bpf_ringbuf_output() and bpf_ringbuf_submit().
 *
 * @module
 */

import { objGetInfoByFd } from "../cmds/obj.ts";
import { PermissionError } from "../errors.ts";
import { Epoll } from "../ffi/epoll.ts";
import { fdNumber, type FdSource } from "../ffi/fd.ts";
import type { Bytes } from "../ffi/kernel.ts";
import { Mapping, pageSize } from "../ffi/mapping.ts";
import type { AnyToken } from "../tokens/token.ts";
import { BPF_RINGBUF_BUSY_BIT, BPF_RINGBUF_DISCARD_BIT, BPF_RINGBUF_HDR_SZ } from "../uapi/constants.gen.ts";

/** The length is what remains of a record's header word without its two flags. */
const LENGTH_MASK = ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);

/** After how many records in a row `events()` lets timers and signals have their turn. */
const RECORDS_A_TURN = 256;

/** How `events()` reads. */
export interface RingBufferEventsOptions {
  /** Ends the iteration, at once. */
  signal?: AbortSignal | undefined;
}

/**
 * A reader of a ring buffer map. C names: `struct ring_buffer`, BPF_MAP_TYPE_RINGBUF. Since Linux 5.8.
 *
 * A ring buffer has one reader: a second one of the same map would take records from the first.
 *
 * @example
 * ```ts
 * import { acquire, mapCreate, RingBuffer } from "@bpf/deno";
 *
 * const token = acquire("CAP_BPF");
 * using map = mapCreate(token, { type: "ringbuf", maxEntries: 64 * 1024 });
 * using ring = new RingBuffer(token, map);
 * for await (const record of ring.events({ signal: AbortSignal.timeout(1000) })) console.log(record.length);
 * ```
 */
export class RingBuffer implements Disposable {
  readonly #consumer: Mapping;
  readonly #producer: Mapping;
  readonly #epoll: Epoll;
  readonly #mask: number;
  readonly #consumerPosition: BigInt64Array;
  readonly #producerPosition: BigInt64Array;
  readonly #headers: Int32Array;
  readonly #data: Bytes;
  #position: bigint;
  #closedBecause: string | undefined;

  /**
   * Maps a ring buffer's memory into this process.
   *
   * @param token A permission token.
   * @param map The map. It may be closed afterwards, but for waiting.
   * @throws {TypeError} Where the map is no ring buffer.
   * @throws {PermissionError} Where the token was restricted to reading: records that were read are gone.
   * @throws {SyscallError} Where mmap(2) or epoll_ctl(2) fails.
   */
  constructor(token: AnyToken, map: FdSource) {
    const { type, maxEntries: size } = objGetInfoByFd(token, map, { kind: "map" });
    if (type !== "ringbuf") throw new TypeError(`Cannot read a ring buffer: the map is of type ${type}`);
    if (token.readOnly) {
      throw new PermissionError({
        command: "mmap",
        action: "read a ring buffer",
        missing: [],
        reason: "the token was restricted to reading, and records that were read are gone",
        remedy: "Use the token that it was derived from",
      });
    }
    const page = pageSize();
    using stack = new DisposableStack();
    // One page with the reader's position, one with the writers', then the data twice in a row, so that a record that
    // wraps around can be read in one piece.
    this.#consumer = stack.use(new Mapping(map, { length: page, writable: true }));
    this.#producer = stack.use(new Mapping(map, { length: page + 2 * size, offset: page }));
    this.#epoll = stack.use(new Epoll([fdNumber(map, "map")]));
    this.#mask = size - 1;
    this.#consumerPosition = new BigInt64Array(this.#consumer.buffer, 0, 1);
    this.#producerPosition = new BigInt64Array(this.#producer.buffer, 0, 1);
    this.#headers = new Int32Array(this.#producer.buffer, page);
    this.#data = new Uint8Array(this.#producer.buffer, page);
    this.#position = Atomics.load(this.#consumerPosition, 0);
    stack.move();
    token.adopt(this);
  }

  /** Whether it is closed. */
  get closed(): boolean {
    return this.#closedBecause !== undefined;
  }

  /**
   * Reads what there is; records that come meanwhile are left for the next time.
   *
   * @param callback Called with a copy of each record, in the order in which they were reserved. What it throws ends the
   * reading; its record counts as read.
   * @returns How many records there were.
   * @throws {TypeError} After dispose().
   */
  drain(callback: (record: Bytes) => void): number {
    let count = 0;
    for (const end = this.#produced(); this.#position < end; count++) {
      const record = this.#next();
      if (record === undefined) break;
      callback(record);
    }
    return count;
  }

  /**
   * The records as they come, without end. Waiting keeps the process alive, and costs nothing else.
   *
   * @param options What ends it.
   * @returns An iterable over copies of the records. It ends when the signal aborts, or when the reader is disposed of.
   */
  async *events(options: RingBufferEventsOptions = {}): AsyncGenerator<Bytes, void, undefined> {
    const { signal } = options;
    const wake = (): void => this.#epoll.wake();
    signal?.addEventListener("abort", wake);
    let inARow = 0;
    try {
      while (!this.closed && signal?.aborted !== true) {
        // Where records come faster than they are read, nothing else would ever run.
        const pause = inARow === RECORDS_A_TURN;
        const record = pause ? undefined : this.#next();
        if (record === undefined) {
          inARow = 0;
          await this.#epoll.wait(pause ? 0 : -1);
        } else {
          inARow++;
          yield record;
        }
      }
    } finally {
      signal?.removeEventListener("abort", wake);
      this.#epoll.rest();
    }
  }

  /** How far the programs have come. */
  #produced(): bigint {
    if (this.#closedBecause !== undefined) throw new TypeError(`Cannot read a ring buffer: ${this.#closedBecause}`);
    return Atomics.load(this.#producerPosition, 0);
  }

  /** The next record that is complete, or undefined. */
  #next(): Bytes | undefined {
    while (this.#position < this.#produced()) {
      const offset = Number(this.#position) & this.#mask;
      const header = Atomics.load(this.#headers, offset / 4);
      // A program is still writing it; those behind it wait, too.
      if ((header & BPF_RINGBUF_BUSY_BIT) !== 0) return undefined;
      const length = header & LENGTH_MASK;
      const start = offset + BPF_RINGBUF_HDR_SZ;
      const record = (header & BPF_RINGBUF_DISCARD_BIT) === 0 ? this.#data.slice(start, start + length) : undefined;
      this.#position += BigInt(Math.ceil((BPF_RINGBUF_HDR_SZ + length) / 8) * 8);
      Atomics.store(this.#consumerPosition, 0, this.#position);
      if (record !== undefined) return record;
    }
    return undefined;
  }

  /**
   * Unmaps the memory, and ends the iteration that is under way; a second call does nothing.
   *
   * @param reason What a later use is told, after "Cannot read a ring buffer:".
   */
  close(reason = "it is closed"): void {
    if (this.closed) return;
    this.#closedBecause = reason;
    this.#epoll[Symbol.dispose]();
    this.#producer[Symbol.dispose]();
    this.#consumer[Symbol.dispose]();
  }

  /** Unmaps the memory, and ends the iteration that is under way. */
  [Symbol.dispose](): void {
    this.close();
  }
}
