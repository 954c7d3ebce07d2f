/**
 * Machine code of programs: `bpf prog dump jited`.
 *
 * @module
 */

import type { ProgInfo } from "../cmds/info.ts";
import { objGetInfoByFd } from "../cmds/obj.ts";
import { KernelSymbols } from "../ffi/kallsyms.ts";
import { btfOfProgram, functionsOf, type LineAt, linesOf, signatureOf } from "../progs/mod.ts";
import { type Disassemble, type MachineInsn, NoDisassembler, startDisassembler } from "./_disassembler.ts";
import { spacedHex } from "./_bytes.ts";
import { parseChoice, placeJson, placeText } from "./_dump_choice.ts";
import { hexBytes, type Writable } from "./_json.ts";
import { parseRef, PROGS } from "./_refs.ts";
import type { Session } from "./_session.ts";
import { safe } from "./_style.ts";
import { CommandError, type Words } from "./_words.ts";

const DETAILS = ["jitedInsns", "jitedKsyms", "jitedFuncLens", "funcInfo", "lineInfo", "jitedLineInfo"] as const;

/** Machine code between two places that are known: where functions and source lines start. */
interface JitedPiece {
  /** Bytes from the function's start. */
  readonly pc: number;
  readonly source: LineAt | undefined;
  readonly insns: readonly MachineInsn[];
}

/** Machine code of one function. */
interface JitedFunction {
  readonly name: string;
  /** Where the kernel has it. */
  readonly address: bigint;
  readonly signature: string | undefined;
  readonly pieces: readonly JitedPiece[];
}

/** Cuts a function's code where source lines start. */
function piecesOf(
  code: Uint8Array,
  { address, lines, disassemble }: {
    address: bigint;
    lines: readonly [bigint, LineAt][];
    disassemble: Disassemble;
  },
): JitedPiece[] {
  const starts = lines.filter(([at]) => at >= address && at < address + BigInt(code.length))
    .map(([at, line]): [number, LineAt] => [Number(at - address), line]);
  const cuts: [number, LineAt | undefined][] = starts.length > 0 && starts[0][0] === 0
    ? starts
    : [[0, undefined], ...starts];
  return cuts.map(([pc, source], index) => ({
    pc,
    source,
    insns: disassemble(code.subarray(pc, cuts[index + 1]?.[0] ?? code.length), pc),
  }));
}

function functionsIn(
  { token }: Session,
  info: ProgInfo,
  { symbols, disassemble }: { symbols: KernelSymbols; disassemble: Disassemble },
): JitedFunction[] {
  const { jitedInsns: code = new Uint8Array(), jitedKsyms = [], jitedFuncLens = [], jitedLineInfo = [] } = info;
  const btf = btfOfProgram(token, info);
  const sources = btf === undefined ? [] : linesOf(info, btf);
  const lines = jitedLineInfo.map((at, index): [bigint, LineAt] => [at, sources[index]]).filter(([, line]) =>
    line !== undefined
  );
  const signatures = btf === undefined ? [] : functionsOf(info, btf);
  let at = 0;
  const lengths = jitedFuncLens.length > 0 ? jitedFuncLens : [code.length];
  return lengths.map((length, index): JitedFunction => {
    const own = code.subarray(at, at + length);
    at += length;
    const address = jitedKsyms[index] ?? 0n;
    const typeId = signatures[index]?.typeId;
    return {
      name: symbols.find(address)?.name ?? `0x${address.toString(16)}`,
      address,
      signature: typeId === undefined || btf === undefined ? undefined : signatureOf(btf, typeId),
      pieces: piecesOf(own, { address, lines, disassemble }),
    };
  });
}

/** Bytes of machine code in a line, where nobody knows where an instruction ends. */
const LINE = 16;

/** Lines of bytes instead of instructions. */
const asBytes: Disassemble = (code, pc) =>
  Array.from({ length: Math.ceil(code.length / LINE) }, (_, row) => ({
    pc: pc + row * LINE,
    code: code.subarray(row * LINE, (row + 1) * LINE),
    operation: undefined,
    operands: "",
  }));

