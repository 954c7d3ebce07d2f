/**
 * A list that keeps none of its items from the garbage collector.
 *
 * @module
 */

/** How many items are remembered before the first look at which are still in use. */
const FIRST_SWEEP = 64;

/** What a token remembers: its handles, and the tokens that were derived from it. */
export class WeakList<T extends object> {
  readonly #inUse: (item: T) => boolean;
  #items: WeakRef<T>[] = [];
  #sweepAt = FIRST_SWEEP;

  /** Makes an empty list of items that are forgotten once they are no longer in use, or gone. */
  constructor(inUse: (item: T) => boolean) {
    this.#inUse = inUse;
  }

  /** How many are remembered, those included that nobody uses any more and no sweep has met yet. */
  get length(): number {
    return this.#items.length;
  }

  /** Remembers an item. */
  add(item: T): void {
    if (this.#items.length >= this.#sweepAt) {
      this.#items = this.#items.filter((reference) => {
        const known = reference.deref();
        return known !== undefined && this.#inUse(known);
      });
      this.#sweepAt = Math.max(FIRST_SWEEP, 2 * this.#items.length);
    }
    this.#items.push(new WeakRef(item));
  }

  /** Forgets all items, and answers those that are still there. */
  take(): T[] {
    const items = this.#items.map((reference) => reference.deref()).filter((item) => item !== undefined);
    this.#items = [];
    return items;
  }
}
