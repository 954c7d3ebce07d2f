/**
 * How many CPUs the system may ever have: per-CPU values have a slot for each.
 *
 * @module
 */

import { tryReadKernelText } from "./kernel_file.ts";

const POSSIBLE = "/sys/devices/system/cpu/possible";

let count: number | undefined;

/**
 * The number of CPUs in a list as the kernel writes it.
 *
 * @param list The list, such as `"0-3,8"`.
 * @returns How many numbers it names.
 * @throws {SyntaxError} Where it is no such list.
 */
export function countCpus(list: string): number {
  return list.split(",").reduce((sum, range) => {
    const match = /^(\d+)(?:-(\d+))?$/.exec(range.trim());
    if (match === null) throw new SyntaxError(`Cannot parse a list of CPUs: "${list}"`);
    const [first, last = first] = [match[1], match[2]];
    return sum + Number(last) - Number(first) + 1;
  }, 0);
}

/**
 * The number of possible CPUs, which is fixed from boot on.
 *
 * @returns The number.
 * @throws {Error} Where /sys is not mounted: a guess would let the kernel write past the end of a buffer.
 */
export function possibleCpus(): number {
  if (count === undefined) {
    const list = tryReadKernelText(POSSIBLE);
    if (list === undefined) throw new Error(`Cannot size a per-CPU value: ${POSSIBLE} cannot be read`);
    count = countCpus(list);
  }
  return count;
}
