/**
 * Which CPUs there are, and how many the system may ever have: per-CPU values have a slot for each of those.
 *
 * @module
 */

import { tryReadKernelText } from "./kernel_file.ts";

const POSSIBLE = "/sys/devices/system/cpu/possible";
const ONLINE = "/sys/devices/system/cpu/online";

let count: number | undefined;

/**
 * The CPUs in a list as the kernel writes it.
 *
 * @param list The list, such as `"0-3,8"`.
 * @returns Their numbers.
 * @throws {SyntaxError} Where it is no such list.
 */
export function parseCpus(list: string): number[] {
  return list.split(",").flatMap((range) => {
    const match = /^(\d+)(?:-(\d+))?$/.exec(range.trim());
    if (match === null) throw new SyntaxError(`Cannot parse a list of CPUs: "${list}"`);
    const [first, last = first] = [match[1], match[2]];
    return Array.from({ length: Number(last) - Number(first) + 1 }, (_, index) => Number(first) + index);
  });
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
    count = parseCpus(list).length;
  }
  return count;
}

/**
 * The CPUs that are online now.
 *
 * @returns Their numbers.
 * @throws {Error} Where /sys is not mounted.
 */
export function onlineCpus(): number[] {
  const list = tryReadKernelText(ONLINE);
  if (list === undefined) throw new Error(`Cannot tell which CPUs are online: ${ONLINE} cannot be read`);
  return parseCpus(list);
}
