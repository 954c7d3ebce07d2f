/**
 * What every open map is, whatever its type: a descriptor with a token, sizes and a name.
 *
 * @module
 */

import type { MapInfo } from "../cmds/info.ts";
import { mapFreeze } from "../cmds/map.ts";
import { mapShape } from "../cmds/map_shape.ts";
import { objGetInfoByFd, objPin, type PathOptions } from "../cmds/obj.ts";
import type { Codec } from "../codec.ts";
import type { Fd } from "../ffi/fd.ts";
import type { AnyToken } from "../tokens/token.ts";
import type { MapType } from "../uapi/enums.gen.ts";

/** What a map is made of. */
export interface MapParts<K, V> {
  /** The token that opened it. */
  readonly token: AnyToken;
  /** The descriptor, owned. */
  readonly fd: Fd;
  /** The type, by name where it has one. */
  readonly type: MapType | number;
  /** The codec of keys. */
  readonly key: Codec<K>;
  /** The codec of values, of all CPUs where there is one for each. */
  readonly value: Codec<V>;
  /** The codec of the records that programs send, for event buffers; without one they are bytes. */
  readonly record?: Codec<unknown> | undefined;
}

/**
 * An open map. It is closed when its `using` ends, when its token is revoked, or by the garbage collector.
 *
 * @typeParam K A key.
 * @typeParam V A value.
 */
export abstract class MapHandle<K = unknown, V = unknown> implements Disposable {
  /** The type, by name where this library knows it. */
  readonly type: MapType | number;
  /** The codec of keys. */
  readonly key: Codec<K>;
  /** The codec of values, of all CPUs for per-CPU maps. */
  readonly value: Codec<V>;
  /** The token that opened it. */
  readonly token: AnyToken;
  /** The descriptor, which this map owns: commands take it as it is. */
  readonly descriptor: Fd;

  /**
   * Takes over an open map. Use `BpfMap.create()` and `BpfMap.open()`.
   *
   * @param parts The descriptor, the token and the codecs.
   * @throws {RangeError} Where a codec has another size than the map's keys or values; the descriptor is closed then.
   */
  constructor(parts: MapParts<K, V>) {
    const { fd, token, type, key, value } = parts;
    const { keySize, valueSize } = mapShape(token, fd);
    for (const [what, codec, size] of [["key", key, keySize], ["value", value, valueSize]] as const) {
      if (codec.size === size) continue;
      fd.close();
      throw new RangeError(`Cannot use ${what}: ${codec.name} has ${codec.size} bytes, and the map's has ${size}`);
    }
    this.type = type;
    this.key = key;
    this.value = value;
    this.token = token;
    this.descriptor = fd;
  }

  /** The descriptor's number, for as long as the map is open. */
  get fd(): number {
    return this.descriptor.as("map");
  }

  /** Whether it is closed. */
  get closed(): boolean {
    return this.descriptor.closed;
  }

  /** How many elements it may have: the length of an array, the bytes of a ring buffer. C name: `max_entries`. */
  get maxEntries(): number {
    return mapShape(this.token, this.descriptor).maxEntries;
  }

  /** What the kernel tells about it. C name: `struct bpf_map_info`. */
  get info(): MapInfo {
    return objGetInfoByFd(this.token, this.descriptor, { kind: "map" });
  }

  /**
   * Forbids user space to change the map from now on: BPF_MAP_FREEZE. Programs still can. Since Linux 5.2.
   *
   * @throws {SyscallError} EBUSY where its memory is mapped; EPERM where it is frozen already.
   */
  freeze(): void {
    mapFreeze(this.token, this.descriptor);
  }

  /**
   * Gives the map a name on a bpffs, which keeps it alive: BPF_OBJ_PIN.
   *
   * @param path The path.
   * @param options The directory that it is relative to.
   * @throws {SyscallError} EEXIST where the path exists; EPERM where it is not on a bpffs.
   */
  pin(path: string, options: PathOptions = {}): void {
    objPin(this.token, this.descriptor, { ...options, path });
  }

  /**
   * Closes the map; a second call does nothing. The kernel keeps it for as long as something else uses it.
   *
   * @param reason What a later use is told, after "Cannot use map:".
   */
  close(reason?: string): void {
    this.descriptor.close(reason);
  }

  /** Closes the map. */
  [Symbol.dispose](): void {
    this.close();
  }
}
