/**
 * Perf buffers: what programs send by bpf_perf_event_output(), a ring a CPU.
 *
 * @module
 */

import { mapShape } from "../cmds/map_shape.ts";
import { mapDeleteElem, mapUpdateElem } from "../cmds/map_elem.ts";
import { Codec, encode, u32 } from "../codec.ts";
import { SyscallError } from "../errors.ts";
import { onlineCpus } from "../ffi/cpus.ts";
import type { Fd, FdSource } from "../ffi/fd.ts";
import { type Bytes, kernel } from "../ffi/kernel.ts";
import { openPerfEvent } from "../ffi/perf_event.ts";
import { structBuffer } from "../ffi/struct_buffer.ts";
import type { AnyToken } from "../tokens/token.ts";
import {
  PERF_COUNT_SW_BPF_OUTPUT,
  PERF_EVENT_IOC_ENABLE,
  PERF_SAMPLE_RAW,
  PERF_SAMPLE_TIME,
  PERF_TYPE_SOFTWARE,
} from "../uapi/constants.gen.ts";
import { mapTypes } from "../uapi/enums.gen.ts";
import { BpfMap } from "./bpf_map.ts";
import { eventsOf, Waiters } from "./_events.ts";
import type { MapParts } from "./map_handle.ts";
import { type EventsOptions, type EventSource, EventStream, NOTHING } from "./event_stream.ts";
import { type OperationsOf, typeName } from "./operations.ts";
import { PerfReader } from "./_perf_reader.ts";
import type { RecordView } from "./record_view.ts";

/** How a perf buffer is made. */
export interface PerfBufferOptions {
  /** Pages of data a CPU: a power of two. @default {8} */
  pages?: number | undefined;
  /** After how many samples a waiting reader is woken. C name: `wakeup_events`. @default {1} */
  wakeupEvents?: number | undefined;
  /** Whether each sample tells when it was sent. C name: PERF_SAMPLE_TIME. @default {false} */
  timestamps?: boolean | undefined;
  /** The CPUs whose samples are read. C name: `cpus`. @default {those that are online} */
  cpus?: readonly number[] | undefined;
  /**
   * The element of the map that each of `cpus` takes, for programs that send to another than their CPU's. C name:
   * `map_keys`. @default {the CPU's number}
   */
  keys?: readonly number[] | undefined;
}

/** What a CPU sent. */
export interface PerfEvent<T> {
  /** The CPU that it was sent on. */
  readonly cpu: number;
  /** What was sent. */
  readonly event: T;
  /**
   * With `timestamps`: when it was sent, in nanoseconds of perf's own clock, which runs from about the system's start.
   */
  readonly time?: bigint;
}

/**
 * A reader of a perf event array. C names: `struct perf_buffer`, BPF_MAP_TYPE_PERF_EVENT_ARRAY. Since Linux 4.4.
 *
 * Each CPU has a ring of its own: samples of one CPU are in order, between CPUs there is none. Where a ring is full,
 * samples are lost, which {@link PerfBuffer.lost} counts. A sample is padded to a multiple of 8 bytes, less 4.
 *
 * @example
 * ```ts
 * import { acquire, mapCreate, PerfBuffer, u64 } from "@bpf/deno";
 *
 * const token = acquire("CAP_BPF", "CAP_PERFMON");
 * using map = mapCreate(token, { type: "perf_event_array", keySize: 4, valueSize: 4, maxEntries: 64 });
 * using perf = new PerfBuffer(token, map);
 * for await (const { cpu, event } of perf.events(u64, { signal: AbortSignal.timeout(1000) })) {
 *   console.log(cpu, event, perf.lost);
 * }
 * ```
 */
export class PerfBuffer implements Disposable {
  readonly #token: AnyToken;
  readonly #map: FdSource;
  readonly #events: Fd[] = [];
  readonly #readers: PerfReader[] = [];
  readonly #keys: number[] = [];
  readonly #waiters: Waiters[] = [];
  #closedBecause: string | undefined;

