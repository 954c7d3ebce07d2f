/**
 * Where the records of a ring buffer are.
 *
 * @module
 */

import type { FdSource } from "../ffi/fd.ts";
import { Mapping, pageSize } from "../ffi/mapping.ts";
import { LITTLE_ENDIAN } from "../ffi/memory.ts";
import { BPF_RINGBUF_BUSY_BIT, BPF_RINGBUF_DISCARD_BIT, BPF_RINGBUF_HDR_SZ } from "../uapi/constants.gen.ts";
import { RecordPlace, type RecordSource, RecordView } from "./record_view.ts";

/** The length is what remains of a record's header word without its two flags. */
const LENGTH_MASK = ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);

/** How long a run is at most: in records, and as a part of the ring. */
const RUN_RECORDS = 64;
const RUN_PART = 1 / 16;

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

/** Memory of no meaning: exchanging it orders what is read before with what is read after. */
const fence = new Int32Array(new ArrayBuffer(4));

/**
 * Reads records in place, a run of complete ones at a time: the headers of a run are looked at first, then one fence,
 * then its records. An atomic load a header would cost more than all the rest.
 */
export class RingReader implements RecordSource {
  readonly record: RecordView;
  readonly #memory: RingMemory;
  readonly #place: RecordPlace;
  readonly #words: Int32Array<ArrayBuffer>;
  readonly #mask: number;
  readonly #runBytes: number;
  #position: number;
  /** The end of the run. */
  #ready: number;
  /** What the writers were told. */
  #told: number;
  #draining = false;

  constructor(memory: RingMemory) {
    this.#memory = memory;
    this.#place = new RecordPlace(memory.data);
    this.record = new RecordView(this.#place);
    this.#words = memory.words;
    this.#mask = memory.size - 1;
    this.#runBytes = memory.size * RUN_PART;
    this.#position = this.#ready = this.#told = memory.consumer;
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
    while (this.#position < this.#ready || this.#look(this.#memory.producer)) {
      const offset = this.#position & this.#mask;
      const header = this.#words[offset >>> 2];
      const length = header & LENGTH_MASK;
      this.#position += (BPF_RINGBUF_HDR_SZ + length + 7) & ~7;
      if ((header & BPF_RINGBUF_DISCARD_BIT) !== 0) continue;
      this.#place.start = offset + BPF_RINGBUF_HDR_SZ;
      this.#place.length = length;
      return true;
    }
    return false;
  }

  /** Hands out what there is: {@link RingReader.advance}, written out for speed. */
  drain(callback: (record: RecordView) => void): number {
    if (this.#draining) throw new TypeError("Cannot read a ring buffer: it is being read by the callback's caller");
    this.#draining = true;
    const [words, mask, place, record] = [this.#words, this.#mask, this.#place, this.record];
    // Records that come meanwhile are left for the next time: a callback that is slower than the programs still ends.
    const end = this.#memory.producer;
    let count = 0;
    // Small integers from here on: positions are not.
    let [offset, left] = [0, 0];
    try {
      while (this.#position < this.#ready || this.#look(end)) {
        offset = this.#position & mask;
        left = this.#ready - this.#position;
        while (left > 0) {
          const header = words[offset >>> 2];
          const length = header & LENGTH_MASK;
          const size = (BPF_RINGBUF_HDR_SZ + length + 7) & ~7;
          const start = offset + BPF_RINGBUF_HDR_SZ;
          left -= size;
          offset = (offset + size) & mask;
          if ((header & BPF_RINGBUF_DISCARD_BIT) !== 0) continue;
          count++;
          place.start = start;
          place.length = length;
          callback(record);
          // The callback closed the ring: its memory has no length then.
          if (words.length === 0) return count;
        }
        this.#position = this.#ready;
      }
      return count;
    } finally {
      this.#position = this.#ready - Math.max(left, 0);
      this.#draining = false;
      place.length = 0;
      this.settle();
    }
  }

  settle(): void {
    if (this.#told === this.#position || this.#memory.closed) return;
    this.#memory.consumer = this.#told = this.#position;
  }

  /** Looks for a run of records that are complete, up to some position. */
  #look(end: number): boolean {
    // What was read before is told before more is: the writers find room at the latest a run later.
    this.settle();
    const words = this.#words;
    let ready = this.#position;
    for (let records = 0; ready < end && records < RUN_RECORDS && ready - this.#position < this.#runBytes; records++) {
      const header = words[(ready & this.#mask) >>> 2];
      // A program is still writing it; those behind it wait, too.
      if ((header & BPF_RINGBUF_BUSY_BIT) !== 0) break;
      ready += (BPF_RINGBUF_HDR_SZ + (header & LENGTH_MASK) + 7) & ~7;
      // Nothing that the kernel writes: the writers would be told a position beyond theirs.
      if (ready > end) throw new Error("Cannot read a ring buffer: a record reaches past what was written");
    }
    Atomics.exchange(fence, 0, 0);
    this.#ready = ready;
    return ready > this.#position;
  }
}

/** Reads records that may be overwritten meanwhile: a copy of all that is there is made, and tried again if it was. */
export class OverwriteReader implements RecordSource {
  readonly record: RecordView;
  lostBytes = 0;
  readonly #memory: RingMemory;
  readonly #copy: Uint8Array<ArrayBuffer>;
  readonly #view: DataView<ArrayBuffer>;
  readonly #place: RecordPlace;
  #position: number;
  /** What of the copy is unread. */
  #next = 0;
  #end = 0;

  constructor(memory: RingMemory) {
    this.#memory = memory;
    this.#copy = new Uint8Array(memory.size);
    this.#view = new DataView(this.#copy.buffer);
    this.#place = new RecordPlace(this.#view);
    this.record = new RecordView(this.#place);
    this.#position = memory.consumer;
  }

  get position(): number {
    return this.#position;
  }

  advance(): boolean {
    while (this.#next < this.#end || this.#fill()) {
      const header = this.#view.getInt32(this.#next, LITTLE_ENDIAN);
      if ((header & BPF_RINGBUF_BUSY_BIT) !== 0) {
        this.#end = this.#next;
        break;
      }
      const length = header & LENGTH_MASK;
      const start = this.#next + BPF_RINGBUF_HDR_SZ;
      this.#next += recordSize(length);
      this.#position += recordSize(length);
      if ((header & BPF_RINGBUF_DISCARD_BIT) !== 0) continue;
      this.#place.start = start;
      this.#place.length = length;
      return true;
    }
    return false;
  }

  /** Hands out what there is. */
  drain(callback: (record: RecordView) => void): number {
    const end = this.#memory.producer;
    let count = 0;
    try {
      while (!this.#memory.closed && this.#position < end && this.advance()) {
        count++;
        callback(this.record);
      }
      return count;
    } finally {
      this.#place.length = 0;
      this.settle();
    }
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
      Atomics.exchange(fence, 0, 0);
      // The copy is whole where the writers have not come round to its start meanwhile.
      if (this.#memory.overwritten > from) continue;
      this.lostBytes += from - this.#position;
      this.#position = from;
      [this.#next, this.#end] = [0, count];
      return true;
    }
  }
}
