/**
 * Where the records of one CPU's perf ring are.
 *
 * @module
 */

import type { FdSource } from "../ffi/fd.ts";
import { Mapping, pageSize } from "../ffi/mapping.ts";
import { LITTLE_ENDIAN } from "../ffi/memory.ts";
import { PERF_RECORD_LOST, PERF_RECORD_SAMPLE } from "../uapi/constants.gen.ts";
import { structLayouts } from "../uapi/structs.gen.ts";
import { RecordPlace, type RecordSource, RecordView } from "./record_view.ts";

const { data_head: HEAD, data_tail: TAIL } = structLayouts.perf_event_mmap_page.fields;

/** `struct perf_event_header`: u32 type, u16 misc, u16 size. */
const HEADER_SIZE = 8;
/** In front of a raw sample's data, behind its time where it has one: its size, a u32. */
const RAW_SIZE = 4;
/** When a sample was sent, a u64. */
const TIME_SIZE = 8;
/** In a lost record: the event's id, then how many, both u64. */
const LOST_COUNT = HEADER_SIZE + 8;

/** Reads the raw samples of one CPU in place; those that wrap around, from a copy. */
export class PerfReader implements RecordSource {
  readonly record: RecordView;
  readonly #place: RecordPlace;
  /** Samples that there was no room for. */
  lost = 0;
  readonly cpu: number;
  /** Bytes of a sample in front of its data. */
  readonly #head: number;
  readonly #isTimed: boolean;
  /** When the sample was sent that was read last; undefined where samples do not tell. */
  time: bigint | undefined;
  readonly #mapping: Mapping;
  readonly #ring: DataView<ArrayBuffer>;
  readonly #positions: BigInt64Array<ArrayBuffer>;
  readonly #size: number;
  #position: number;
  #end: number;
  #scratch: DataView<ArrayBuffer> = new DataView(new ArrayBuffer(0));

  constructor(event: FdSource, { cpu, pages, timestamps }: { cpu: number; pages: number; timestamps: boolean }) {
    const page = pageSize();
    this.cpu = cpu;
    this.#isTimed = timestamps;
    this.#head = HEADER_SIZE + (timestamps ? TIME_SIZE : 0) + RAW_SIZE;
    this.#mapping = new Mapping(event, { length: (1 + pages) * page, writable: true });
    this.#size = pages * page;
    this.#ring = new DataView(this.#mapping.buffer, page, this.#size);
    this.#place = new RecordPlace(this.#ring);
    this.record = new RecordView(this.#place);
    this.#positions = new BigInt64Array(this.#mapping.buffer, 0, page / 8);
    this.#position = this.#end = this.#written();
  }

  advance(): boolean {
    while (this.#position < this.#end || this.#position < (this.#end = this.#written())) {
      const offset = this.#position % this.#size;
      const type = this.#ring.getUint32(offset, LITTLE_ENDIAN);
      const size = this.#ring.getUint16(offset + 6, LITTLE_ENDIAN);
      // Never 0: a ring that was written over would keep the reader for ever. Nor anything else that cannot be.
      if (size < this.#least(type) || size > this.#size || size % 8 !== 0) {
        throw new Error(`Cannot read a perf buffer: a record of CPU ${this.cpu} has ${size} bytes`);
      }
      const [view, start] = this.#piece(offset, size);
      this.#position += size;
      if (type === PERF_RECORD_LOST) this.lost += Number(view.getBigUint64(start + LOST_COUNT, LITTLE_ENDIAN));
      if (type !== PERF_RECORD_SAMPLE) continue;
      const length = Math.min(view.getUint32(start + this.#head - RAW_SIZE, LITTLE_ENDIAN), size - this.#head);
      this.#place.view = view;
      this.#place.start = start + this.#head;
      this.#place.length = length;
      if (this.#isTimed) this.time = view.getBigUint64(start + HEADER_SIZE, LITTLE_ENDIAN);
      return true;
    }
    return false;
  }

  /** Hands out what there is. */
  drain(callback: (record: RecordView, cpu: number, time: bigint | undefined) => void): number {
    let count = 0;
    try {
      while (!this.#mapping.closed && this.advance()) {
        count++;
        callback(this.record, this.cpu, this.time);
      }
      return count;
    } finally {
      this.#place.length = 0;
      this.settle();
    }
  }

  settle(): void {
    if (!this.#mapping.closed) Atomics.store(this.#positions, TAIL.offset / 8, BigInt(this.#position));
  }

  close(): void {
    this.settle();
    this.#mapping.close();
  }

  /** The least bytes of a record. */
  #least(type: number): number {
    return type === PERF_RECORD_SAMPLE ? this.#head : type === PERF_RECORD_LOST ? LOST_COUNT + 8 : HEADER_SIZE;
  }

  #written(): number {
    return Number(Atomics.load(this.#positions, HEAD.offset / 8));
  }

  /** A record in one piece. */
  #piece(offset: number, size: number): [DataView<ArrayBuffer>, number] {
    const first = this.#size - offset;
    if (size <= first) return [this.#ring, offset];
    if (this.#scratch.byteLength < size) this.#scratch = new DataView(new ArrayBuffer(65536));
    const [target, { buffer, byteOffset }] = [new Uint8Array(this.#scratch.buffer), this.#ring];
    target.set(new Uint8Array(buffer, byteOffset + offset, first));
    target.set(new Uint8Array(buffer, byteOffset, size - first), first);
    return [this.#scratch, 0];
  }
}
