/**
 * Queues and stacks.
 *
 * @module
 */

import { MapElemCall } from "../cmds/map_elem.ts";
import { MapHandle } from "./map_handle.ts";

/** How a value is pushed. */
export interface PushOptions {
  /** Whether the oldest value makes room where the map is full. C name: BPF_EXIST. @default {false} */
  replace?: boolean | undefined;
}

/**
 * A queue or a stack. Since Linux 4.20.
 *
 * @example
 * ```ts
 * import { acquire, BpfMap, u32 } from "@bpf/deno";
 *
 * const token = acquire("CAP_BPF");
 * using jobs = BpfMap.create(token, { type: "queue", value: u32, maxEntries: 16 });
 * jobs.push(1);
 * console.log(jobs.peek(), jobs.pop(), jobs.pop());
 * ```
 *
 * @typeParam V A value.
 */
export class QueueMap<V> extends MapHandle<Uint8Array<ArrayBuffer>, V> {
  #push: MapElemCall | undefined;
  #replace: MapElemCall | undefined;
  #peek: MapElemCall | undefined;
  #pop: MapElemCall | undefined;

  /**
   * Adds a value: BPF_MAP_UPDATE_ELEM.
   *
   * @param value The value.
   * @param options Whether the oldest value makes room.
   * @returns This map.
   * @throws {RangeError | TypeError} For a value that does not fit.
   * @throws {SyscallError} E2BIG where it is full.
   */
  push(value: V, { replace = false }: PushOptions = {}): this {
    const call = replace
      ? this.#replace ??= new MapElemCall(this.token, this.descriptor, "map_update_elem", { mode: "exist" })
      : this.#push ??= new MapElemCall(this.token, this.descriptor, "map_update_elem");
    this.value.encode(viewOf(call), 0, value);
    call.run();
    return this;
  }

  /**
   * Takes the next value out: BPF_MAP_LOOKUP_AND_DELETE_ELEM.
   *
   * @returns The oldest of a queue, the newest of a stack; undefined where it is empty.
   */
  pop(): V | undefined {
    return this.#read(this.#pop ??= new MapElemCall(this.token, this.descriptor, "map_lookup_and_delete_elem"));
  }

  /**
   * Reads the next value and leaves it: BPF_MAP_LOOKUP_ELEM.
   *
   * @returns The oldest of a queue, the newest of a stack; undefined where it is empty.
   */
  peek(): V | undefined {
    return this.#read(this.#peek ??= new MapElemCall(this.token, this.descriptor, "map_lookup_elem"));
  }

  #read(call: MapElemCall): V | undefined {
    return call.run() ? this.value.decode(viewOf(call), 0) : undefined;
  }
}

function viewOf({ value }: MapElemCall): DataView<ArrayBuffer> {
  return new DataView(value.buffer, value.byteOffset, value.length);
}
