/**
 * Several commands from a file: `bpf batch file FILE`.
 *
 * @module
 */

import { report, runWords } from "./_bpf.ts";
import { RawJson, type Writable, writeJson } from "./_json.ts";
import { type Output, Session } from "./_session.ts";
import { CommandError, QuietFailure, Words } from "./_words.ts";

/** The words of a line; quotes keep blanks together, `#` begins a comment. */
export function splitLine(line: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quote = "";
  for (const character of line) {
    if (quote !== "") {
      if (character === quote) quote = "";
      else word += character;
    } else if (character === "'" || character === '"') {
      quote = character;
      word ??= "";
    } else if (character === "#" && word === undefined) break;
    else if (/\s/.test(character)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else word = (word ?? "") + character;
  }
  if (quote !== "") throw new CommandError(`a quotation mark is missing: ${line.trim()}`);
  return word === undefined ? words : [...words, word];
}

async function readInput(path: string): Promise<string> {
  if (path !== "-") return await Deno.readTextFile(path);
  return await new Response(Deno.stdin.readable).text();
}

/** Does the commands of a file, one a line, until one fails. */
export async function batch(session: Session, words: Words): Promise<void> {
  words.expect("file");
  const path = words.next("a file");
  words.end();
  const text = await readInput(path);
  const { options, output, style } = session;
  const answers: { command: string[]; output: Writable }[] = [];
  let failed = 0;
  let done = 0;
  for (const [index, line] of text.replace(/\\\n/g, " ").split("\n").entries()) {
    const command = splitLine(line);
    if (command.length === 0) continue;
    // Each is JSON of its own: what shows several, such as events, has them in an array.
    const parts: RawJson[] = [];
    const collected: Output = options.format === "json"
      ? { ...output, out: (part) => void parts.push(new RawJson(part.trim())) }
      : output;
    const one = new Session(options, collected, style);
    try {
      await runWords(one, new Words(command));
    } catch (error) {
      // Nobody reads any more: that ends all, and nothing of it has failed.
      if (error instanceof Deno.errors.BrokenPipe) throw error;
      failed = report(error, collected, one);
      if (session.isText) output.err(`Command failed: line ${index + 1}\n`);
    } finally {
      one.close();
    }
    answers.push({ command, output: parts.length > 1 ? parts : parts[0] ?? null });
    if (failed !== 0) break;
    done++;
  }
  if (options.format === "json") {
    output.out(`${writeJson(answers, options.pretty)}\n`);
  } else if (failed === 0 && session.isText) output.out(`processed ${done} commands\n`);
  if (failed !== 0) throw new QuietFailure(failed);
}
