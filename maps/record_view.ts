/**
 * Records of event buffers, seen in place.
 *
 * @module
 */

import { type Codec, decode } from "../codec.ts";
import { isTrusted } from "../codec/trust.ts";
import { LITTLE_ENDIAN } from "../ffi/memory.ts";

/** Where the record is that a buffer was read up to. Its memory may be read-only: only this folder sees the view. */
export interface RecordSource {
  /** The memory. */
  readonly view: DataView<ArrayBuffer>;
  /** The record's first byte. */
  readonly start: number;
  /** The record's bytes; 0 while there is none. */
  readonly length: number;
  /** Goes to the next record that is complete; false where there is none. */
  advance(): boolean;
  /** Tells the writers how far the reader has come. */
  settle(): void;
}

/**
 * A record, read in place: nothing is copied, and nothing can be written. It stands for one record after the other, and
 * is valid inside of the callback that it is passed to. Numbers have the machine's byte order.
 */
export class RecordView {
  readonly #source: RecordSource;
  /** The codec that was asked for last, if it may see the memory. */
  #trusted: Codec<unknown> | undefined;

  /**
   * Stands for the records of a buffer.
   *
   * @param source The buffer.
   */
  constructor(source: RecordSource) {
    this.#source = source;
  }

  /** The record's bytes. */
  get length(): number {
    return this.#source.length;
  }

  /**
   * Reads a value by a codec.
   *
   * @typeParam T The value.
   * @param codec The codec.
   * @param offset Where the value starts in the record. @default {0}
   * @returns The value, which keeps nothing of the record.
   * @throws {RangeError} Where the record is too short.
   */
  decode<T>(codec: Codec<T>, offset = 0): T {
    const at = this.#at(offset, codec.size);
    if (codec !== this.#trusted) {
      if (!isTrusted(codec)) return decode(codec, this.bytes(offset, codec.size));
      this.#trusted = codec;
    }
    return codec.decode(this.#source.view, at);
  }

  /**
   * Copies bytes.
   *
   * @param offset The first one in the record. @default {0}
   * @param length How many; by default all that follow.
   * @returns A copy.
   * @throws {RangeError} Where the record is too short.
   */
  bytes(offset = 0, length: number = this.length - offset): Uint8Array<ArrayBuffer> {
    const at = this.#at(offset, length);
    const { buffer, byteOffset } = this.#source.view;
    return new Uint8Array(buffer, byteOffset + at, length).slice();
  }

  /** An unsigned integer of 8 bits. */
  getUint8(offset: number): number {
    return this.#source.view.getUint8(this.#at(offset, 1));
  }

  /** A signed integer of 8 bits. */
  getInt8(offset: number): number {
    return this.#source.view.getInt8(this.#at(offset, 1));
  }

  /** An unsigned integer of 16 bits. */
  getUint16(offset: number, littleEndian: boolean = LITTLE_ENDIAN): number {
    return this.#source.view.getUint16(this.#at(offset, 2), littleEndian);
  }

  /** A signed integer of 16 bits. */
  getInt16(offset: number, littleEndian: boolean = LITTLE_ENDIAN): number {
    return this.#source.view.getInt16(this.#at(offset, 2), littleEndian);
  }

  /** An unsigned integer of 32 bits. */
  getUint32(offset: number, littleEndian: boolean = LITTLE_ENDIAN): number {
    return this.#source.view.getUint32(this.#at(offset, 4), littleEndian);
  }

  /** A signed integer of 32 bits. */
  getInt32(offset: number, littleEndian: boolean = LITTLE_ENDIAN): number {
    return this.#source.view.getInt32(this.#at(offset, 4), littleEndian);
  }

  /** An unsigned integer of 64 bits. */
  getBigUint64(offset: number, littleEndian: boolean = LITTLE_ENDIAN): bigint {
    return this.#source.view.getBigUint64(this.#at(offset, 8), littleEndian);
  }

  /** A signed integer of 64 bits. */
  getBigInt64(offset: number, littleEndian: boolean = LITTLE_ENDIAN): bigint {
    return this.#source.view.getBigInt64(this.#at(offset, 8), littleEndian);
  }

  #at(offset: number, size: number): number {
    const { start, length } = this.#source;
    // The memory behind the record is another's, or not there.
    if (!(offset >= 0 && offset + size <= length) || !Number.isInteger(offset)) {
      throw new RangeError(`Cannot read a record: bytes ${offset} to ${offset + size} are outside of its ${length}`);
    }
    return start + offset;
  }
}
