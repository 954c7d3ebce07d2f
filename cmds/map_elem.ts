/**
 * Single elements of maps: BPF_MAP_LOOKUP_ELEM, BPF_MAP_UPDATE_ELEM, BPF_MAP_DELETE_ELEM,
 * BPF_MAP_LOOKUP_AND_DELETE_ELEM and BPF_MAP_GET_NEXT_KEY, each once or prepared for many times.
 *
 * @module
 */

import { Attr } from "../ffi/attr.ts";
import { Fd, fdNumber, type FdSource } from "../ffi/fd.ts";
import { type Bytes, kernel } from "../ffi/kernel.ts";
import { allocate } from "../ffi/memory.ts";
import { BPF_ANY, BPF_EXIST, BPF_NOEXIST } from "../uapi/constants.gen.ts";
import { errnos } from "../uapi/errno.gen.ts";
import type { AnyToken } from "../tokens/token.ts";
import { attempt, report } from "./_call.ts";
import { failure } from "./_failure.ts";
import { type MapShape, mapShape } from "./map_shape.ts";
import { checkLength } from "./_types.ts";

/** The commands on a single element. */
export type ElemCommand =
  | "map_lookup_elem"
  | "map_update_elem"
  | "map_delete_elem"
  | "map_lookup_and_delete_elem"
  | "map_get_next_key";

/** Whether an update may create or replace: `"any"` both, `"noexist"` only create, `"exist"` only replace. */
export type UpdateMode = "any" | "noexist" | "exist";

const MODES: Readonly<Record<UpdateMode, number>> = { any: BPF_ANY, noexist: BPF_NOEXIST, exist: BPF_EXIST };

const ACTIONS: Readonly<Record<ElemCommand, string>> = {
  map_lookup_elem: "look up a map element",
  map_update_elem: "update a map element",
  map_delete_elem: "delete a map element",
  map_lookup_and_delete_elem: "look up and delete a map element",
  map_get_next_key: "get the next key of a map",
};

/** What the element functions take besides the map. */
export interface ElemOptions {
  /** The key: exactly the map's key size; an empty array for maps without keys. C name: `key`. */
  key?: Bytes | undefined;
  /** Flags of the command, such as BPF_F_LOCK. C name: `flags`. @default {0n} */
  flags?: number | bigint | undefined;
}

/** What `mapLookupElem()` takes besides the map. */
export interface LookupElemOptions extends ElemOptions {
  /** For bloom filters, which have no keys: the value that is asked about. C name: `value`. */
  value?: Bytes | undefined;
}

/** What `mapUpdateElem()` takes besides the map. */
export interface UpdateElemOptions extends ElemOptions {
  /** The value: exactly the map's value size, times all possible CPUs for per-CPU maps. C name: `value`. */
  value: Bytes;
  /** Whether it may create or replace. @default {"any"} */
  mode?: UpdateMode | undefined;
}

function updateFlags(options: { mode?: UpdateMode | undefined; flags?: number | bigint | undefined }): bigint {
  const mode = options.mode ?? "any";
  if (!Object.hasOwn(MODES, mode)) throw new TypeError(`Cannot use mode: "${mode}" is none of any, noexist, exist`);
  return BigInt(options.flags ?? 0) | BigInt(MODES[mode]);
}

/** One call: null where the kernel says ENOENT. */
function elem(
  token: AnyToken,
  command: ElemCommand,
  map: FdSource,
  options: { key?: Bytes | undefined; value?: Bytes; nextKey?: Bytes; flags?: number | bigint | undefined },
  { type, keySize, valueSize }: MapShape = mapShape(token, map),
): boolean {
  const { key, value, nextKey } = options;
  // The first key is asked for with no key at all.
  if (key !== undefined || command !== "map_get_next_key") checkLength(key ?? allocate(0), keySize, "key");
  const attr = new Attr(command).fd("map_fd", map);
  if (key !== undefined) attr.pointer("key", key);
  if (value !== undefined) {
    checkLength(value, valueSize, "value");
    (attr as Attr<"map_update_elem">).pointer("value", value);
  }
  if (nextKey !== undefined) {
    checkLength(nextKey, keySize, "nextKey");
    (attr as Attr<"map_get_next_key">).pointer("next_key", nextKey);
  }
  if (options.flags) (attr as Attr<"map_update_elem">).u64("flags", options.flags);
  const context = { action: ACTIONS[command], mapType: type };
  const result = attempt(token, attr, context);
  if (result >= 0) return true;
  if (result === -errnos.ENOENT && command !== "map_update_elem") return false;
  throw failure(token, attr, -result, context);
}

