/**
 * Records of event buffers as they come: async iteration over one buffer or several, waited for off the main thread.
 *
 * @module
 */

import { Epoll } from "../ffi/epoll.ts";
import type { FdSource } from "../ffi/fd.ts";

/** Says that there is nothing to read. */
export const NOTHING: unique symbol = Symbol("nothing to read");

/** Something that events come from. */
export interface EventSource<T> {
  /** What becomes readable when there are events. */
  readonly descriptors: readonly FdSource[];
  /** Whether nothing will come any more. */
  readonly closed: boolean;
  /** The next event, or {@link NOTHING}. */
  take(): T | typeof NOTHING;
  /** Tells the writers how far the reader has come, before it waits. */
  settle(): void;
  /** Says that somebody waits; a second one is refused with a TypeError. The function that it returns ends that. */
  enterWait(): () => void;
  /** Calls back once the source is closed, until the function that it returns is called. */
  onClose(callback: () => void): () => void;
}

/** How events are read. */
export interface EventsOptions {
  /** Ends the iteration, at once. */
  signal?: AbortSignal | undefined;
}

/** After how many events in a row timers, signals and other work have their turn. */
const EVENTS_A_TURN = 2048;

/**
 * Events as they come, without end. Waiting keeps the process alive and costs nothing else. It ends when the signal
 * aborts, when every source is closed, or when the loop is left.
 *
 * Written out instead of an async generator: a generator costs three turns of the microtask queue an event, this one.
 *
 * @typeParam T An event.
 */
export class EventStream<T> implements AsyncIterableIterator<T, undefined> {
  readonly #sources: readonly EventSource<T>[];
  readonly #signal: AbortSignal | undefined;
  /** Those that are open; none once it has ended. Undefined until it is first asked. */
  #live: readonly EventSource<T>[] | undefined;
  #forget: readonly (() => void)[] = [];
  #epoll: Epoll | undefined;
  /** The last call of next() that is not answered yet. */
  #waiting: Promise<IteratorResult<T, undefined>> | undefined;
  /** Whether the set is being waited on. */
  #pausing = false;
  /** Whether the set has to be made anew once that is over. */
  #stale = false;
  /** How many events may be handed out before others have their turn. */
  #left = EVENTS_A_TURN;
  /** The source that is read next. */
  #next = 0;

  /**
   * Reads from some sources, in turn.
   *
   * @param sources The sources.
   * @param options What ends it.
   */
  constructor(sources: readonly EventSource<T>[], options: EventsOptions = {}) {
    this.#sources = sources;
    this.#signal = options.signal;
  }

  /** The next event, once there is one. */
  next(): Promise<IteratorResult<T, undefined>> {
    if (this.#waiting !== undefined) return this.#track(this.#after(this.#waiting));
    if (this.#left > 0) {
      try {
        const event = this.#take(this.#live ?? this.#begin());
        if (event !== NOTHING) return Promise.resolve({ done: false, value: event });
      } catch (error) {
        return Promise.reject(error);
      }
    }
    return this.#track(this.#wait());
  }

  /** Ends the iteration; what was not read stays in the buffers. */
  return(): Promise<IteratorResult<T, undefined>> {
    this.#end();
    return Promise.resolve({ done: true, value: undefined });
  }

  /** This iterator. */
  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Ends the iteration. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#end();
    return Promise.resolve();
  }

