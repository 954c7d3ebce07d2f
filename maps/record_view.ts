/**
 * Records of event buffers, seen in place.
 *
 * @module
 */

import { type Codec, decode } from "../codec.ts";
import { isTrusted } from "../codec/trust.ts";
import { LITTLE_ENDIAN } from "../ffi/memory.ts";

/** What records are read from, one after the other. */
export interface RecordSource {
  /** The record that it was read up to. */
  readonly record: RecordView;
  /** Goes to the next record that is complete; false where there is none. */
  advance(): boolean;
  /** Tells the writers how far the reader has come. */
  settle(): void;
}

/** Where a record is. Its memory may be read-only: only readers of this folder have one. */
export class RecordPlace {
  /** The memory. */
  view: DataView<ArrayBuffer>;
  /** The record's first byte there. */
  start = 0;
  /** The record's bytes; 0 where there is none. */
  length = 0;

  /**
   * A place without a record.
   *
   * @param view The memory.
   */
  constructor(view: DataView<ArrayBuffer>) {
    this.view = view;
  }
}

/**
 * A record, read in place: nothing is copied, and nothing can be written. It stands for one record after the other, and
 * is valid inside of the callback that it is passed to. Numbers have the machine's byte order.
 */
export class RecordView {
  readonly #place: RecordPlace;
  /** The codec that was asked for last, if it may see the memory. */
  #trusted: Codec<unknown> | undefined;

  /**
   * Stands for the records that a place is moved to.
   *
   * @param place The place.
   */
  constructor(place: RecordPlace) {
    this.#place = place;
  }

  /** The record's bytes. */
  get length(): number {
    return this.#place.length;
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
    return codec.decode(this.#place.view, at);
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
    const { buffer, byteOffset } = this.#place.view;
    return new Uint8Array(buffer, byteOffset + at, length).slice();
  }

  /** An unsigned integer of 8 bits. */
  getUint8(offset: number): number {
    return this.#place.view.getUint8(this.#at(offset, 1));
  }

  /** A signed integer of 8 bits. */
  getInt8(offset: number): number {
    return this.#place.view.getInt8(this.#at(offset, 1));
  }

  /** An unsigned integer of 16 bits. */
  getUint16(offset: number, littleEndian: boolean = LITTLE_ENDIAN): number {
    return this.#place.view.getUint16(this.#at(offset, 2), littleEndian);
  }

  /** A signed integer of 16 bits. */
  getInt16(offset: number, littleEndian: boolean = LITTLE_ENDIAN): number {
    return this.#place.view.getInt16(this.#at(offset, 2), littleEndian);
  }

  /** An unsigned integer of 32 bits. */
  getUint32(offset: number, littleEndian: boolean = LITTLE_ENDIAN): number {
    return this.#place.view.getUint32(this.#at(offset, 4), littleEndian);
  }

  /** A signed integer of 32 bits. */
  getInt32(offset: number, littleEndian: boolean = LITTLE_ENDIAN): number {
    return this.#place.view.getInt32(this.#at(offset, 4), littleEndian);
  }

  /** An unsigned integer of 64 bits. */
  getBigUint64(offset: number, littleEndian: boolean = LITTLE_ENDIAN): bigint {
    return this.#place.view.getBigUint64(this.#at(offset, 8), littleEndian);
  }

  /** A signed integer of 64 bits. */
  getBigInt64(offset: number, littleEndian: boolean = LITTLE_ENDIAN): bigint {
    return this.#place.view.getBigInt64(this.#at(offset, 8), littleEndian);
  }

  #at(offset: number, size: number): number {
    const { start, length } = this.#place;
    // The memory behind the record is another's, or not there.
    if (offset >= 0 && offset + size <= length) return start + offset;
    throw new RangeError(`Cannot read a record: bytes ${offset} to ${offset + size} are outside of its ${length}`);
  }
}
