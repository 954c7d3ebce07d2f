/** Pieces of the assembler's text: lines, comments, numbers. */

/** Where the text of one instruction stands, and what it says of itself. */
export interface Line {
  /** The number of the line, from 1. */
  readonly number: number;
  /** The line as it was written. */
  readonly written: string;
  /** The labels before the instruction. */
  readonly labels: readonly string[];
  /** The opcode in parentheses before the instruction. */
  readonly opcode?: number;
  /** The instruction; empty where there is none. */
  readonly text: string;
}

/** A label's name. */
export const NAME = "[A-Za-z_.$][\\w.$]*";

const COMMENT = /(?:;|\/\/|(?<=^|\s)#).*$/;
const SLOT = /^\d+:\s*/;
const OPCODE = /^\(([0-9a-f]{2})\)\s*/i;
const LABEL = new RegExp(`^(${NAME})\\s*:\\s*`);

/**
 * Splits a text into lines, and takes from each what is not the instruction itself.
 *
 * @param text The text
 * @returns The lines that hold something
 */
export function lines(text: string): Line[] {
  return text.split(/\r\n|\n|\r/).map((written, index) => line(written, index + 1))
    .filter(({ text, labels, opcode }) => text !== "" || labels.length > 0 || opcode !== undefined);
}

function line(written: string, number: number): Line {
  let text = written.replace(COMMENT, "").trim();
  const labels: string[] = [];
  for (let match = LABEL.exec(text); match !== null; match = LABEL.exec(text)) {
    labels.push(match[1]);
    text = text.slice(match[0].length);
  }
  text = text.replace(SLOT, "");
  const opcode = OPCODE.exec(text);
  if (opcode === null) return { number, written, labels, text };
  return { number, written, labels, text: text.slice(opcode[0].length), opcode: parseInt(opcode[1], 16) };
}

/**
 * A whole number as the assembler writes it: decimal or `0x`, with any signs before it.
 *
 * @param text The text, which the grammar has matched
 * @returns The number
 */
export function whole(text: string): bigint {
  const plain = text.replace(/[\s+-]/g, "");
  const minuses = text.match(/-/g)?.length ?? 0;
  return minuses % 2 === 1 ? -BigInt(plain) : BigInt(plain);
}

/**
 * A whole number that is small enough for a field, or wrong enough for the check of the field to say so.
 *
 * @param text The text, which the grammar has matched; undefined is 0
 * @returns The number
 */
export function small(text: string | undefined): number {
  return text === undefined ? 0 : Number(whole(text));
}
