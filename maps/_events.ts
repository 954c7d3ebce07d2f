/**
 * The records of a buffer as a source of events.
 *
 * @module
 */

import { type Codec, decode } from "../codec.ts";
import { isTrusted } from "../codec/trust.ts";
import type { FdSource } from "../ffi/fd.ts";
import { type EventSource, NOTHING } from "./event_stream.ts";
import { type RecordSource, RecordView } from "./record_view.ts";

/** Who waits for a buffer's records, and who wants to know when it is closed. */
export class Waiters {
  #waiting = false;
  readonly #callbacks = new Set<() => void>();

  /**
   * Begins a wait. There is one at a time, since two would take records from each other.
   *
   * @returns Ends it.
   * @throws {TypeError} Where another is under way.
   */
  enter(): () => void {
    if (this.#waiting) throw new TypeError("Cannot wait for events: another wait is under way");
    this.#waiting = true;
    return () => this.#waiting = false;
  }

  /** Calls back once the buffer is closed, until the function that this returns is called. */
  onClose(callback: () => void): () => void {
    this.#callbacks.add(callback);
    return () => void this.#callbacks.delete(callback);
  }

  /** Says that the buffer is closed. */
  close(): void {
    for (const callback of [...this.#callbacks]) callback();
  }
}

/** A buffer that events are read from. */
export interface EventBuffer {
  readonly reader: RecordSource;
  readonly descriptors: readonly FdSource[];
  readonly waiters: Waiters;
  readonly closed: boolean;
}

/** The events of one buffer. */
class BufferEvents<T> implements EventSource<T> {
  readonly #buffer: EventBuffer;
  readonly #reader: RecordSource;
  readonly #record: RecordView;
  readonly #codec: Codec<T> | undefined;
  /** Whether the codec may see the memory itself. */
  readonly #direct: boolean;

  constructor(buffer: EventBuffer, codec: Codec<T> | undefined) {
    this.#buffer = buffer;
    this.#reader = buffer.reader;
    this.#record = new RecordView(buffer.reader);
    this.#codec = codec;
    this.#direct = codec !== undefined && isTrusted(codec);
  }

  get descriptors(): readonly FdSource[] {
    return this.#buffer.descriptors;
  }

  get closed(): boolean {
    return this.#buffer.closed;
  }

  take(): T | typeof NOTHING {
    const [reader, codec] = [this.#reader, this.#codec];
    if (!reader.advance()) return NOTHING;
    if (codec === undefined) return this.#record.bytes() as T;
    if (reader.length < codec.size) {
      throw new RangeError(`Cannot decode ${codec.name}: a record has ${reader.length} bytes of its ${codec.size}`);
    }
    return this.#direct ? codec.decode(reader.view, reader.start) : decode(codec, this.#record.bytes(0, codec.size));
  }

  settle(): void {
    this.#reader.settle();
  }

  enterWait(): () => void {
    return this.#buffer.waiters.enter();
  }

  onClose(callback: () => void): () => void {
    return this.#buffer.waiters.onClose(callback);
  }
}

/** A buffer's records, decoded where there is a codec, as copies of their bytes where there is none. */
export function eventsOf<T>(buffer: EventBuffer, codec: Codec<T> | undefined): EventSource<T> {
  return new BufferEvents(buffer, codec);
}
