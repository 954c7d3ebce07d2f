/**
 * Going through a map: its keys, values and entries as iterators.
 *
 * @module
 */

import type { Codec } from "../codec.ts";
import type { Fd } from "../ffi/fd.ts";
import type { AnyToken } from "../tokens/token.ts";
import { type Chunks, chunksOf } from "./_chunks.ts";

/** The codecs of a map. */
export interface Codecs<K, V> {
  readonly key: Codec<K>;
  readonly value: Codec<V>;
}

const NO_MEMORY: DataView<ArrayBuffer> = new DataView(new ArrayBuffer(0));

/**
 * An iterator over chunks. Written out instead of a generator, which costs twice as much an element: what V8 sees in
 * `for … of` is one small method, whose result it never has to make.
 */
abstract class Elements<R> implements IterableIterator<R> {
  protected keys = NO_MEMORY;
  protected values = NO_MEMORY;
  #chunks: Chunks | undefined;
  #count = 0;
  #index = 0;

  constructor(chunks: Chunks) {
    this.#chunks = chunks;
  }

  /** What is handed out for an element of the chunk. */
  protected abstract item(index: number): R;

  next(): IteratorResult<R, undefined> {
    if (this.#index === this.#count && !this.#refill()) return { done: true, value: undefined };
    return { done: false, value: this.item(this.#index++) };
  }

  /** Ends it: the memory is let go. */
  return(): IteratorResult<R, undefined> {
    this.#end();
    return { done: true, value: undefined };
  }

  [Symbol.iterator](): this {
    return this;
  }

  #refill(): boolean {
    if (this.#chunks === undefined) return false;
    const { count, keys, values } = this.#chunks();
    if (count === 0) {
      this.#end();
      return false;
    }
    if (this.keys.buffer !== keys.buffer) {
      this.keys = new DataView(keys.buffer);
      this.values = new DataView(values.buffer);
    }
    this.#count = count;
    this.#index = 0;
    return true;
  }

  #end(): void {
    this.#chunks = undefined;
    this.#count = this.#index = 0;
    this.keys = this.values = NO_MEMORY;
  }
}

class Keys<K> extends Elements<K> {
  readonly #key: Codec<K>;

  constructor(chunks: Chunks, key: Codec<K>) {
    super(chunks);
    this.#key = key;
  }

  protected item(index: number): K {
    return this.#key.decode(this.keys, index * this.#key.size);
  }
}

class Values<V> extends Elements<V> {
  readonly #value: Codec<V>;

  constructor(chunks: Chunks, value: Codec<V>) {
    super(chunks);
    this.#value = value;
  }

  protected item(index: number): V {
    return this.#value.decode(this.values, index * this.#value.size);
  }
}

class Entries<K, V> extends Elements<[K, V]> {
  readonly #key: Codec<K>;
  readonly #value: Codec<V>;

  constructor(chunks: Chunks, { key, value }: Codecs<K, V>) {
    super(chunks);
    this.#key = key;
    this.#value = value;
  }

  protected item(index: number): [K, V] {
    return [
      this.#key.decode(this.keys, index * this.#key.size),
      this.#value.decode(this.values, index * this.#value.size),
    ];
  }
}

/** One walk through a map. */
export class Walk<K, V> {
  readonly #chunks: Chunks;
  readonly #codecs: Codecs<K, V>;

  constructor(token: AnyToken, map: Fd, codecs: Codecs<K, V>, lock?: boolean) {
    this.#chunks = chunksOf(token, map, { lock });
    this.#codecs = codecs;
  }

  keys(): IterableIterator<K> {
    return new Keys(this.#chunks, this.#codecs.key);
  }

  values(): IterableIterator<V> {
    return new Values(this.#chunks, this.#codecs.value);
  }

  entries(): IterableIterator<[K, V]> {
    return new Entries(this.#chunks, this.#codecs);
  }

  count(): number {
    let sum = 0;
    for (let count = -1; count !== 0; sum += count) ({ count } = this.#chunks());
    return sum;
  }
}
