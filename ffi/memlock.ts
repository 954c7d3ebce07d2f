/**
 * RLIMIT_MEMLOCK, to which kernels before 5.11 charge the memory of maps and programs.
 *
 * @module
 */

import { kernel } from "./kernel.ts";
import { allocate, LITTLE_ENDIAN } from "./memory.ts";

const RLIMIT_MEMLOCK = 8;
const RLIM_INFINITY = 0xffff_ffff_ffff_ffffn;

/** The soft and hard limit, in bytes. */
export interface MemlockLimit {
  /** The limit that counts. */
  readonly soft: bigint;
  /** How far this process may raise it without CAP_SYS_RESOURCE. */
  readonly hard: bigint;
}

/**
 * The limit of this process.
 *
 * @returns Both limits, or undefined where prlimit(2) fails.
 */
export function memlockLimit(): MemlockLimit | undefined {
  const limits = allocate(16);
  if (kernel().prlimit(RLIMIT_MEMLOCK, null, limits) < 0) return undefined;
  const view = new DataView(limits.buffer);
  return { soft: view.getBigUint64(0, LITTLE_ENDIAN), hard: view.getBigUint64(8, LITTLE_ENDIAN) };
}

/**
 * Raises the limit as far as this process may.
 *
 * @returns Whether it was raised.
 */
export function raiseMemlock(): boolean {
  const before = memlockLimit();
  if (before === undefined || before.soft === RLIM_INFINITY) return false;
  const set = (soft: bigint, hard: bigint): boolean => {
    const limits = allocate(16);
    const view = new DataView(limits.buffer);
    view.setBigUint64(0, soft, LITTLE_ENDIAN);
    view.setBigUint64(8, hard, LITTLE_ENDIAN);
    return kernel().prlimit(RLIMIT_MEMLOCK, limits, null) === 0;
  };
  return set(RLIM_INFINITY, RLIM_INFINITY) || (before.hard > before.soft && set(before.hard, before.hard));
}