/**
 * Reads an element: BPF_MAP_LOOKUP_ELEM. Since Linux 3.18.
 *
 * @example
 * ```ts
 * import { acquire, mapCreate, mapLookupElem, mapUpdateElem } from "@bpf/deno";
 *
 * const token = acquire("CAP_BPF");
 * using map = mapCreate(token, { type: "array", keySize: 4, valueSize: 8, maxEntries: 1 });
 * mapUpdateElem(token, map, { key: new Uint8Array(4), value: new Uint8Array(8).fill(1) });
 * console.log(mapLookupElem(token, map, { key: new Uint8Array(4) }));
 * ```
 *
 * @param token A permission token.
 * @param map The map.
 * @param options The key, or for bloom filters the value, and flags.
 * @returns The value (all CPUs' values of a per-CPU map); undefined where the map has no such key.
 * @throws {RangeError} Where the key or value does not have the map's size.
 * @throws {SyscallError} ENOTSUPP for map types that user space cannot read; EPERM for write-only maps.
 */
export function mapLookupElem(token: AnyToken, map: FdSource, options: LookupElemOptions): Bytes | undefined {
  const shape = mapShape(token, map);
  const value = allocate(shape.valueSize);
  if (options.value !== undefined) {
    checkLength(options.value, shape.valueSize, "value");
    value.set(options.value);
  }
  return elem(token, "map_lookup_elem", map, { ...options, value }, shape) ? value : undefined;
}

/**
 * Writes an element: BPF_MAP_UPDATE_ELEM. Since Linux 3.18.
 *
 * @param token A permission token.
 * @param map The map.
 * @param options The key, the value, and whether it may create or replace.
 * @throws {RangeError} Where key or value do not have the map's sizes.
 * @throws {SyscallError} E2BIG where the map is full or the index too high; EEXIST and ENOENT by the mode; EPERM for
 * frozen and read-only maps.
 */
export function mapUpdateElem(token: AnyToken, map: FdSource, options: UpdateElemOptions): void {
  const { key, value } = options;
  elem(token, "map_update_elem", map, { key, value, flags: updateFlags(options) });
}

/**
 * Deletes an element: BPF_MAP_DELETE_ELEM. Since Linux 3.18.
 *
 * @param token A permission token.
 * @param map The map.
 * @param options The key.
 * @returns Whether the map had the key.
 * @throws {RangeError} Where the key does not have the map's key size.
 * @throws {SyscallError} EINVAL for maps whose elements cannot be deleted, such as arrays.
 */
export function mapDeleteElem(token: AnyToken, map: FdSource, options: Pick<ElemOptions, "key">): boolean {
  return elem(token, "map_delete_elem", map, { key: options.key });
}

/**
 * Reads an element and deletes it: BPF_MAP_LOOKUP_AND_DELETE_ELEM. Since Linux 4.20 for queues and stacks, 5.14 for
 * hashes.
 *
 * @param token A permission token.
 * @param map The map.
 * @param options The key, none for queues and stacks, and flags.
 * @returns The value; undefined where the map has no such key, or is empty.
 * @throws {RangeError} Where the key does not have the map's key size.
 * @throws {NotSupportedError} For hashes on kernels before 5.14.
 * @throws {SyscallError} ENOTSUPP for other types of maps.
 */
export function mapLookupAndDeleteElem(token: AnyToken, map: FdSource, options: ElemOptions = {}): Bytes | undefined {
  const shape = mapShape(token, map);
  const value = allocate(shape.valueSize);
  return elem(token, "map_lookup_and_delete_elem", map, { ...options, value }, shape) ? value : undefined;
}

/**
 * The key after another: BPF_MAP_GET_NEXT_KEY. Since Linux 3.18. After a key that the map does not have comes the first.
 *
 * @param token A permission token.
 * @param map The map.
 * @param options The key before; none for the first.
 * @returns The key; undefined after the last.
 * @throws {RangeError} Where the key does not have the map's key size.
 */
