/**
 * Maps with a value for each possible CPU: percpu_hash, lru_percpu_hash, percpu_array.
 *
 * @module
 */

import { MapElemCall } from "../cmds/map_elem.ts";
import { Codec } from "../codec.ts";
import { possibleCpus } from "../ffi/cpus.ts";
import type { Bytes } from "../ffi/kernel.ts";
import { BPF_F_CPU } from "../uapi/constants.gen.ts";
import { BpfMap } from "./bpf_map.ts";
import type { MapOperation } from "./operations.ts";

/** The values of all possible CPUs as an array: each starts at a multiple of 8 bytes. */
class PerCpuCodec<V> extends Codec<V[]> {
  readonly element: Codec<V>;
  readonly #stride: number;
  readonly #cpus: number;

  constructor(element: Codec<V>, cpus: number) {
    const stride = Math.ceil(element.size / 8) * 8;
    super(`${element.name} × ${cpus} CPUs`, stride * cpus, 8);
    this.element = element;
    this.#stride = stride;
    this.#cpus = cpus;
  }

  decode(view: DataView<ArrayBuffer>, offset: number): V[] {
    const values: V[] = [];
    for (let cpu = 0; cpu < this.#cpus; cpu++) values.push(this.element.decode(view, offset + cpu * this.#stride));
    return values;
  }

  encode(view: DataView<ArrayBuffer>, offset: number, values: V[]): void {
    if (!Array.isArray(values) || values.length !== this.#cpus) {
      const found = Array.isArray(values) ? `${values.length} values` : typeof values;
      throw new RangeError(`Cannot encode a per-CPU value: ${found}, and there are ${this.#cpus} possible CPUs`);
    }
    for (let cpu = 0; cpu < this.#cpus; cpu++) this.element.encode(view, offset + cpu * this.#stride, values[cpu]);
  }
}

/**
 * The codec of a value of all possible CPUs.
 *
 * @typeParam V The value of one CPU.
 * @param element The codec of one CPU's.
 * @returns A codec of arrays, one value a possible CPU.
 */
export function perCpu<V>(element: Codec<V>): Codec<V[]> {
  return new PerCpuCodec(element, possibleCpus());
}

/** What can be added up. */
export type Summand = number | bigint;

/**
 * The sum of numbers, or of bigints.
 *
 * @typeParam V The kind of number.
 * @param values The values; at least one.
 * @returns Their sum.
 * @throws {TypeError} For something else than numbers.
 */
export function sum<V extends Summand>(values: readonly V[]): V {
  return values.map(checkNumber).reduce((total, value) => (total as number) + (value as number) as V);
}

/**
 * The largest of numbers, or of bigints.
 *
 * @typeParam V The kind of number.
 * @param values The values; at least one.
 * @returns The largest.
 * @throws {TypeError} For something else than numbers.
 */
export function max<V extends Summand>(values: readonly V[]): V {
  return values.map(checkNumber).reduce((most, value) => value > most ? value : most);
}

function checkNumber<V>(value: V): V {
  if (typeof value === "number" || typeof value === "bigint") return value;
  throw new TypeError(`Cannot add up per-CPU values: ${typeof value} is no number`);
}

/** A command on the value of one CPU. */
interface OnCpu<V> {
  readonly call: MapElemCall;
  readonly element: Codec<V>;
  readonly keyView: DataView<ArrayBuffer>;
  readonly valueView: DataView<ArrayBuffer>;
}

/**
 * A map with a value for each possible CPU, whose values are arrays.
 *
 * @example
 * ```ts
 * import { acquire, BpfMap, u32, u64 } from "@bpf/deno";
 *
 * const token = acquire("CAP_BPF");
 * using packets = BpfMap.create(token, { type: "percpu_hash", key: u32, value: u64, maxEntries: 64 });
 * packets.fill(80, 0n);
 * console.log(packets.get(80), packets.sum(80));
 * ```
 *
 * @typeParam K A key.
 * @typeParam V A value of one CPU.
 * @typeParam O What user space may do with its elements.
 */
export class PerCpuMap<K, V, O extends MapOperation = MapOperation> extends BpfMap<K, V[], O> {
  /**
   * The sum over all CPUs.
   *
   * @param key The key.
   * @returns The sum; undefined where there is no such element.
   * @throws {TypeError} Where values are no numbers.
   */
  sum(this: PerCpuMap<K, V & Summand, "get">, key: K): (V & Summand) | undefined {
    const values = this.get(key);
    return values === undefined ? undefined : sum(values);
  }

  /**
   * The largest value of any CPU.
   *
   * @param key The key.
   * @returns The value; undefined where there is no such element.
   * @throws {TypeError} Where values are no numbers.
   */
  max(this: PerCpuMap<K, V & Summand, "get">, key: K): (V & Summand) | undefined {
    const values = this.get(key);
    return values === undefined ? undefined : max(values);
  }

  /**
   * Writes the same value for every CPU.
   *
   * @param key The key.
   * @param value The value.
   */
  fill(this: PerCpuMap<K, V, "set">, key: K, value: V): void {
    this.set(key, new Array<V>(possibleCpus()).fill(value));
  }

  /**
   * The value of one CPU. C name: BPF_F_CPU. Since Linux 7.0.
   *
   * @param key The key.
   * @param cpu The CPU.
   * @returns Its value; undefined where there is no such element.
   * @throws {RangeError} For a CPU that there cannot be.
   * @throws {NotSupportedError} Where the kernel is older.
   */
  getCpu(key: K, cpu: number): V | undefined {
    const { call, element, keyView, valueView } = this.#onCpu("map_lookup_elem", cpu);
    this.key.encode(keyView, 0, key);
    return call.run() ? element.decode(valueView, 0) : undefined;
  }

  /**
   * Writes the value of one CPU. Those of the others stay; of an element that is made they are zero. C name: BPF_F_CPU.
   * Since Linux 7.0.
   *
   * @param key The key.
   * @param cpu The CPU.
   * @param value Its value.
   * @returns This map.
   * @throws {RangeError | TypeError} For a CPU that there cannot be, or a value that does not fit.
   * @throws {NotSupportedError} Where the kernel is older.
   */
  setCpu(key: K, cpu: number, value: V): this {
    const { call, element, keyView, valueView } = this.#onCpu("map_update_elem", cpu);
    this.key.encode(keyView, 0, key);
    element.encode(valueView, 0, value);
    call.run();
    return this;
  }

  #onCpu(command: "map_lookup_elem" | "map_update_elem", cpu: number): OnCpu<V> {
    const count = possibleCpus();
    if (!Number.isInteger(cpu) || cpu < 0 || cpu >= count) {
      throw new RangeError(`Cannot use cpu: ${cpu} is not an integer from 0 to ${count - 1}`);
    }
    if (!(this.value instanceof PerCpuCodec)) {
      throw new TypeError(`Cannot use the value of one CPU: ${this.value.name} was not made by perCpu()`);
    }
    const call = new MapElemCall(this.token, this.descriptor, command, {
      flags: BigInt(cpu) << 32n | BigInt(BPF_F_CPU),
    });
    const viewOf = ({ buffer, byteOffset, length }: Bytes) => new DataView(buffer, byteOffset, length);
    return { call, element: this.value.element, keyView: viewOf(call.key), valueView: viewOf(call.value) };
  }
}
