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
/** In front of a raw sample's data: its size, a u32. */
const RAW_HEADER_SIZE = HEADER_SIZE + 4;
/** In a lost record: the event's id, then how many, both u64. */
const LOST_COUNT = HEADER_SIZE + 8;

/** Reads the raw samples of one CPU in place; those that wrap around, from a copy. */
export class PerfReader implements RecordSource {
  readonly record: RecordView;
  readonly #place: RecordPlace;
  /** Samples that there was no room for. */
  lost = 0;
  readonly cpu: number;
  readonly #mapping: Mapping;
  readonly #ring: DataView<ArrayBuffer>;
  readonly #positions: BigInt64Array<ArrayBuffer>;
  readonly #size: number;
  #position: number;
  #end: number;
  #scratch: DataView<ArrayBuffer> = new DataView(new ArrayBuffer(0));

  constructor(event: FdSource, cpu: number, pages: number) {
    const page = pageSize();
    this.cpu = cpu;
    this.#mapping = new Mapping(event, { length: (1 + pages) * page, writable: true });
    this.#size = pages * page;
    this.#ring = new DataView(this.#mapping.buffer, page, this.#size);
    this.#place = new RecordPlace(this.#ring);
    this.record = new RecordView(this.#place);
    this.#positions = new BigInt64Array(this.#mapping.buffer, 0, page / 8);
    this.#position = this.#end = this.#head();
  }

  advance(): boolean {
    while (this.#position < this.#end || this.#position < (this.#end = this.#head())) {
      const offset = this.#position % this.#size;
      const type = this.#ring.getUint32(offset, LITTLE_ENDIAN);
      const size = this.#ring.getUint16(offset + 6, LITTLE_ENDIAN);
      // Never 0: a ring that was written over would keep the reader for ever.
      if (size < HEADER_SIZE) {
        throw new Error(`Cannot read a perf buffer: a record of CPU ${this.cpu} has ${size} bytes`);
      }
      const [view, start] = this.#piece(offset, size);
      this.#position += size;
      if (type === PERF_RECORD_LOST) this.lost += Number(view.getBigUint64(start + LOST_COUNT, LITTLE_ENDIAN));
      if (type !== PERF_RECORD_SAMPLE) continue;
      const length = Math.min(view.getUint32(start + HEADER_SIZE, LITTLE_ENDIAN), size - RAW_HEADER_SIZE);
      this.#place.view = view;
      this.#place.start = start + RAW_HEADER_SIZE;
      this.#place.length = length;
      return true;
    }
    return false;
  }

  /** Hands out what there is. */
  drain(callback: (record: RecordView, cpu: number) => void): number {
    let count = 0;
    try {
      while (!this.#mapping.closed && this.advance()) {
        count++;
        callback(this.record, this.cpu);
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

  #head(): number {
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