  /**
   * Opens a perf event on each CPU, maps its ring, and puts it into the map.
   *
   * @param token A permission token.
   * @param map The map. The caller keeps it open.
   * @param options The size of the rings, when a reader is woken, of which CPUs, and whether samples tell their time.
   * @throws {RangeError} For a number of pages that is no power of two, a map that has fewer elements than CPUs, `cpus` or
   * `keys` with one twice, and `keys` that are more or fewer than `cpus`.
   * @throws {PermissionError} Where kernel.perf_event_paranoid keeps the process from it.
   * @throws {SyscallError} EPERM from mmap(2) where kernel.perf_event_mlock_kb allows no more.
   */
  constructor(token: AnyToken, map: FdSource, options: PerfBufferOptions = {}) {
    const { pages = 8, cpus = onlineCpus() } = options;
    const keys = options.keys ?? cpus;
    if (!Number.isInteger(Math.log2(pages)) || pages < 1) {
      throw new RangeError(`Cannot make a perf buffer: pages ${pages} is not a power of two`);
    }
    const { type, maxEntries } = mapShape(token, map);
    if (type !== mapTypes.perf_event_array) {
      throw new TypeError(`Cannot make a perf buffer: the map is of type ${typeName(type)}`);
    }
    if (new Set(cpus).size < cpus.length) throw new RangeError("Cannot make a perf buffer: a CPU is in cpus twice");
    if (keys.length !== cpus.length || new Set(keys).size < keys.length) {
      throw new RangeError(`Cannot make a perf buffer: ${cpus.length} CPUs need as many different keys`);
    }
    for (const [index, key] of keys.entries()) {
      if (Number.isInteger(key) && key >= 0 && key < maxEntries) continue;
      throw new RangeError(
        `Cannot make a perf buffer: the map has ${maxEntries} elements, and CPU ${cpus[index]} needs element ${key}`,
      );
    }
    this.#token = token;
    this.#map = map;
    try {
      for (const [index, cpu] of cpus.entries()) this.#open(cpu, keys[index], { ...options, pages });
    } catch (error) {
      this.close();
      throw error;
    }
    token.adopt(this);
  }

  #open(cpu: number, key: number, options: PerfBufferOptions & { pages: number }): void {
    const { pages, wakeupEvents = 1, timestamps = false } = options;
    const sampleType = PERF_SAMPLE_RAW | (timestamps ? PERF_SAMPLE_TIME : 0);
    const attr = structBuffer("perf_event_attr").u32("type", PERF_TYPE_SOFTWARE).u64("config", PERF_COUNT_SW_BPF_OUTPUT)
      .u64("sample_type", sampleType).u64("sample_period", 1).u32("wakeup_events", wakeupEvents);
    const event = openPerfEvent(attr, { cpu });
    this.#events.push(event);
    const reader = new PerfReader(event, { cpu, pages, timestamps });
    this.#readers.push(reader);
    this.#keys.push(key);
    this.#waiters.push(new Waiters());
    mapUpdateElem(this.#token, this.#map, { key: encode(u32, key), value: encode(u32, event.fd) });
    const result = kernel().ioctl(event.fd, PERF_EVENT_IOC_ENABLE, 0);
    if (result < 0) throw new SyscallError({ command: "ioctl", errno: -result, action: "enable a perf event" });
  }

  /** Whether it is closed. */
  get closed(): boolean {
    return this.#closedBecause !== undefined;
  }

  /** How many samples were lost for want of room, on all CPUs, as far as the rings were read. */
  get lost(): number {
    return this.#readers.reduce((sum, { lost }) => sum + lost, 0);
  }

