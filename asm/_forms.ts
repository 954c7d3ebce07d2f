/** What each opcode byte is: the form of its instruction, the fields it uses, and whether its text says it all. */

import * as c from "../uapi/constants.gen.ts";
import type { AtomicOp, Insn, JmpOp, Size } from "./insn.ts";
import { ALU, ATOMIC, type AtomicRow, JMP, PSEUDO, SIZES } from "./_tables.ts";

/** How an instruction is laid out. */
export type Form =
  | "aluImm"
  | "aluReg"
  | "neg"
  | "end"
  | "ldx"
  | "stx"
  | "st"
  | "atomic"
  | "imm64"
  | "abs"
  | "ind"
  | "ja"
  | "gotol"
  | "gotox"
  | "jcond"
  | "jmpImm"
  | "jmpReg"
  | "call"
  | "exit";

/** A field that an instruction may use. */
export type Field = "dst" | "src" | "off" | "imm";

/** The fields that each form uses; the others have to be zero. `off` of arithmetic selects variants. */
export const FIELDS: Readonly<Record<Form, readonly Field[]>> = {
  aluImm: ["dst", "off", "imm"],
  aluReg: ["dst", "src", "off", "imm"],
  neg: ["dst"],
  end: ["dst", "imm"],
  ldx: ["dst", "src", "off"],
  stx: ["dst", "src", "off"],
  st: ["dst", "off", "imm"],
  atomic: ["dst", "src", "off", "imm"],
  imm64: ["dst", "src", "imm"],
  abs: ["imm"],
  ind: ["src", "imm"],
  ja: ["off"],
  gotol: ["imm"],
  gotox: ["dst"],
  jcond: ["off", "src"],
  jmpImm: ["dst", "off", "imm"],
  jmpReg: ["dst", "src", "off"],
  call: ["src", "off", "imm"],
  exit: [],
};

/** The field that a form's label ends up in; a call's and a function address's too. */
export const TARGET_FIELD: Readonly<Partial<Record<Form, "off" | "imm">>> = {
  ja: "off",
  jcond: "off",
  jmpImm: "off",
  jmpReg: "off",
  gotol: "imm",
  call: "imm",
  imm64: "imm",
};

function build(): readonly (Form | undefined)[] {
  const forms: (Form | undefined)[] = new Array(256).fill(undefined);
  for (const aluClass of [c.BPF_ALU, c.BPF_ALU64]) {
    for (const { code } of Object.values(ALU)) {
      forms[aluClass | code | c.BPF_K] = "aluImm";
      forms[aluClass | code | c.BPF_X] = "aluReg";
    }
    forms[aluClass | c.BPF_NEG] = "neg";
    forms[aluClass | c.BPF_END] = "end";
  }
  forms[c.BPF_ALU | c.BPF_END | c.BPF_TO_BE] = "end";
  for (const { code, bits } of Object.values(SIZES)) {
    forms[c.BPF_LDX | c.BPF_MEM | code] = "ldx";
    forms[c.BPF_STX | c.BPF_MEM | code] = "stx";
    forms[c.BPF_ST | c.BPF_MEM | code] = "st";
    forms[c.BPF_STX | c.BPF_ATOMIC | code] = "atomic";
    if (bits === 64) continue;
    forms[c.BPF_LDX | c.BPF_MEMSX | code] = "ldx";
    forms[c.BPF_LD | c.BPF_ABS | code] = "abs";
    forms[c.BPF_LD | c.BPF_IND | code] = "ind";
  }
  for (const jmpClass of [c.BPF_JMP, c.BPF_JMP32]) {
    for (const { code } of Object.values(JMP)) {
      forms[jmpClass | code | c.BPF_K] = "jmpImm";
      forms[jmpClass | code | c.BPF_X] = "jmpReg";
    }
  }
  forms[c.BPF_LD | c.BPF_IMM | c.BPF_DW] = "imm64";
  forms[c.BPF_JMP | c.BPF_JA] = "ja";
  forms[c.BPF_JMP | c.BPF_JA | c.BPF_X] = "gotox";
  forms[c.BPF_JMP32 | c.BPF_JA] = "gotol";
  forms[c.BPF_JMP | c.BPF_JCOND] = "jcond";
  forms[c.BPF_JMP | c.BPF_CALL] = "call";
  forms[c.BPF_JMP | c.BPF_EXIT] = "exit";
  return forms;
}

