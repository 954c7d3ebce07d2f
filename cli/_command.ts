/**
 * What a group of commands is: `prog`, `map`, …
 *
 * @module
 */

import type { Session } from "./_session.ts";
import type { Words } from "./_words.ts";

/** Does one command. */
export type Command = (session: Session, words: Words) => void | Promise<void>;

/** The commands of one kind of object. The first is done where none is named. */
export interface CommandGroup {
  /** What is shown by `help`, `{}` where the program's name goes. */
  readonly usage: string;
  /** The commands by their names, in the order in which shortened names are tried. */
  readonly commands: Readonly<Record<string, Command>>;
}