  /** How many samples were lost on each CPU, by its number. */
  get lostByCpu(): ReadonlyMap<number, number> {
    return new Map(this.#readers.map(({ cpu, lost }) => [cpu, lost]));
  }

  /**
   * Reads what there is, CPU after CPU, without copying but for samples that wrap around.
   *
   * @param callback Called with each sample, the CPU that it was sent on, and, with `timestamps`, when. The sample is valid
   * inside of the callback.
   * @returns How many samples there were.
   * @throws {TypeError} After dispose().
   */
  drain(callback: (sample: RecordView, cpu: number, time: bigint | undefined) => void): number {
    this.#check();
    return this.#readers.reduce((count, reader) => count + (this.closed ? 0 : reader.drain(callback)), 0);
  }

  /**
   * The samples as they come, without end, as copies of their bytes.
   *
   * @param options What ends it.
   * @returns An async iterable.
   */
  events(options?: EventsOptions): EventStream<PerfEvent<Bytes>>;
  /**
   * The samples as they come, without end, decoded.
   *
   * @typeParam T An event.
   * @param codec The codec. Samples may be longer.
   * @param options What ends it.
   * @returns An async iterable.
   */
  events<T>(codec: Codec<T>, options?: EventsOptions): EventStream<PerfEvent<T>>;
  events<T>(
    first?: Codec<T> | EventsOptions,
    second?: EventsOptions,
  ): EventStream<PerfEvent<T>> | EventStream<PerfEvent<Bytes>> {
    this.#check();
    return first instanceof Codec
      ? new EventStream(this.sources(first), second)
      : new EventStream(this.sources<Bytes>(), first);
  }

  /**
   * The rings as sources for `mergeEvents()`, one a CPU.
   *
   * @typeParam T An event.
   * @param codec The codec; copies of the bytes without one.
   * @returns The sources.
   */
  sources<T>(codec?: Codec<T>): EventSource<PerfEvent<T>>[] {
    this.#check();
    const isClosed = (): boolean => this.closed;
    return this.#readers.map((reader, index) => {
      const source = eventsOf<T>({
        reader,
        descriptors: [this.#events[index]],
        waiters: this.#waiters[index],
        get closed(): boolean {
          return isClosed();
        },
      }, codec);
      const { cpu } = reader;
      return {
        descriptors: source.descriptors,
        get closed(): boolean {
          return isClosed();
        },
        take(): PerfEvent<T> | typeof NOTHING {
          const event = source.take();
          if (event === NOTHING) return NOTHING;
          const { time } = reader;
          return time === undefined ? { cpu, event } : { cpu, event, time };
        },
        settle: () => source.settle(),
        enterWait: () => source.enterWait(),
        onClose: (callback) => source.onClose(callback),
      };
    });
  }

  #check(): void {
    if (this.#closedBecause !== undefined) throw new TypeError(`Cannot read a perf buffer: ${this.#closedBecause}`);
  }

  /**
   * Takes the events out of the map, closes them, and ends the iteration that is under way.
   *
   * @param reason What a later use is told.
   */
  close(reason = "it is closed"): void {
    if (this.closed) return;
    this.#closedBecause = reason;
    for (const reader of this.#readers) reader.close();
    for (const [index, key] of this.#keys.entries()) {
      this.#forget(key);
      this.#events[index].close(reason);
    }
    for (const event of this.#events) event.close(reason);
    for (const waiters of this.#waiters) waiters.close();
  }

  /** Takes an event out of the map: it would stay there as long as the map is open. */
  #forget(key: number): void {
    try {
      mapDeleteElem(this.#token, this.#map, { key: encode(u32, key) });
    } catch {
      // The map is closed, or the token was revoked, which closes it: the kernel takes the event out itself then.
    }
  }

  /** Closes it. */
  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * A perf event array: perf events go in, and programs send samples to them or read their counters.
 *
 * @typeParam T A sample, for maps whose samples have a codec.
 */
export class PerfEventArray<T = Bytes> extends BpfMap<number, number, OperationsOf<"perf_event_array">, FdSource> {
  /** The codec of the samples; undefined where they are bytes. */
  readonly record: Codec<T> | undefined;
  #reader: PerfBuffer | undefined;

  /**
   * Takes over an open perf event array. Use `BpfMap.create()` and `BpfMap.open()`.
   *
   * @param parts The descriptor, the token and the codecs.
   */
  constructor(parts: MapParts<number, number>) {
    super(parts);
    this.record = parts.record as Codec<T> | undefined;
  }

  /**
   * Opens a perf buffer over this map.
   *
   * @param options How the perf buffer is made.
   * @returns The reader, to be closed before the map.
   */
  open(options: PerfBufferOptions = {}): PerfBuffer {
    return new PerfBuffer(this.token, this.descriptor, options);
  }

  /**
   * The samples as they come, without end: decoded where the map has a codec for them, else as copies of their bytes.
   * The first call makes the perf buffer that later ones read too; it is closed with the map.
   *
   * @param options What ends it, and at the first call how the perf buffer is made.
   * @returns An async iterable.
   */
  events(options: EventsOptions & PerfBufferOptions = {}): EventStream<PerfEvent<T>> {
    if (this.#reader === undefined || this.#reader.closed) this.#reader = this.open(options);
    return this.record === undefined
      ? this.#reader.events(options) as EventStream<PerfEvent<unknown>> as EventStream<PerfEvent<T>>
      : this.#reader.events(this.record, options);
  }

  /**
   * Closes the map, and the perf buffer that {@linkcode PerfEventArray.events} made.
   *
   * @param reason What a later use is told.
   */
  override close(reason?: string): void {
    this.#reader?.close(reason);
    super.close(reason);
  }
}
