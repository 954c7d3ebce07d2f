/** Floating-point numbers of the other byte order. */

import { Codec } from "../codec.ts";

/** A float or double of a byte order. */
export class FloatOf extends Codec<number> {
  readonly #littleEndian: boolean;

  /**
   * Makes a codec.
   *
   * @param size 4 or 8 bytes.
   * @param littleEndian Whether the first byte is the lowest.
   */
  constructor(size: 4 | 8, littleEndian: boolean) {
    super(`f${8 * size}${littleEndian ? "le" : "be"}`, size);
    this.#littleEndian = littleEndian;
  }

  decode(view: DataView<ArrayBuffer>, offset: number): number {
    return this.size === 4 ? view.getFloat32(offset, this.#littleEndian) : view.getFloat64(offset, this.#littleEndian);
  }

  encode(view: DataView<ArrayBuffer>, offset: number, value: number): void {
    if (typeof value !== "number") throw new TypeError(`Cannot encode ${this.name}: ${value} is not a number`);
    if (this.size === 4) view.setFloat32(offset, value, this.#littleEndian);
    else view.setFloat64(offset, value, this.#littleEndian);
  }
}
