/**
 * Numbers for the type names that callers pass, and buffers whose length has to be right.
 *
 * @module
 */

import type { Bytes } from "../ffi/kernel.ts";

/** The number for a name of a generated table, or for a number itself. */
export function numberOf<N extends string>(
  table: Readonly<Record<N, number>>,
  value: N | number,
  argument: string,
): number {
  if (typeof value === "number") {
    if (!Number.isInteger(value) || value < 0 || value > 0xffffffff) {
      throw new RangeError(`Cannot use ${argument}: ${value} is not an integer from 0 to 4294967295`);
    }
    return value;
  }
  if (!Object.hasOwn(table, value)) throw new TypeError(`Cannot use ${argument}: "${value}" is unknown`);
  return table[value];
}

/** The names of generated tables by their numbers, made when one is asked for. */
const inverted = new WeakMap<object, ReadonlyMap<number, string>>();

/** The name for a number of a generated table, the first where it has several, or the number where it has none. */
export function nameOrNumber<N extends string>(table: Readonly<Record<N, number>>, value: number): N | number {
  let names = inverted.get(table);
  if (names === undefined) {
    names = new Map((Object.entries(table) as [N, number][]).reverse().map(([name, number]) => [number, name]));
    inverted.set(table, names);
  }
  return names.get(value) as N | undefined ?? value;
}

/** Refuses a buffer that the kernel would read or write past its end. */
export function checkLength(bytes: Bytes, wanted: number, argument: string, exact = true): void {
  if (!(bytes instanceof Uint8Array)) throw new TypeError(`Cannot use ${argument}: it is no Uint8Array`);
  if (exact ? bytes.length === wanted : bytes.length >= wanted) return;
  const limit = exact ? `${wanted}` : `at least ${wanted}`;
  throw new RangeError(`Cannot use ${argument}: it has ${bytes.length} bytes and needs ${limit}`);
}
