/**
 * Instructions of programs: `bpf prog dump xlated`, `bpf prog dump jited`.
 *
 * @module
 */

import { objGetInfoByFd } from "../cmds/obj.ts";
import { KernelSymbols } from "../ffi/kallsyms.ts";
import { type DumpedInsn, dumpInsns } from "../progs/mod.ts";
import { hexBytes, type Writable } from "./_json.ts";
import { parseRef, PROGS } from "./_refs.ts";
import type { Session } from "./_session.ts";
import { safe } from "./_style.ts";
import { CommandError, type Words } from "./_words.ts";

/** How instructions are shown. */
interface DumpChoice {
  readonly file: string | undefined;
  readonly opcodes: boolean;
  readonly linum: boolean;
  readonly visual: boolean;
}

function parseChoice(words: Words): DumpChoice {
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

const hex = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" ");

function xlatedText(insns: readonly DumpedInsn[], { opcodes, linum }: DumpChoice, session: Session): string {
  let text = "";
  for (const { insn, text: shown, bytes, signature, source } of insns) {
    if (signature !== undefined) text += `${session.style.name(safe(signature))}:\n`;
    if (source !== undefined) {
      const place = linum && source.file !== ""
        ? ` [file:${safe(source.file)} line_num:${source.line} line_col:${source.column}]`
        : "";
      text += session.style.dim(`; ${safe(source.text.trimStart())}${place}`) + "\n";
    }
    text += `${`${insn}`.padStart(4)}: ${shown}\n`;
    if (opcodes) text += `       ${hex(bytes)}\n`;
  }
  return text;
}

function xlatedJson(insns: readonly DumpedInsn[], { opcodes, linum }: DumpChoice): Writable {
  return insns.map(({ text, bytes, signature, source }) => ({
    proto: signature,
    src: source?.text.trimStart(),
    file: linum && source !== undefined && source.file !== "" ? source.file : undefined,
    line_num: linum && source !== undefined && source.file !== "" ? source.line : undefined,
    line_col: linum && source !== undefined && source.file !== "" ? source.column : undefined,
    disasm: text,
    opcodes: opcodes
      ? {
        code: hexBytes(bytes.subarray(0, 1))[0],
        src_reg: `0x${(bytes[1] >> 4).toString(16)}`,
        dst_reg: `0x${(bytes[1] & 15).toString(16)}`,
        off: hexBytes(bytes.subarray(2, 4)),
        // Both halves of a load of 64 bits, and what stands between them.
        imm: hexBytes(bytes.subarray(4)),
      }
      : undefined,
  }));
}

async function dumpXlated(session: Session, words: Words): Promise<void> {
  using prog = parseRef(PROGS, session, words);
  const choice = parseChoice(words);
  const { token } = session;
  if (choice.file !== undefined) {
    const { xlatedInsns } = objGetInfoByFd(token, prog.fd, { kind: "prog", details: ["xlatedInsns"] });
    if (xlatedInsns === undefined || xlatedInsns.length === 0) {
      throw new CommandError("error: no instructions returned");
    }
    Deno.writeFileSync(choice.file, xlatedInsns);
    return session.done();
  }
  const insns = dumpInsns(token, prog.fd);
  if (insns.length === 0) throw new CommandError("error: no instructions returned");
  if (!choice.visual) {
    return session.answer({
      json: () => xlatedJson(insns, choice),
      v1: ["prog.dump.xlated", () => insns],
      text: () => xlatedText(insns, choice, session),
    });
  }
  const { progGraph } = await import("./_prog_graph.ts");
  const graph = progGraph(insns, choice.opcodes);
  session.answer({ json: () => graph, v1: ["prog.dump.graph", () => graph], text: () => graph });
}

/** Machine code of one function. */
interface JitedFunction {
  readonly name: string;
  readonly address: string;
  readonly code: Uint8Array;
}

/** Bytes of machine code in a line: nothing here knows where an instruction ends. */
const LINE = 16;

function dumpJited(session: Session, words: Words): void {
  using prog = parseRef(PROGS, session, words);
  const { file } = parseChoice(words);
  const { jitedInsns, jitedKsyms = [], jitedFuncLens = [] } = objGetInfoByFd(session.token, prog.fd, {
    kind: "prog",
    details: ["jitedInsns", "jitedKsyms", "jitedFuncLens"],
  });
  if (jitedInsns === undefined || jitedInsns.length === 0) throw new CommandError("no instructions returned");
  if (file !== undefined) {
    Deno.writeFileSync(file, jitedInsns);
    return session.done();
  }
  const symbols = KernelSymbols.read();
  let at = 0;
  const lengths = jitedFuncLens.length > 0 ? jitedFuncLens : [jitedInsns.length];
  const functions = lengths.map((length, index): JitedFunction => {
    const code = jitedInsns.subarray(at, at + length);
    at += length;
    const address = jitedKsyms[index] ?? 0n;
    const symbol = symbols.find(address);
    return { name: symbol?.name ?? `0x${address.toString(16)}`, address: `0x${address.toString(16)}`, code };
  });
  const lines = (code: Uint8Array): [number, Uint8Array][] =>
    Array.from(
      { length: Math.ceil(code.length / LINE) },
      (_, row) => [row * LINE, code.subarray(row * LINE, (row + 1) * LINE)],
    );
  session.answer({
    json: () =>
      functions.map(({ name, code }) => ({
        name,
        insns: lines(code).map(([pc, bytes]) => ({ pc: `0x${pc.toString(16)}`, opcodes: hexBytes(bytes) })),
      })),
    v1: ["prog.dump.jited", () => functions],
    text: () =>
      functions.map(({ name, code }) =>
        `${session.style.name(safe(name))}:\n${
          lines(code).map(([pc, bytes]) => `${pc.toString(16).padStart(4)}:\t${hex(bytes)}\n`).join("")
        }`
      ).join("\n"),
  });
}

/** Shows the instructions of a program. */
export async function dump(session: Session, words: Words): Promise<void> {
  if (words.accept("xlated")) return await dumpXlated(session, words);
  if (words.accept("jited")) return dumpJited(session, words);
  throw new CommandError(`expected 'xlated' or 'jited', got: '${words.peek ?? ""}'?`);
}
