/**
 * Ring buffers as maps.
 *
 * @module
 */

import { Codec } from "../codec.ts";
import type { Bytes } from "../ffi/kernel.ts";
import { MapHandle, type MapParts } from "./map_handle.ts";
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
 *
 * @typeParam T A record, for rings whose records have a codec.
 */
export class RingBufferMap<T = Bytes> extends MapHandle<Bytes, Bytes> {
  /** The codec of its records; undefined where they are bytes. */
  readonly record: Codec<T> | undefined;
  #reader: RingBuffer | undefined;

  /**
   * Takes over an open ring buffer. Use `BpfMap.create()` and `BpfMap.open()`.
   *
   * @param parts The descriptor, the token and the codecs.
   */
  constructor(parts: MapParts<Bytes, Bytes>) {
    super(parts);
    this.record = parts.record as Codec<T> | undefined;
  }

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
   * The records as they come, without end: decoded where the ring has a codec for them, else as copies of their bytes.
   *
   * @param options What ends it.
   * @returns An async iterable.
   */
  events(options?: EventsOptions): EventStream<T>;
  /**
   * The records as they come, without end, decoded.
   *
   * @typeParam E An event.
   * @param codec The codec. Records may be longer.
   * @param options What ends it.
   * @returns An async iterable.
   */
  events<E>(codec: Codec<E>, options?: EventsOptions): EventStream<E>;
  events<E>(first?: Codec<E> | EventsOptions, second?: EventsOptions): EventStream<E> | EventStream<T> {
    if (first instanceof Codec) return this.reader.events(first, second);
    return this.record === undefined
      ? this.reader.events(first) as EventStream<unknown> as EventStream<T>
      : this.reader.events(this.record, first);
  }

  /**
   * This ring as one of several that are read together, by `mergeEvents()`.
   *
   * @typeParam E An event.
   * @param codec The codec. Records may be longer.
   * @returns The source.
   */
  source<E>(codec: Codec<E>): EventSource<E> {
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
