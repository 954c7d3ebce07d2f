/** Tells which types are equal, those that go in circles included. */

import { idsIn, mapIds } from "./_refs.ts";
import type { BtfType } from "./types.ts";

/** Types looked at in all rounds: types that differ only further away are taken as different from all others. */
const MAX_WORK: number = 1 << 22;

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
  const classes = new Uint32Array(types.length);
  let { active, shared: count } = classify(types.keys(), (id) => shape(types[id]), classes);
  // Those that are alone in their class stay alone, so that most types are looked at once.
  const inner = new Map(active.map((id) => [id, idsIn(types[id])]));
  for (let work = 0; work < MAX_WORK; work += active.length) {
    const before = classes.slice();
    const split = classify(active, (id) => {
      let key = `${before[id]}`;
      for (const other of inner.get(id) as number[]) key += `,${before[other]}`;
      return key;
    }, classes);
    if (split.count === count) return classes;
    active = split.active;
    count = split.shared;
  }
  // They are not told apart yet, so nothing is said to be equal but what holds no other type.
  return classes.map((first, id) => inner.get(id)?.length === 0 ? first : id);
}

/** What {@linkcode classify} has found. */
interface Classified {
  /** The ids that share their class with others. */
  readonly active: number[];
  /** How many classes there are. */
  readonly count: number;
  /** How many of them have more than one member. */
  readonly shared: number;
}

/** Puts ids of the same key into one class, which is named for its first one. */
function classify(ids: Iterable<number>, keyOf: (id: number) => string, classes: Uint32Array): Classified {
  const members = new Map<string, number[]>();
  for (const id of ids) {
    const key = keyOf(id);
    const same = members.get(key);
    if (same === undefined) members.set(key, [id]);
    else same.push(id);
  }
  const active: number[] = [];
  let shared = 0;
  for (const same of members.values()) {
    for (const id of same) classes[id] = same[0];
    if (same.length < 2) continue;
    shared++;
    for (const id of same) active.push(id);
  }
  return { active, count: members.size, shared };
}

/** All that a type says, without the ids in it. */
function shape(type: BtfType): string {
  if (type.kind !== "enum64") return JSON.stringify(mapIds(type, () => 0));
  return JSON.stringify({ ...type, values: type.values.map(({ name, val }) => [name, `${val}`]) });
}
