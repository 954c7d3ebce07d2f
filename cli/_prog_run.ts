/**
 * Running programs on data of the user's: `bpf prog run`.
 *
 * @module
 */

import { progTestRun } from "../cmds/prog_run.ts";
import type { Bytes } from "../ffi/kernel.ts";
import { allocate } from "../ffi/memory.ts";
import { hexBytes } from "./_json.ts";
import { parseRef, PROGS } from "./_refs.ts";
import { orSay, type Session } from "./_session.ts";
import { CommandError, parseNumber, type Words } from "./_words.ts";

/** Bytes of output where nobody says how many. C name: `max_ctx_size`, `max_data_size`. */
const DEFAULT_DATA = 32 * 1024;
const DEFAULT_CTX = 32 * 1024;

interface RunChoice {
  data: Bytes | undefined;
  dataOut: string | undefined;
  dataSize: number;
  ctx: Bytes | undefined;
  ctxOut: string | undefined;
  ctxSize: number;
  repeat: number;
}

/** The bytes of a file; `-` is the standard input. */
function read(path: string): Bytes {
  if (path !== "-") return Deno.readFileSync(path);
  const chunks: number[] = [];
  const buffer = new Uint8Array(65536);
  for (let count = Deno.stdin.readSync(buffer); count !== null; count = Deno.stdin.readSync(buffer)) {
    chunks.push(...buffer.subarray(0, count));
  }
  return new Uint8Array(chunks);
}

function parseChoice(words: Words): RunChoice {
  const choice: RunChoice = {
    data: undefined,
    dataOut: undefined,
    dataSize: DEFAULT_DATA,
    ctx: undefined,
    ctxOut: undefined,
    ctxSize: DEFAULT_CTX,
    repeat: 1,
  };
  const size = (what: string): number => {
    const word = words.next(what);
    const value = parseNumber(word);
    if (value === undefined || value < 0 || value > 1 << 24) throw new CommandError(`can't parse ${what}: ${word}`);
    return value;
  };
  while (words.left > 0) {
    if (words.accept("data_in")) choice.data = read(words.next("a file"));
    else if (words.accept("data_out")) choice.dataOut = words.next("a file");
    else if (words.accept("data_size_out")) choice.dataSize = size("output data size");
    else if (words.accept("ctx_in")) choice.ctx = read(words.next("a file"));
    else if (words.accept("ctx_out")) choice.ctxOut = words.next("a file");
    else if (words.accept("ctx_size_out")) choice.ctxSize = size("output context size");
    else if (words.accept("repeat")) choice.repeat = words.number("repeat number");
    else {
      throw new CommandError(
        `expected no more arguments, 'data_in', 'data_out', 'data_size_out', 'ctx_in', 'ctx_out', 'ctx_size_out' or 'repeat', got: '${words.peek}'?`,
      );
    }
  }
  return choice;
}

/** Sixteen bytes in a line, with the characters beside them: as `hexdump -C`. */
function hexDump(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 16) {
    const row = bytes.subarray(at, at + 16);
    const numbers = Array.from(row, (byte) => byte.toString(16).padStart(2, "0"));
    const cells = Array.from({ length: 8 }, (_, pair) => numbers.slice(pair * 2, pair * 2 + 2).join(" ").padEnd(5));
    const characters = Array.from(row, (byte) => byte < 0x20 || byte > 0x7e ? "." : String.fromCharCode(byte)).join("");
    text += `${at.toString(16).padStart(7, "0")} ${cells.join(" ")}  ${characters}\n`;
  }
  return text;
}

/** Runs a program. */
export function run(session: Session, words: Words): void {
  using prog = parseRef(PROGS, session, words);
  const choice = parseChoice(words);
  if (choice.data === undefined && choice.ctx === undefined) {
    throw new CommandError("need at least one of data_in or ctx_in");
  }
  if (choice.dataOut !== undefined && choice.data === undefined) throw new CommandError("data_out needs data_in");
  const { data, ctx, repeat } = choice;
  const result = orSay("failed to run program", () =>
    progTestRun(session.token, prog.fd, {
      data,
      dataOut: data === undefined ? undefined : allocate(choice.dataSize),
      ctx,
      ctxOut: ctx === undefined ? undefined : allocate(choice.ctxSize),
      repeat,
    }));
  const left = data === undefined ? allocate(0) : result.data;
  const leftCtx = ctx === undefined ? allocate(0) : result.ctx;
  if (choice.dataOut !== undefined) Deno.writeFileSync(choice.dataOut, left);
  if (choice.ctxOut !== undefined) Deno.writeFileSync(choice.ctxOut, leftCtx);
  session.answer({
    json: () => ({
      data_out: choice.dataOut === undefined && left.length > 0 ? hexBytes(left) : undefined,
      ctx_out: choice.ctxOut === undefined && leftCtx.length > 0 ? hexBytes(leftCtx) : undefined,
      retval: result.returnValue,
      duration: result.durationNs,
    }),
    v1: ["prog.run", () => ({ ...result, data: left, ctx: leftCtx })],
    text: () => {
      let text = "";
      if (choice.dataOut === undefined && left.length > 0) text += `Data:\n${hexDump(left)}\n`;
      if (choice.ctxOut === undefined && leftCtx.length > 0) text += `Context:\n${hexDump(leftCtx)}\n`;
      const duration = repeat > 1 ? `duration (average): ${result.durationNs}ns` : `duration: ${result.durationNs}ns`;
      return `${text}Return value: ${result.returnValue}, ${duration}\n`;
    },
  });
}
