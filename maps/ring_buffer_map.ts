/**
 * Ring buffers as maps.
 *
 * @module
 */

import { Codec } from "../codec.ts";
import type { Bytes } from "../ffi/kernel.ts";
import { MapHandle } from "./map_handle.ts";
import type { EventsOptions, EventSource, EventStream } from "./event_stream.ts";
import type { RecordView } from "./record_view.ts";
import { RingBuffer, type RingPositions } from "./ring_buffer.ts";

/**
 * A ring buffer: programs write records, this process reads them. Its memory is mapped when it is first read. Since
 * Linux 5.8.
 *
 * @example
 * ```ts
 * import { acquire, BpfMap, struct, u32, u64 } from "@bpf/deno";
 *
 * const token = acquire("CAP_BPF");
 * using ring = BpfMap.create(token, { type: "ringbuf", maxEntries: 64 * 1024 });
 * const event = struct({ time: u64, pid: u32, uid: u32 });
 * for await (const { pid } of ring.events(event, { signal: AbortSignal.timeout(1000) })) console.log(pid);
 * ```
 */
export class RingBufferMap extends MapHandle<Bytes, Bytes> {
  #reader: RingBuffer | undefined;

  /** The ring's only reader, made when it is first asked for. */
  get reader(): RingBuffer {
    return this.#reader ??= new RingBuffer(this.token, this.descriptor);
  }

  /** Where its reader and its writers are. */
  get positions(): RingPositions {
    return this.reader.positions;
  }

  /**
   * Reads what there is, without copying or allocating anything.
   *
   * @param callback Called with each record, which is valid inside of the callback.
   * @returns How many records there were.
   */
  drain(callback: (record: RecordView) => void): number {
    return this.reader.drain(callback);
  }

  /**
   * The records as they come, without end, as copies of their bytes.
   *
   * @param options What ends it.
   * @returns An async iterable.
   */
  events(options?: EventsOptions): EventStream<Bytes>;
  /**
   * The records as they come, without end, decoded.
   *
   * @typeParam T An event.
   * @param codec The codec. Records may be longer.
   * @param options What ends it.
   * @returns An async iterable.
   */
  events<T>(codec: Codec<T>, options?: EventsOptions): EventStream<T>;
  events<T>(first?: Codec<T> | EventsOptions, second?: EventsOptions): EventStream<T> | EventStream<Bytes> {
    return first instanceof Codec ? this.reader.events(first, second) : this.reader.events(first);
  }

  /**
   * This ring as one of several that are read together, by `mergeEvents()`.
   *
   * @typeParam T An event.
   * @param codec The codec. Records may be longer.
   * @returns The source.
   */
  source<T>(codec: Codec<T>): EventSource<T> {
    return this.reader.source(codec);
  }

  /**
   * Closes the map, and ends the iteration that is under way.
   *
   * @param reason What a later use is told.
   */
  override close(reason?: string): void {
    this.#reader?.close(reason);
    super.close(reason);
  }
}
