/**
 * Bloom filters.
 *
 * @module
 */

import { MapElemCall } from "../cmds/map_elem.ts";
import { MapHandle } from "./map_handle.ts";

/**
 * A bloom filter: a set that may say yes to what was never added, and never no to what was. `extra` is the number of its
 * hash functions, 1 to 15, by default 5. Since Linux 5.16.
 *
 * @example
 * ```ts
 * import { acquire, BpfMap, ipv4 } from "@bpf/deno";
 *
 * const token = acquire("CAP_BPF");
 * using blocked = BpfMap.create(token, { type: "bloom_filter", value: ipv4, maxEntries: 1000, extra: 3 });
 * blocked.add("192.0.2.1");
 * console.log(blocked.mayHave("192.0.2.1"), blocked.mayHave("192.0.2.2"));
 * ```
 *
 * @typeParam V A value.
 */
export class BloomFilter<V> extends MapHandle<Uint8Array<ArrayBuffer>, V> {
  #add: MapElemCall | undefined;
  #has: MapElemCall | undefined;

  /**
   * Adds a value: BPF_MAP_UPDATE_ELEM.
   *
   * @param value The value.
   * @returns This map.
   * @throws {RangeError | TypeError} For a value that does not fit.
   */
  add(value: V): this {
    this.#add ??= new MapElemCall(this.token, this.descriptor, "map_update_elem");
    this.#run(this.#add, value);
    return this;
  }

  /**
   * Whether a value may have been added: BPF_MAP_LOOKUP_ELEM.
   *
   * @param value The value.
   * @returns False where it surely was not.
   * @throws {RangeError | TypeError} For a value that does not fit.
   */
  mayHave(value: V): boolean {
    this.#has ??= new MapElemCall(this.token, this.descriptor, "map_lookup_elem");
    return this.#run(this.#has, value);
  }

  #run(call: MapElemCall, value: V): boolean {
    this.value.encode(new DataView(call.value.buffer, call.value.byteOffset, call.value.length), 0, value);
    return call.run();
  }
}
