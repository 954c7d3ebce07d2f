/**
 * Arenas: memory that programs and user space share, pages of which come into being when they are touched.
 *
 * @module
 */

import { mapShape } from "../cmds/map_shape.ts";
import { Mapping, pageSize } from "../ffi/mapping.ts";
import { BPF_F_SEGV_ON_FAULT } from "../uapi/constants.gen.ts";
import { checkMappable } from "./array.ts";
import { MapHandle } from "./map_handle.ts";

/**
 * An arena: up to 4 GiB of memory that a program and this process share. `maxEntries` is its size in pages, `extra` the
 * address that it has to have in this process. Since Linux 6.9.
 *
 * @example
 * ```ts
 * import { acquire, BpfMap } from "@bpf/deno";
 *
 * const token = acquire("CAP_BPF");
 * using arena = BpfMap.create(token, { type: "arena", maxEntries: 16 });
 * const words = new BigUint64Array(arena.memory);
 * words[0] = 42n;
 * console.log(arena.memory.byteLength, words[0]);
 * ```
 */
export class Arena extends MapHandle<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>> {
  #memory: Mapping | undefined;

  /**
   * The arena's memory. Pages are made when they are first touched, by a program or here. It reads as empty once the map
   * is closed.
   *
   * @throws {TypeError} For an arena with the flag `segv_on_fault`, where touching a page that is not there would end the
   * process.
   * @throws {PermissionError} Where the token was restricted to reading.
   * @throws {SyscallError} Where mmap(2) fails.
   */
  get memory(): ArrayBuffer {
    return this.#map().buffer;
  }

  /** The address of the memory, which is what programs store as pointers into it. */
  get address(): bigint {
    return this.#map().address;
  }

  #map(): Mapping {
    const { flags, maxEntries } = mapShape(this.token, this.descriptor);
    checkMappable(this.type, flags, this.token.readOnly);
    if ((flags & BPF_F_SEGV_ON_FAULT) !== 0) {
      throw new TypeError("Cannot map an arena: with the flag segv_on_fault a missing page would end the process");
    }
    const { mapExtra } = this.#memory === undefined ? this.info : { mapExtra: 0n };
    return this.#memory ??= this.token.adopt(
      new Mapping(this.descriptor, { length: maxEntries * pageSize(), writable: true, address: mapExtra }),
    );
  }

  /**
   * Closes the arena, and takes its memory back: views of it read as empty.
   *
   * @param reason What a later use is told.
   */
  override close(reason?: string): void {
    this.#memory?.close();
    super.close(reason);
  }
}