  /** Asks again once a wait is over, so that calls are answered in their order. */
  async #after(before: Promise<unknown>): Promise<IteratorResult<T, undefined>> {
    // An error of that wait has gone to whoever waited.
    await before.catch(() => {});
    return await this.#wait();
  }

  /** Remembers the last call that is not answered yet, for as long as it is not. */
  #track(answer: Promise<IteratorResult<T, undefined>>): Promise<IteratorResult<T, undefined>> {
    const answered = (): void => {
      if (this.#waiting === answer) this.#waiting = undefined;
    };
    this.#waiting = answer;
    answer.then(answered, answered);
    return answer;
  }

  /** Hears of sources that are closed and of the signal, so that nothing has to be asked for each event. */
  #begin(): readonly EventSource<T>[] {
    if (this.#signal?.aborted === true) return this.#live = [];
    this.#signal?.addEventListener("abort", this.#abort);
    const open = this.#sources.filter(({ closed }) => !closed);
    this.#forget = open.map((source) =>
      source.onClose(() => {
        this.#live = this.#live?.filter((other) => other !== source);
        this.#interrupt();
      })
    );
    return this.#live = open;
  }

  readonly #abort = (): void => this.#end();

  /** The next event of any source, each in turn. */
  #take(live: readonly EventSource<T>[]): T | typeof NOTHING {
    for (let tries = 0; tries < live.length; tries++) {
      if (this.#next >= live.length) this.#next = 0;
      const event = live[this.#next++].take();
      if (event === NOTHING) continue;
      this.#left--;
      return event;
    }
    return NOTHING;
  }

  async #wait(): Promise<IteratorResult<T, undefined>> {
    while (true) {
      const live = this.#live ?? this.#begin();
      if (live.length === 0) break;
      const event = this.#left > 0 ? this.#take(live) : NOTHING;
      if (event !== NOTHING) return { done: false, value: event };
      for (const source of live) source.settle();
      // A wait that is over at once lets others have their turn.
      const timeoutMs = this.#left === 0 ? 0 : -1;
      this.#left = EVENTS_A_TURN;
      await this.#pause(live, timeoutMs);
    }
    this.#end();
    return { done: true, value: undefined };
  }

  /** Waits until a source has something, is closed, or the signal aborts. */
  async #pause(live: readonly EventSource<T>[], timeoutMs: number): Promise<void> {
    using stack = new DisposableStack();
    for (const source of live) stack.defer(source.enterWait());
    this.#epoll ??= new Epoll(live.flatMap(({ descriptors }) => descriptors));
    this.#pausing = true;
    try {
      await this.#epoll.wait(timeoutMs);
    } finally {
      this.#pausing = false;
      if (this.#stale) this.#reset();
    }
  }

  /** Ends the wait that is under way; where there is none, the set is let go at once. */
  #interrupt(): void {
    if (!this.#pausing) return this.#reset();
    this.#stale = true;
    this.#epoll?.wake();
  }

  #end(): void {
    for (const source of this.#live ?? []) source.settle();
    this.#live = [];
    this.#signal?.removeEventListener("abort", this.#abort);
    for (const forget of this.#forget) forget();
    this.#forget = [];
    this.#interrupt();
  }

  /** Lets the set go. One that is made anew has no source in it that was closed meanwhile. */
  #reset(): void {
    this.#stale = false;
    this.#epoll?.[Symbol.dispose]();
    this.#epoll = undefined;
  }
}

/** The events of some sources, each with the name of its source. */
export type NamedEvent<S extends Readonly<Record<string, EventSource<unknown>>>> = {
  [N in keyof S & string]: [N, S[N] extends EventSource<infer T> ? T : never];
}[keyof S & string];

/** The events of a source, each with a name. */
class Named<T> implements EventSource<[string, T]> {
  constructor(readonly name: string, readonly source: EventSource<T>) {}

  get descriptors(): readonly FdSource[] {
    return this.source.descriptors;
  }

  get closed(): boolean {
    return this.source.closed;
  }

  take(): [string, T] | typeof NOTHING {
    const event = this.source.take();
    return event === NOTHING ? NOTHING : [this.name, event];
  }

  settle(): void {
    this.source.settle();
  }

  enterWait(): () => void {
    return this.source.enterWait();
  }

  onClose(callback: () => void): () => void {
    return this.source.onClose(callback);
  }
}

/**
 * The events of several buffers as they come, waited for together. Each buffer's are in their order; between buffers
 * there is none.
 *
 * @example
 * ```ts
 * import { acquire, mapCreate, mergeEvents, RingBuffer, u32, u64 } from "@bpf/deno";
 *
 * const token = acquire("CAP_BPF");
 * using opens = new RingBuffer(token, mapCreate(token, { type: "ringbuf", maxEntries: 4096 }));
 * using exits = new RingBuffer(token, mapCreate(token, { type: "ringbuf", maxEntries: 4096 }));
 * const sources = { open: opens.source(u64), exit: exits.source(u32) };
 * for await (const [name, event] of mergeEvents(sources, { signal: AbortSignal.timeout(1000) })) {
 *   console.log(name, event);
 * }
 * ```
 *
 * @typeParam S The sources.
 * @param sources The sources by name.
 * @param options What ends it.
 * @returns An async iterable of pairs of name and event.
 */
export function mergeEvents<const S extends Readonly<Record<string, EventSource<unknown>>>>(
  sources: S,
  options: EventsOptions = {},
): EventStream<NamedEvent<S>> {
  const named = Object.entries(sources).map(([name, source]) => new Named(name, source));
  return new EventStream(named as unknown as EventSource<NamedEvent<S>>[], options);
}