/** The form of each opcode byte; undefined where the kernel takes no such opcode. */
export const FORMS: readonly (Form | undefined)[] = build();

/** The atomic operation that an `imm` selects, by its number. */
export const ATOMIC_BY_IMM: ReadonlyMap<number, AtomicRow> = new Map(
  (Object.keys(ATOMIC) as AtomicOp[]).map((op) => [ATOMIC[op].imm, ATOMIC[op]]),
);

/** The arithmetic operators by `code | variant`: the variant is 1 for the signed ones. */
export const ALU_SYMBOLS: ReadonlyMap<number, string> = new Map(
  Object.values(ALU).map(({ code, off, symbol }) => [code | off, symbol]),
);

/** The comparison operators by code. */
export const JMP_SYMBOLS: ReadonlyMap<number, string> = new Map(
  (Object.keys(JMP) as JmpOp[]).map((op) => [JMP[op].code, JMP[op].symbol]),
);

/** The sizes in bits, by code. */
export const BITS: ReadonlyMap<number, number> = new Map(
  (Object.keys(SIZES) as Size[]).map((size) => [SIZES[size].code, SIZES[size].bits]),
);

/** The class of an opcode. */
export function classOf(code: number): number {
  return code & 0x07;
}

/** The operation of an arithmetic or jump opcode. */
export function opOf(code: number): number {
  return code & 0xf0;
}

/** The size of a load's or store's opcode, in bits. */
export function bitsOf(code: number): number {
  return BITS.get(code & 0x18) as number;
}

/** The mode of a load's or store's opcode. */
export function modeOf(code: number): number {
  return code & 0xe0;
}

/** Whether a division or modulo is the signed one. */
export function isSigned({ code, off }: Insn): boolean {
  return (opOf(code) === c.BPF_DIV || opOf(code) === c.BPF_MOD) && off === 1;
}

/** Whether a move extends the sign. */
export function isMovsx({ code, off }: Insn): boolean {
  return opOf(code) === c.BPF_MOV && (off === 8 || off === 16 || off === 32);
}

/** Whether a move casts between address spaces. */
export function isCast({ code, off }: Insn): boolean {
  return code === (c.BPF_ALU64 | c.BPF_MOV | c.BPF_X) && off === c.BPF_ADDR_SPACE_CAST;
}

/** The pseudo source of LD_IMM64 by number, with its name. */
export function pseudoBySrc(src: number): readonly [string, (typeof PSEUDO)[string]] | undefined {
  return Object.entries(PSEUDO).find(([, row]) => row.src === src);
}

function hasPlainVariant(insn: Insn, form: Form): boolean {
  const { code, src, off, imm } = insn;
  switch (form) {
    case "aluImm":
      return off === 0 || isSigned(insn);
    case "aluReg":
      if (isCast(insn)) return true;
      if (imm !== 0) return false;
      return off === 0 || isSigned(insn) || (isMovsx(insn) && (off !== 32 || classOf(code) === c.BPF_ALU64));
    case "end":
      return imm === 16 || imm === 32 || imm === 64;
    case "atomic": {
      const op = ATOMIC_BY_IMM.get(imm);
      return op !== undefined && bitsOf(code) >= op.minBits;
    }
    case "jcond":
      return src === c.BPF_MAY_GOTO;
    case "call":
      return src === c.BPF_PSEUDO_KFUNC_CALL || (off === 0 && (src === 0 || src === c.BPF_PSEUDO_CALL));
    case "imm64": {
      const high = insn.high ?? 0;
      if (src === 0) return true;
      if (src === c.BPF_PSEUDO_FUNC) return high === 0;
      const pseudo = pseudoBySrc(src);
      return pseudo !== undefined && (pseudo[1].high !== "none" || high === 0);
    }
    default:
      return true;
  }
}

/** Whether the text of an instruction says all that its fields hold. */
export function isPlain(insn: Insn): boolean {
  const form = FORMS[insn.code];
  if (form === undefined || (form !== "imm64" && insn.high)) return false;
  const used = FIELDS[form];
  for (const field of ["dst", "src", "off", "imm"] as const) {
    if (insn[field] !== 0 && !used.includes(field)) return false;
  }
  return hasPlainVariant(insn, form);
}
