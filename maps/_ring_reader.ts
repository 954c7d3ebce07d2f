/**
 * Where the records of a ring buffer are.
 *
 * @module
 */

import type { FdSource } from "../ffi/fd.ts";
import { Mapping, pageSize } from "../ffi/mapping.ts";
import { LITTLE_ENDIAN } from "../ffi/memory.ts";
import { BPF_RINGBUF_BUSY_BIT, BPF_RINGBUF_DISCARD_BIT, BPF_RINGBUF_HDR_SZ } from "../uapi/constants.gen.ts";
import type { RecordSource } from "./record_view.ts";

/** The length is what remains of a record's header word without its two flags. */
const LENGTH_MASK = ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);

/** What is read at most before the writers are told: records, and a part of the ring. */
const UNTOLD_RECORDS = 64;
const UNTOLD_PART = 1 / 16;

/** The bytes of a record with its header. */
export function recordSize(length: number): number {
  return Math.ceil((BPF_RINGBUF_HDR_SZ + length) / 8) * 8;
}

/** The memory of a ring buffer, and its positions: bytes since it was made, as safe integers. */
export class RingMemory {
  /** The data, twice in a row, so that a record that wraps around can be read in one piece. */
  readonly data: DataView<ArrayBuffer>;
  /** The same as words, for the headers. */
  readonly words: Int32Array<ArrayBuffer>;
  readonly size: number;
  readonly #reader: Mapping;
  readonly #writer: Mapping;
  readonly #readerPosition: BigInt64Array<ArrayBuffer>;
  readonly #writerPositions: BigInt64Array<ArrayBuffer>;

  /**
   * Maps it: one page with the reader's position, one with the writers', then the data.
   *
   * @param writer Whether this process is the writer, as of user ring buffers.
   */
  constructor(map: FdSource, size: number, writer = false) {
    const page = pageSize();
    using stack = new DisposableStack();
    this.#reader = stack.use(new Mapping(map, { length: page, writable: !writer }));
    this.#writer = stack.use(new Mapping(map, { length: page + 2 * size, offset: page, writable: writer }));
    this.size = size;
    this.#readerPosition = new BigInt64Array(this.#reader.buffer, 0, 1);
    this.#writerPositions = new BigInt64Array(this.#writer.buffer, 0, 3);
    this.data = new DataView(this.#writer.buffer, page);
    this.words = new Int32Array(this.#writer.buffer, page);
    stack.move();
  }

  get closed(): boolean {
    return this.#writer.closed;
  }

  /** How far the reader has come. */
  get consumer(): number {
    return Number(Atomics.load(this.#readerPosition, 0));
  }

  set consumer(position: number) {
    Atomics.store(this.#readerPosition, 0, BigInt(position));
  }

  /** How far the writers have come. */
  get producer(): number {
    return Number(Atomics.load(this.#writerPositions, 0));
  }

  set producer(position: number) {
    Atomics.store(this.#writerPositions, 0, BigInt(position));
  }

  /** Where the oldest record starts that was not overwritten. C name: `overwrite_pos` of `struct bpf_ringbuf`. */
  get overwritten(): number {
    return Number(Atomics.load(this.#writerPositions, 2));
  }

  close(): void {
    this.#writer.close();
    this.#reader.close();
  }
}

/** Reads records in place. */
export class RingReader implements RecordSource {
  readonly view: DataView<ArrayBuffer>;
  start = 0;
  length = 0;
  readonly #memory: RingMemory;
  readonly #words: Int32Array<ArrayBuffer>;
  readonly #mask: number;
  #position: number;
  /** How far the writers were when they were last asked. */
  #end: number;
  #untold = 0;
  /** Up to where the writers need not be told yet. */
  #tellAt: number;

  constructor(memory: RingMemory) {
    this.#memory = memory;
    this.view = memory.data;
    this.#words = memory.words;
    this.#mask = memory.size - 1;
    this.#position = this.#end = memory.consumer;
    this.#tellAt = this.#position + memory.size * UNTOLD_PART;
  }

  /** How far it has come, told or not. */
  get position(): number {
    return this.#position;
  }

  /** Records that were overwritten before they were read: never here. */
  get lostBytes(): number {
    return 0;
  }

  advance(): boolean {
    while (this.#position < this.#end || this.#position < (this.#end = this.#memory.producer)) {
      const offset = this.#position & this.#mask;
      const header = Atomics.load(this.#words, offset >>> 2);
      // A program is still writing it; those behind it wait, too.
      if ((header & BPF_RINGBUF_BUSY_BIT) !== 0) break;
      const length = header & LENGTH_MASK;
      // Told before the record is handed out: what is told is what was read before it, which stays where it is.
      if (this.#untold === UNTOLD_RECORDS || this.#position > this.#tellAt) this.settle();
      this.#untold++;
      this.#position += (BPF_RINGBUF_HDR_SZ + length + 7) & ~7;
      if ((header & BPF_RINGBUF_DISCARD_BIT) !== 0) continue;
      this.start = offset + BPF_RINGBUF_HDR_SZ;
      this.length = length;
      return true;
    }
    this.length = 0;
    return false;
  }

  settle(): void {
    if (this.#untold === 0 || this.#memory.closed) return;
    this.#untold = 0;
    this.#tellAt = this.#position + this.#memory.size * UNTOLD_PART;
    this.#memory.consumer = this.#position;
  }
}

/** Reads records that may be overwritten meanwhile: a copy of all that is there is made, and tried again if it was. */
export class OverwriteReader implements RecordSource {
  view: DataView<ArrayBuffer>;
  start = 0;
  length = 0;
  lostBytes = 0;
  readonly #memory: RingMemory;
  readonly #copy: Uint8Array<ArrayBuffer>;
  #position: number;
  /** What of the copy is unread. */
  #next = 0;
  #end = 0;

  constructor(memory: RingMemory) {
    this.#memory = memory;
    this.#copy = new Uint8Array(memory.size);
    this.view = new DataView(this.#copy.buffer);
    this.#position = memory.consumer;
  }

  get position(): number {
    return this.#position;
  }

  advance(): boolean {
    while (this.#next < this.#end || this.#fill()) {
      const header = this.view.getInt32(this.#next, LITTLE_ENDIAN);
      if ((header & BPF_RINGBUF_BUSY_BIT) !== 0) {
        this.#end = this.#next;
        break;
      }
      const length = header & LENGTH_MASK;
      const start = this.#next + BPF_RINGBUF_HDR_SZ;
      this.#next += recordSize(length);
      this.#position += recordSize(length);
      if ((header & BPF_RINGBUF_DISCARD_BIT) !== 0) continue;
      [this.start, this.length] = [start, length];
      return true;
    }
    this.length = 0;
    return false;
  }

  settle(): void {
    if (!this.#memory.closed) this.#memory.consumer = this.#position;
  }

  #fill(): boolean {
    const { data, size } = this.#memory;
    while (true) {
      const end = this.#memory.producer;
      const from = Math.max(this.#position, this.#memory.overwritten);
      const count = end - from;
      if (count <= 0) return false;
      if (count > size) continue;
      const offset = from & (size - 1);
      this.#copy.set(new Uint8Array(data.buffer, data.byteOffset + offset, count));
      // The copy is whole where the writers have not come round to its start meanwhile.
      if (this.#memory.overwritten > from) continue;
      this.lostBytes += from - this.#position;
      this.#position = from;
      [this.#next, this.#end] = [0, count];
      return true;
    }
  }
}