export function mapGetNextKey(
  token: AnyToken,
  map: FdSource,
  options: Pick<ElemOptions, "key"> = {},
): Bytes | undefined {
  const shape = mapShape(token, map);
  const nextKey = allocate(shape.keySize);
  return elem(token, "map_get_next_key", map, { key: options.key, nextKey }, shape) ? nextKey : undefined;
}

/**
 * An element command prepared for many calls: key and value lie in one buffer, whose addresses are worked out once.
 * Write the key (and value) in place, call {@link MapElemCall.run}, read the value in place.
 *
 * @example
 * ```ts
 * import { acquire, mapCreate, MapElemCall } from "@bpf/deno";
 *
 * const token = acquire("CAP_BPF");
 * using map = mapCreate(token, { type: "array", keySize: 4, valueSize: 8, maxEntries: 16 });
 * const lookup = new MapElemCall(token, map, "map_lookup_elem");
 * for (let index = 0; index < 16; index++) {
 *   lookup.key[0] = index;
 *   if (lookup.run()) console.log(lookup.value);
 * }
 * ```
 */
export class MapElemCall {
  /** The key, to be written in place. */
  readonly key: Bytes;
  /** The value, or the next key, in place. */
  readonly value: Bytes;
  readonly #token: AnyToken;
  readonly #attr: Attr<ElemCommand>;
  readonly #number: number;
  readonly #size: number;
  readonly #mapType: number;
  readonly #map: Fd | undefined;
  readonly #memory: ArrayBuffer;

  /**
   * Prepares a command on one map.
   *
   * @param token A permission token.
   * @param map The map. Where it is a bare number, the caller keeps it open.
   * @param command The command.
   * @param options For updates the mode, and flags.
   * @throws {PermissionError} Where the token does not allow the command.
   */
  constructor(
    token: AnyToken,
    map: FdSource,
    command: ElemCommand,
    options: { mode?: UpdateMode | undefined; flags?: number | bigint | undefined } = {},
  ) {
    token.assert({ command }, ACTIONS[command]);
    const { type, keySize, valueSize } = mapShape(token, map);
    const resultSize = command === "map_get_next_key" ? keySize : valueSize;
    const valueOffset = Math.ceil(keySize / 8) * 8;
    const both = allocate(valueOffset + resultSize);
    this.#memory = both.buffer;
    this.key = both.subarray(0, keySize);
    this.value = both.subarray(valueOffset, valueOffset + resultSize);
    const attr = new Attr(command).fd("map_fd", map).pointer("key", this.key);
    const flags = command === "map_update_elem" ? updateFlags(options) : BigInt(options.flags ?? 0);
    if (command === "map_get_next_key") (attr as Attr<"map_get_next_key">).pointer("next_key", this.value);
    else if (command !== "map_delete_elem") {
      (attr as Attr<"map_update_elem">).pointer("value", this.value);
      // Not written where there are none: an error may be blamed on a field that is.
      if (flags !== 0n) (attr as Attr<"map_update_elem">).u64("flags", flags);
    }
    this.#token = token;
    this.#attr = attr;
    this.#number = attr.number;
    this.#size = attr.bytes.length;
    this.#mapType = type;
    this.#map = map instanceof Fd ? map : undefined;
  }

  /**
   * Makes the call.
   *
   * @returns False where the kernel says ENOENT: no such key, an empty map, or no further key.
   * @throws {TypeError} Where the map is closed, or the memory of key and value was transferred.
   * @throws {PermissionError} Where the token was revoked.
   * @throws {SyscallError} Whatever else the kernel says.
   */
  run(): boolean {
    // A closed map's number may be somebody else's by now, and so may memory that was transferred.
    if (this.#map?.closed || this.#token.revoked || this.#memory.detached) this.#refuse();
    const result = kernel().bpf(this.#number, this.#attr.bytes, this.#size);
    if (this.#token.audited) report(this.#token, this.#attr, result);
    if (result >= 0) return true;
    if (result === -errnos.ENOENT && this.#attr.command !== "map_update_elem") return false;
    const context = { action: ACTIONS[this.#attr.command], mapType: this.#mapType };
    throw failure(this.#token, this.#attr, -result, context);
  }

  #refuse(): never {
    const { command } = this.#attr;
    this.#token.assert({ command }, ACTIONS[command]);
    if (this.#map !== undefined) fdNumber(this.#map, "map");
    throw new TypeError("Cannot use key and value: their memory was transferred");
  }
}
