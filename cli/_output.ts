/**
 * The process's own standard output and error.
 *
 * @module
 */

import type { Output } from "./_session.ts";

const encoder = new TextEncoder();

function writeAll(stream: typeof Deno.stdout, text: string): void {
  const bytes = encoder.encode(text);
  for (let at = 0; at < bytes.length;) at += stream.writeSync(bytes.subarray(at));
}

/** The process's own standard output and error. */
export function processOutput(): Output {
  const terminal = Deno.stdout.isTerminal();
  return {
    out: (text) => writeAll(Deno.stdout, text),
    err: (text) => writeAll(Deno.stderr, text),
    terminal,
    colours: terminal && !Deno.noColor,
  };
}
