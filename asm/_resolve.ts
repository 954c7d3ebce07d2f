/** Labels to distances. */

import { type Insn, type Item, slots } from "./insn.ts";
import { complaint } from "./_check.ts";
import { FORMS, TARGET_FIELD } from "./_forms.ts";

/** Says what is wrong with an item: `index` is its place in the list, `slot` its place in the program. */
export type Refuse = (problem: { index: number; slot: number; item: Item; reason: string }) => never;

function place(items: readonly Item[], refuse: Refuse): Map<string, number> {
  const places = new Map<string, number>();
  let slot = 0;
  items.forEach((item, index) => {
    if ("code" in item) {
      slot += slots(item);
    } else if (places.has(item.label)) {
      refuse({ index, slot, item, reason: `label "${item.label}" is there already, at ${places.get(item.label)}` });
    } else {
      places.set(item.label, slot);
    }
  });
  return places;
}

/**
 * Turns labels into distances and checks every field.
 *
 * @param items Instructions and labels
 * @param refuse Throws the error
 * @returns The instructions
 */
export function resolveItems(items: readonly Item[], refuse: Refuse): Insn[] {
  const places = place(items, refuse);
  const insns: Insn[] = [];
  let slot = 0;
  items.forEach((item, index) => {
    if (!("code" in item)) return;
    const fail = (reason: string): never => refuse({ index, slot, item, reason });
    const { target, ...plain } = item;
    const insn = target === undefined ? item : aim(plain, target, slot, places, fail);
    const wrong = complaint(insn, { translated: false });
    if (wrong !== undefined) fail(wrong);
    insns.push(insn);
    slot += slots(insn);
  });
  return insns;
}

function aim(
  insn: Insn,
  target: string,
  slot: number,
  places: ReadonlyMap<string, number>,
  fail: (reason: string) => never,
): Insn {
  const form = FORMS[insn.code];
  const field = form === undefined ? undefined : TARGET_FIELD[form];
  if (field === undefined) return fail("it takes no label");
  const at = places.get(target) ?? fail(`there is no label "${target}"`);
  const distance = at - slot - 1;
  if (field === "off" && (distance < -0x8000 || distance > 0x7fff)) {
    fail(`label "${target}" is ${distance} slots away, more than 16 bits hold (gotol reaches further)`);
  }
  return { ...insn, [field]: distance };
}
