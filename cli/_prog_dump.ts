/**
 * Instructions of programs: `bpf prog dump xlated`, `bpf prog dump jited`.
 *
 * @module
 */

import { objGetInfoByFd } from "../cmds/obj.ts";
import { KernelSymbols } from "../ffi/kallsyms.ts";
import type { Fd } from "../ffi/fd.ts";
import {
  btfOfProgram,
  type DumpedInsn,
  dumpInsns,
  functionsOf,
  type LineAt,
  linesOf,
  signatureOf,
} from "../progs/mod.ts";
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
      text += session.style.dim(`; ${safe(source.text.trimStart())}${placeText(source, linum)}`) + "\n";
    }
    text += `${`${insn}`.padStart(4)}: ${shown}\n`;
    if (opcodes) text += `       ${hex(bytes)}\n`;
  }
  return text;
}

/** Where a source line is; what is not told is left out. */
function placeJson(source: LineAt | undefined, linum: boolean): Readonly<Record<string, string | number | undefined>> {
  if (!linum || source === undefined || source.file === "") return {};
  return { file: source.file, line_num: source.line || undefined, line_col: source.column || undefined };
}

function xlatedJson(insns: readonly DumpedInsn[], { opcodes, linum }: DumpChoice): Writable {
  return insns.map(({ text, bytes, signature, source }) => ({
    proto: signature,
    src: source?.text.trimStart(),
    ...placeJson(source, linum),
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
  const graph = progGraph(insns, choice);
  session.answer({ json: () => graph, v1: ["prog.dump.graph", () => graph], text: () => graph });
}

/** Machine code between two places that are known: where functions and source lines start. */
interface JitedPiece {
  /** Bytes from the function's start. */
  readonly pc: number;
  readonly code: Uint8Array;
  readonly source: LineAt | undefined;
}

/** Machine code of one function. */
interface JitedFunction {
  readonly name: string;
  readonly signature: string | undefined;
  readonly pieces: readonly JitedPiece[];
}

/** Bytes of machine code in a line: nothing here knows where an instruction ends. */
const LINE = 16;

/** Cuts a function's code where source lines start. */
function piecesOf(code: Uint8Array, address: bigint, lines: readonly [bigint, LineAt][]): JitedPiece[] {
  const starts = lines.filter(([at]) => at >= address && at < address + BigInt(code.length))
    .map(([at, line]): [number, LineAt] => [Number(at - address), line]);
  const cuts: [number, LineAt | undefined][] = starts.length > 0 && starts[0][0] === 0
    ? starts
    : [[0, undefined], ...starts];
  return cuts.map(([pc, source], index) => ({
    pc,
    source,
    code: code.subarray(pc, cuts[index + 1]?.[0] ?? code.length),
  }));
}

function jitedFunctions({ token }: Session, prog: Fd): { functions: JitedFunction[]; code: Uint8Array | undefined } {
  const info = objGetInfoByFd(token, prog, {
    kind: "prog",
    details: ["jitedInsns", "jitedKsyms", "jitedFuncLens", "funcInfo", "lineInfo", "jitedLineInfo"],
  });
  const { jitedInsns: code, jitedKsyms = [], jitedFuncLens = [], jitedLineInfo = [] } = info;
  if (code === undefined || code.length === 0) return { functions: [], code };
  const btf = btfOfProgram(token, info);
  const sources = btf === undefined ? [] : linesOf(info, btf);
  const lines = jitedLineInfo.map((at, index): [bigint, LineAt] => [at, sources[index]]).filter(([, line]) =>
    line !== undefined
  );
  const signatures = btf === undefined ? [] : functionsOf(info, btf);
  const symbols = KernelSymbols.read();
  let at = 0;
  const lengths = jitedFuncLens.length > 0 ? jitedFuncLens : [code.length];
  const functions = lengths.map((length, index): JitedFunction => {
    const own = code.subarray(at, at + length);
    at += length;
    const address = jitedKsyms[index] ?? 0n;
    const typeId = signatures[index]?.typeId;
    return {
      name: symbols.find(address)?.name ?? `0x${address.toString(16)}`,
      signature: typeId === undefined || btf === undefined ? undefined : signatureOf(btf, typeId),
      pieces: piecesOf(own, address, lines),
    };
  });
  return { functions, code };
}

/** Rows of bytes, from a place on. */
function rowsOf({ pc, code }: JitedPiece): [number, Uint8Array][] {
  return Array.from(
    { length: Math.ceil(code.length / LINE) },
    (_, row) => [pc + row * LINE, code.subarray(row * LINE, (row + 1) * LINE)],
  );
}

function placeText(source: LineAt, linum: boolean): string {
  return linum && source.file !== ""
    ? ` [file:${safe(source.file)} line_num:${source.line} line_col:${source.column}]`
    : "";
}

function dumpJited(session: Session, words: Words): void {
  using prog = parseRef(PROGS, session, words);
  const { file, linum } = parseChoice(words);
  const { functions, code } = jitedFunctions(session, prog.fd);
  if (code === undefined || code.length === 0) throw new CommandError("no instructions returned");
  if (file !== undefined) {
    Deno.writeFileSync(file, code);
    return session.done();
  }
  session.answer({
    json: () =>
      functions.map(({ name, signature, pieces }) => ({
        proto: signature,
        name,
        insns: pieces.flatMap((piece) =>
          rowsOf(piece).map(([pc, bytes], row) => {
            const source = row === 0 ? piece.source : undefined;
            return {
              src: source?.text.trimStart(),
              ...placeJson(source, linum),
              pc: `0x${pc.toString(16)}`,
              opcodes: hexBytes(bytes),
            };
          })
        ),
      })),
    v1: ["prog.dump.jited", () => functions],
    text: () =>
      functions.map(({ name, signature, pieces }) =>
        `${signature === undefined ? "" : `${safe(signature)}:\n`}${session.style.name(safe(name))}:\n${
          pieces.map((piece) =>
            (piece.source === undefined
              ? ""
              : `${session.style.dim(`; ${safe(piece.source.text.trimStart())}${placeText(piece.source, linum)}`)}\n`) +
            rowsOf(piece).map(([pc, bytes]) => `${pc.toString(16).padStart(4)}:\t${hex(bytes)}\n`).join("")
          ).join("")
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
