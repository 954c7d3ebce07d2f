/**
 * A program's flow of control as a picture for Graphviz, as `bpftool prog dump xlated … visual` writes it.
 *
 * @module
 */

import { spacedHex } from "./_bytes.ts";
import type { DumpedInsn } from "../progs/mod.ts";
import { safe } from "./_style.ts";
import { BPF_CALL, BPF_EXIT, BPF_JA, BPF_JMP, BPF_JMP32, BPF_PSEUDO_CALL } from "../uapi/constants.gen.ts";

/** What an instruction does to the flow of control. */
interface Flow {
  readonly kind: "next" | "exit" | "call" | "jump" | "branch";
  /** Where it may go to, counted in 8 bytes; the function that it calls. */
  readonly target: number | undefined;
}

const CLASS_MASK = 0x07;
const OPERATION_MASK = 0xf0;
/** BPF_JCOND. */
const MAY_GOTO = 0xe0;

function flowOf({ insn, bytes }: DumpedInsn): Flow {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const code = bytes[0];
  const instructionClass = code & CLASS_MASK;
  if (instructionClass !== BPF_JMP && instructionClass !== BPF_JMP32) return { kind: "next", target: undefined };
  const [off, imm] = [view.getInt16(2, true), view.getInt32(4, true)];
  switch (code & OPERATION_MASK) {
    case BPF_EXIT:
      return { kind: "exit", target: undefined };
    case BPF_CALL:
      // The verifier puts the distance into the offset where it compiles, and leaves the number of the function.
      return { kind: "call", target: bytes[1] >> 4 === BPF_PSEUDO_CALL ? insn + off + 1 : undefined };
    case BPF_JA:
      return { kind: "jump", target: insn + (instructionClass === BPF_JMP32 ? imm : off) + 1 };
    case MAY_GOTO:
      return { kind: "branch", target: insn + off + 1 };
    default:
      return { kind: "branch", target: insn + off + 1 };
  }
}

/** Instructions that run one after the other. */
interface Block {
  readonly index: number;
  readonly insns: readonly DumpedInsn[];
}

const ENTRY = 0;
const EXIT = 1;

/** Where functions start: at the first instruction, and where calls go. Their numbers are those of the first calls. */
function functionStarts(insns: readonly DumpedInsn[]): { start: number; number: number }[] {
  const places = new Set(insns.map(({ insn }) => insn));
  const starts = new Set([0]);
  for (const insn of insns) {
    const { kind, target } = flowOf(insn);
    if (kind === "call" && target !== undefined && places.has(target)) starts.add(target);
  }
  return [...starts].map((start, number) => ({ start, number })).sort((one, other) => one.start - other.start);
}

/** Cuts a function where something jumps to, and after what jumps. */
function blocksOf(insns: readonly DumpedInsn[]): Block[] {
  const heads = new Set([insns[0].insn]);
  for (const [index, insn] of insns.entries()) {
    const { kind, target } = flowOf(insn);
    if (kind !== "jump" && kind !== "branch") continue;
    heads.add(target as number);
    if (kind === "branch" && index + 1 < insns.length) heads.add(insns[index + 1].insn);
  }
  const blocks: { index: number; insns: DumpedInsn[] }[] = [];
  for (const insn of insns) {
    if (heads.has(insn.insn)) blocks.push({ index: blocks.length + 2, insns: [] });
    blocks[blocks.length - 1].insns.push(insn);
  }
  return blocks;
}

/** What else is shown of each instruction. */
interface GraphOptions {
  /** Its bytes. */
  readonly opcodes?: boolean;
  /** The source line that it starts, and where that is. */
  readonly linum?: boolean;
}

/** Text in a record's label: what has a meaning there, or would end it, is quoted; what moves a terminal is not shown. */
function escape(text: string): string {
  return safe(text).replace(/[<>|{}&"\\]/g, "\\$&");
}

function label({ insns }: Block, start: number, { opcodes, linum }: GraphOptions): string {
  const lines = insns.map(({ insn, text, bytes, source }) => {
    // Functions are numbered from their own start.
    const shown = `${`${insn - start}`.padStart(4)}: ${escape(text)}\\l\\\n`;
    const hex = spacedHex(bytes);
    const place = linum && source !== undefined
      ? `${escape(`; ${source.text.trim()} [${source.file}:${source.line}]`)}\\l\\\n`
      : "";
    return place + (opcodes ? `${shown}\\ \\ \\ \\ ${hex}\\l\\\n` : shown);
  });
  return `{${lines.join(" | ")}}`;
}

const SOLID = `[style="solid,bold", color=black, weight=10, constraint=true]`;
const HIDDEN = `[style="invis", constraint=true]`;

/**
 * Draws a program.
 *
 * @param insns Its instructions.
 * @param options What else is shown of them.
 * @returns What `dot` reads.
 */
export function progGraph(insns: readonly DumpedInsn[], options: GraphOptions = {}): string {
  let text = 'digraph "DOT graph for eBPF program" {\n';
  const starts = functionStarts(insns);
  for (const [index, { start, number }] of starts.entries()) {
    const end = starts[index + 1]?.start ?? Infinity;
    const blocks = blocksOf(insns.filter(({ insn }) => insn >= start && insn < end));
    text += `subgraph "cluster_${number}" {\n\tstyle="dashed";\n\tcolor="black";\n\tlabel="func_${number} ()";\n`;
    const node = (index: number): string => `fn_${number}_bb_${index}`;
    text += `\t${node(ENTRY)} [shape=Mdiamond,style=filled,label="ENTRY"];\n\n`;
    for (const block of blocks) {
      text += `\t${node(block.index)} [shape=record,style=filled,label="${label(block, start, options)}"];\n\n`;
    }
    text += `\t${node(EXIT)} [shape=Mdiamond,style=filled,label="EXIT"];\n\n`;
    const edge = (from: number, to: number, look = SOLID): void => {
      text += `\t${node(from)}:s -> ${node(to)}:n ${look};\n`;
    };
    edge(ENTRY, blocks[0].index);
    const headed = new Map(blocks.map(({ index, insns: [first] }) => [first.insn, index]));
    for (const [at, block] of blocks.entries()) {
      const next = blocks[at + 1]?.index ?? EXIT;
      const { kind, target } = flowOf(block.insns[block.insns.length - 1]);
      if (kind !== "jump") edge(block.index, next);
      if (kind === "jump" || kind === "branch") {
        const to = headed.get(target as number);
        if (to !== undefined) edge(block.index, to);
      }
    }
    edge(ENTRY, EXIT, HIDDEN);
    text += "}\n";
  }
  return `${text}}\n`;
}