async function disassembler(session: Session): Promise<Disassemble> {
  try {
    return await startDisassembler();
  } catch (error) {
    if (!(error instanceof NoDisassembler)) throw error;
    session.output.err(`Machine code is shown as bytes, as there is no disassembler: ${error.message}\n`);
    return asBytes;
  }
}

/** An instruction in bpftool's JSON: it has `null` for an operand where there is none. */
function insnJson(
  { pc, code, operation, operands }: MachineInsn,
  opcodes: boolean,
): Readonly<Record<string, Writable>> {
  const words = operands.split(/[ \t,()]+/).filter((word) => word !== "");
  return {
    pc: `0x${pc.toString(16)}`,
    ...operation === undefined ? {} : { operation, operands: words.length > 0 ? words : [null] },
    ...opcodes || operation === undefined ? { opcodes: hexBytes(code) } : {},
  };
}

function insnText({ pc, code, operation, operands }: MachineInsn, opcodes: boolean, target: string): string {
  const place = `${pc.toString(16).padStart(4)}:\t`;
  if (operation === undefined) return `${place}${spacedHex(code)}\n`;
  const line = `${place}${operation}${operands === "" ? "" : `\t${operands}`}${target}`;
  return `${line}\n${opcodes ? `\t${spacedHex(code)} \n` : ""}`;
}

/**
 * What code calls or goes to, where that is outside of its function: the number in the instruction is counted from the
 * function's start, as if that were at 0.
 */
function targetText({ operands }: MachineInsn, { address, pieces }: JitedFunction, symbols: KernelSymbols): string {
  if (!/^#?0x[0-9a-f]+$/.test(operands)) return "";
  const offset = BigInt(operands.replace("#", ""));
  const last = pieces.at(-1)?.insns.at(-1)?.pc ?? 0;
  if (address === 0n || offset <= BigInt(last)) return "";
  const found = symbols.find(BigInt.asUintN(64, address + offset));
  if (found === undefined) return "";
  return `\t# ${safe(found.name)}${found.offset === 0n ? "" : `+0x${found.offset.toString(16)}`}`;
}

/** Shows the machine code of a program. */
export async function dumpJited(session: Session, words: Words): Promise<void> {
  using prog = parseRef(PROGS, session, words);
  const { file, linum, opcodes, visual } = parseChoice(words);
  if (visual) throw new CommandError("'visual' is for xlated instructions");
  const info = objGetInfoByFd(session.token, prog.fd, { kind: "prog", details: DETAILS });
  const { jitedInsns: code = new Uint8Array() } = info;
  if (code.length === 0) throw new CommandError("no instructions returned");
  if (file !== undefined) {
    Deno.writeFileSync(file, code);
    return session.done();
  }
  const symbols = KernelSymbols.read();
  const functions = functionsIn(session, info, { symbols, disassemble: await disassembler(session) });
  const pieceText = (of: JitedFunction, { source, insns }: JitedPiece): string => {
    const line = source && `; ${safe(source.text.trimStart())}${placeText(source, linum)}`;
    const head = line === undefined ? "" : `${session.style.dim(line)}\n`;
    return head + insns.map((insn) => insnText(insn, opcodes, targetText(insn, of, symbols))).join("");
  };
  session.answer({
    json: () =>
      functions.map(({ name, signature, pieces }) => ({
        proto: signature,
        name,
        insns: pieces.flatMap(({ source, insns }) =>
          insns.map((insn, index) => {
            const first = index === 0 ? source : undefined;
            return { src: first?.text.trimStart(), ...placeJson(first, linum), ...insnJson(insn, opcodes) };
          })
        ),
      })),
    v1: ["prog.dump.jited", () => functions],
    text: () =>
      functions.map((one) => {
        const { name, signature, pieces } = one;
        const head = signature === undefined ? "" : `${safe(signature)}:\n`;
        return `${head}${session.style.name(safe(name))}:\n${pieces.map((piece) => pieceText(one, piece)).join("")}`;
      }).join("\n"),
  });
}
