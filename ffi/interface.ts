/**
 * Network interfaces by name.
 *
 * @module
 */

import { kernel } from "./kernel.ts";

/**
 * The index of a network interface, in this process's network namespace.
 *
 * @param name Its name; an index is given back as it is.
 * @returns Its index.
 * @throws {RangeError} For an index below 1.
 * @throws {TypeError} Where no interface has the name.
 */
export function interfaceIndex(name: string | number): number {
  if (typeof name === "number") {
    if (Number.isInteger(name) && name > 0 && name <= 0x7fffffff) return name;
    throw new RangeError(`Cannot use interface: ${name} is not an index from 1 to 2147483647`);
  }
  const index = kernel().ifNameToIndex(name);
  if (index <= 0) throw new TypeError(`Cannot use interface: there is no "${name}" in this network namespace`);
  return index;
}
