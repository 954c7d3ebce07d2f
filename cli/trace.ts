/**
 * A command, and the bpf(2) calls that it makes: `bpf trace …`.
 *
 * @module
 */

import { runWords } from "./_bpf.ts";
import type { CommandGroup } from "./_command.ts";
import type { Session } from "./_session.ts";
import { CommandError, type Words } from "./_words.ts";

async function trace(session: Session, words: Words): Promise<void> {
  if (words.left === 0) throw new CommandError("expected a command to trace, got nothing");
  // Beside what the command prints, as strace does.
  using _listener = session.token.audit(({ text }) => session.output.err(`${session.style.dim(text)}\n`));
  await runWords(session, words);
}

/** A command, and the calls that it makes. */
export const group: CommandGroup = { usage: "Usage: {} trace COMMAND …\n", commands: { "": trace } };
