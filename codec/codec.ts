/**
 * What a codec is: the bytes of one C type, read and written as a JavaScript value.
 *
 * @module
 */

/**
 * The bytes of one C type as a JavaScript value. The library's own codecs have the size and alignment that a C compiler
 * gives the type; a class of your own that extends this one works wherever they do.
 *
 * @example
 * ```ts
 * import { Codec } from "@bpf/deno";
 *
 * class Celsius extends Codec<number> {
 *   constructor() {
 *     super("celsius", 4);
 *   }
 *   decode(view: DataView<ArrayBuffer>, offset: number): number {
 *     return view.getInt32(offset, true) / 1000;
 *   }
 *   encode(view: DataView<ArrayBuffer>, offset: number, value: number): void {
 *     view.setInt32(offset, Math.round(value * 1000), true);
 *   }
 * }
 * console.log(new Celsius().size);
 * ```
 *
 * @typeParam T The JavaScript value.
 */
export abstract class Codec<T> {
  /** The C type's name, for messages and printing. */
  readonly name: string;
  /** The bytes of a value: C's sizeof. */
  readonly size: number;
  /** What its address is a multiple of: C's _Alignof. */
  readonly alignment: number;

  /**
   * Makes a codec.
   *
   * @param name The C type's name.
   * @param size The bytes of a value, a multiple of `alignment`.
   * @param alignment What its address is a multiple of: a power of two. By default, the size up to 8 where that is one.
   * @throws {RangeError} For a size or an alignment that no C type has.
   */
  constructor(name: string, size: number, alignment: number = defaultAlignment(size)) {
    if (!Number.isSafeInteger(size) || size < 0) {
      throw new RangeError(`Cannot make a codec of ${name}: size ${size} is not an integer from 0`);
    }
    if (!Number.isInteger(Math.log2(alignment)) || alignment < 1) {
      throw new RangeError(`Cannot make a codec of ${name}: alignment ${alignment} is not a power of two`);
    }
    this.name = name;
    this.size = size;
    this.alignment = alignment;
  }

  /**
   * Reads a value.
   *
   * @param view The memory, at least `offset + size` bytes of it.
   * @param offset Where the value starts.
   * @returns The value, which keeps nothing of the memory.
   */
  abstract decode(view: DataView<ArrayBuffer>, offset: number): T;

  /**
   * Writes a value, padding included.
   *
   * @param view The memory, at least `offset + size` bytes of it.
   * @param offset Where the value starts.
   * @param value The value.
   * @throws {RangeError | TypeError} Where the value does not fit; the message names the field.
   */
  abstract encode(view: DataView<ArrayBuffer>, offset: number, value: T): void;
}

function defaultAlignment(size: number): number {
  return size === 1 || size === 2 || size === 4 ? size : size > 0 && size % 8 === 0 ? 8 : 1;
}

/** The JavaScript value of a codec. */
export type ValueOf<C> = C extends Codec<infer T> ? T : never;

/**
 * A value as bytes.
 *
 * @typeParam T The JavaScript value.
 * @param codec The codec.
 * @param value The value.
 * @returns New bytes.
 * @throws {RangeError | TypeError} Where the value does not fit.
 */
export function encode<T>(codec: Codec<T>, value: T): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(new ArrayBuffer(codec.size));
  codec.encode(new DataView(bytes.buffer), 0, value);
  return bytes;
}

/**
 * The value in some bytes.
 *
 * @typeParam T The JavaScript value.
 * @param codec The codec.
 * @param bytes The bytes: as many as the codec's size.
 * @returns The value.
 * @throws {RangeError} For another number of bytes.
 */
export function decode<T>(codec: Codec<T>, bytes: Uint8Array<ArrayBuffer>): T {
  if (bytes.length !== codec.size) {
    throw new RangeError(`Cannot decode ${codec.name}: ${bytes.length} bytes are not its size of ${codec.size}`);
  }
  return codec.decode(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0);
}
