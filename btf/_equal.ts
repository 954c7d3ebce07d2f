/** Tells which types are equal, those that go in circles included. */

import { idsIn, mapIds } from "./_refs.ts";
import type { BtfType } from "./types.ts";

/** Types looked at in all rounds: types that differ only further away are taken as different from all others. */
const MAX_WORK: number = 1 << 24;

/**
 * Sorts types into classes of equal ones.
 *
 * Types are equal where all that they say is equal and what they are made of is equal too. At first the types that look
 * alike, ids apart, are one class; then classes are split by the classes of the types inside until none splits any more.
 * What is left in one class cannot be told apart, however far one follows it.
 *
 * @param types The types, whose ids are their places here; the first is void.
 * @returns The class of each: the id of the first type that is equal to it.
 */
export function equalTypes(types: readonly BtfType[]): Uint32Array {
  const inner = types.map(idsIn);
  let { classes, count } = classify(types.length, (id) => shape(types[id]));
  for (let work = 0; work < MAX_WORK; work += types.length) {
    const before = classes;
    const split = classify(types.length, (id) => {
      let key = `${before[id]}`;
      for (const other of inner[id]) key += `,${before[other]}`;
      return key;
    });
    if (split.count === count) return classes;
    ({ classes, count } = split);
  }
  // They are not told apart yet, so nothing is said to be equal but what holds no other type.
  return classes.map((first, id) => inner[id].length === 0 ? first : id);
}

/** Classes by a key. */
function classify(length: number, keyOf: (id: number) => string): { classes: Uint32Array; count: number } {
  const firsts = new Map<string, number>();
  const classes = new Uint32Array(length);
  for (let id = 0; id < length; id++) {
    const key = keyOf(id);
    const first = firsts.get(key);
    if (first === undefined) firsts.set(key, id);
    classes[id] = first ?? id;
  }
  return { classes, count: firsts.size };
}

/** All that a type says, without the ids in it. */
function shape(type: BtfType): string {
  return JSON.stringify(mapIds(type, () => 0), (_, value) => typeof value === "bigint" ? `${value}n` : value);
}
