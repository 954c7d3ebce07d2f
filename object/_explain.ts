/** What the verifier's complaint about a call that nobody wrote is about: an instruction that was poisoned. */

import { POISON_CALL } from "../btf/mod.ts";
import type { CoreAdapter } from "./_core.ts";
import type { LinkedProgram } from "./_link.ts";
import { POISON_KFUNC, POISON_MAP } from "./_program_relocs.ts";
import type { ObjectSpec } from "./spec.ts";

/** How the verifier names a helper that there is not, and the instruction before it. */
const UNKNOWN = /invalid func (?:unknown|_?\w*)?#(\d+)/;
const STEP = /^(\d+): \(85\) call (?:unknown|\w*)#(\d+)/gm;

/**
 * Explains a log.
 *
 * @param log The verifier's log.
 * @param spec The object.
 * @param linked The program.
 * @param core What was adapted.
 * @returns What the program asks for that there is not; undefined where the log is about something else.
 */
export function explainPoison(
  log: string,
  { spec, linked, core }: { spec: ObjectSpec; linked: LinkedProgram; core: CoreAdapter },
): string | undefined {
  const number = Number(UNKNOWN.exec(log)?.[1]);
  if (!Number.isInteger(number)) return undefined;
  if (number === POISON_CALL) return explainCore(log, linked, core);
  if (number >= POISON_KFUNC && number < POISON_KFUNC + spec.externs.length) {
    return `it calls ${spec.externs[number - POISON_KFUNC].name}, a function that the kernel has not`;
  }
  const map = Object.values(spec.maps)[number - POISON_MAP];
  return map === undefined ? undefined : `it uses map ${map.name}, which was not made: autocreate is false`;
}

function explainCore(log: string, linked: LinkedProgram, core: CoreAdapter): string {
  let insn = -1;
  for (const [, at, number] of log.matchAll(STEP)) if (Number(number) === POISON_CALL) insn = Number(at);
  const owner = linked.functions.findLast(({ start }) => start <= insn);
  const poisoned = owner === undefined
    ? undefined
    : core.adapted(owner.function).poisoned.find((one) => owner.start + one.insn === insn);
  const what = poisoned === undefined ? "a CO-RE relocation" : `${poisoned.text}, a CO-RE relocation`;
  return `instruction ${insn} asks for ${what} for which the kernel has no type, field or value`;
}
