/**
 * Numbers for tests that try many cases.
 *
 * @module
 */

/** Gives a whole number from 0 to below another. */
export type Random = (below: number) => number;

/**
 * Numbers that look random and are the same each time: mulberry32.
 *
 * @param seed Where they start.
 * @returns What gives them.
 */
export function random(seed: number): Random {
  let state = seed | 0;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}
