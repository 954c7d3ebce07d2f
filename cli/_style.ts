/**
 * Colours of a terminal, where there is one and nobody has asked for none.
 *
 * @module
 */

/** How parts of a text look. */
export interface Style {
  /** A number that names an object. */
  id(text: string): string;
  /** A name that somebody chose. */
  name(text: string): string;
  /** A type. */
  type(text: string): string;
  /** What matters less. */
  dim(text: string): string;
  /** What is wrong. */
  bad(text: string): string;
}

const same = (text: string): string => text;

/** No colours. */
export const plainStyle: Style = { id: same, name: same, type: same, dim: same, bad: same };

const coloured = (code: string) => (text: string): string => text === "" ? "" : `\x1b[${code}m${text}\x1b[0m`;

/** Colours that show on dark and on light. */
export const colourStyle: Style = {
  id: coloured("1"),
  name: coloured("36"),
  type: coloured("32"),
  dim: coloured("2"),
  bad: coloured("31"),
};

// deno-lint-ignore no-control-regex
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;

/** A text of somebody else's that cannot change the terminal. */
export function safe(text: string): string {
  return text.replace(CONTROL, "?");
}
