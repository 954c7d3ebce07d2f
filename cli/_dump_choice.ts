/**
 * What the dumps of a program's instructions have in common: how they are chosen, and how source lines are shown.
 *
 * @module
 */

import type { LineAt } from "../progs/mod.ts";
import { safe } from "./_style.ts";
import { CommandError, type Words } from "./_words.ts";

/** How instructions are shown. */
export interface DumpChoice {
  readonly file: string | undefined;
  readonly opcodes: boolean;
  readonly linum: boolean;
  readonly visual: boolean;
}

/** Reads the words after the program. */
export function parseChoice(words: Words): DumpChoice {
  const choice = { file: undefined as string | undefined, opcodes: false, linum: false, visual: false };
  while (words.left > 0) {
    if (words.accept("file")) choice.file = words.next("a file");
    else if (words.accept("opcodes")) choice.opcodes = true;
    else if (words.accept("linum")) choice.linum = true;
    else if (words.accept("visual")) choice.visual = true;
    else throw new CommandError(`expected 'file', 'opcodes', 'linum' or 'visual', got: '${words.peek}'?`);
  }
  if (choice.file !== undefined && (choice.opcodes || choice.linum || choice.visual)) {
    throw new CommandError("instructions in a file are bytes: opcodes, linum and visual can't be shown there");
  }
  return choice;
}

/** Where a source line is; what is not told is left out. */
export function placeJson(
  source: LineAt | undefined,
  linum: boolean,
): Readonly<Record<string, string | number | undefined>> {
  if (!linum || source === undefined || source.file === "") return {};
  return { file: source.file, line_num: source.line || undefined, line_col: source.column || undefined };
}

/** Where a source line is, for people. */
export function placeText(source: LineAt, linum: boolean): string {
  return linum && source.file !== ""
    ? ` [file:${safe(source.file)} line_num:${source.line} line_col:${source.column}]`
    : "";
}
