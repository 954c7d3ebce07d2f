/**
 * What programs print to their standard output and error: BPF_PROG_STREAM_READ_BY_FD, as text. Since Linux 6.17.
 *
 * @module
 */

import { type ProgStream, progStreamRead } from "../cmds/prog_run.ts";
import type { Fd } from "../ffi/fd.ts";
import { allocate } from "../ffi/memory.ts";
import type { AnyToken } from "../tokens/token.ts";

/** How a program's output is read. */
export interface OutputOptions {
  /** Ends the iteration, at once. */
  signal?: AbortSignal | undefined;
  /** Milliseconds between two looks: the kernel tells nobody that there is output. @default {50} */
  intervalMs?: number | undefined;
}

const CHUNK_SIZE = 64 * 1024;

/** Waits some milliseconds, or until the signal aborts. */
function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, milliseconds);
    signal?.addEventListener("abort", end);
  });
}

/**
 * Text that a program prints, as it comes, without end. What was read is gone from the kernel's buffer.
 *
 * @param token A permission token.
 * @param prog The program.
 * @param stream Which stream.
 * @param options What ends it, and how often it looks.
 * @returns Pieces of text, which may end in the middle of a line.
 * @throws {NotSupportedError} On kernels before 6.17.
 */
export async function* programOutput(
  token: AnyToken,
  prog: Fd,
  stream: ProgStream,
  options: OutputOptions = {},
): AsyncGenerator<string, void> {
  const { signal, intervalMs = 50 } = options;
  const decoder = new TextDecoder();
  const buffer = allocate(CHUNK_SIZE);
  while (signal?.aborted !== true && !prog.closed) {
    const text = decoder.decode(progStreamRead(token, prog, { stream, buffer }), { stream: true });
    if (text !== "") yield text;
    else await pause(intervalMs, signal);
  }
}

/**
 * What a program has printed so far.
 *
 * @param token A permission token.
 * @param prog The program.
 * @param stream Which stream.
 * @returns The text; empty where there is none. What was read is gone from the kernel's buffer.
 * @throws {NotSupportedError} On kernels before 6.17.
 */
export function readOutput(token: AnyToken, prog: Fd, stream: ProgStream): string {
  const decoder = new TextDecoder();
  const buffer = allocate(CHUNK_SIZE);
  let text = "";
  while (true) {
    const bytes = progStreamRead(token, prog, { stream, buffer });
    if (bytes.length === 0) return text + decoder.decode();
    text += decoder.decode(bytes, { stream: true });
  }
}
