/** The operations by name: their numbers, and how the kernel writes them. */

import * as c from "../uapi/constants.gen.ts";
import type { AluOp, AtomicOp, JmpOp, Reg, Size } from "./insn.ts";

/** An arithmetic operation: its bits in the opcode, the offset that selects a variant, and its operator. */
export interface AluRow {
  readonly code: number;
  readonly off: number;
  readonly symbol: string;
}

export const ALU: Readonly<Record<AluOp, AluRow>> = {
  add: { code: c.BPF_ADD, off: 0, symbol: "+=" },
  sub: { code: c.BPF_SUB, off: 0, symbol: "-=" },
  mul: { code: c.BPF_MUL, off: 0, symbol: "*=" },
  div: { code: c.BPF_DIV, off: 0, symbol: "/=" },
  sdiv: { code: c.BPF_DIV, off: 1, symbol: "s/=" },
  or: { code: c.BPF_OR, off: 0, symbol: "|=" },
  and: { code: c.BPF_AND, off: 0, symbol: "&=" },
  lsh: { code: c.BPF_LSH, off: 0, symbol: "<<=" },
  rsh: { code: c.BPF_RSH, off: 0, symbol: ">>=" },
  mod: { code: c.BPF_MOD, off: 0, symbol: "%=" },
  smod: { code: c.BPF_MOD, off: 1, symbol: "s%=" },
  xor: { code: c.BPF_XOR, off: 0, symbol: "^=" },
  mov: { code: c.BPF_MOV, off: 0, symbol: "=" },
  arsh: { code: c.BPF_ARSH, off: 0, symbol: "s>>=" },
};

export const JMP: Readonly<Record<JmpOp, { readonly code: number; readonly symbol: string }>> = {
  jeq: { code: c.BPF_JEQ, symbol: "==" },
  jne: { code: c.BPF_JNE, symbol: "!=" },
  jgt: { code: c.BPF_JGT, symbol: ">" },
  jge: { code: c.BPF_JGE, symbol: ">=" },
  jlt: { code: c.BPF_JLT, symbol: "<" },
  jle: { code: c.BPF_JLE, symbol: "<=" },
  jset: { code: c.BPF_JSET, symbol: "&" },
  jsgt: { code: c.BPF_JSGT, symbol: "s>" },
  jsge: { code: c.BPF_JSGE, symbol: "s>=" },
  jslt: { code: c.BPF_JSLT, symbol: "s<" },
  jsle: { code: c.BPF_JSLE, symbol: "s<=" },
};

export const SIZES: Readonly<Record<Size, { readonly code: number; readonly bits: number }>> = {
  b: { code: c.BPF_B, bits: 8 },
  h: { code: c.BPF_H, bits: 16 },
  w: { code: c.BPF_W, bits: 32 },
  dw: { code: c.BPF_DW, bits: 64 },
};

/**
 * An atomic operation: its number in `imm`, the sizes in bits that the kernel takes, and how it is written.
 * `lock` has an operator, `fetch` and `xchg` hand the old value to the source register, the rest stand alone.
 */
export interface AtomicRow {
  readonly imm: number;
  readonly minBits: number;
  readonly style: "lock" | "fetch" | "cmpxchg" | "load" | "store";
  readonly symbol: string;
}

export const ATOMIC: Readonly<Record<AtomicOp, AtomicRow>> = {
  add: { imm: c.BPF_ADD, minBits: 32, style: "lock", symbol: "+=" },
  or: { imm: c.BPF_OR, minBits: 32, style: "lock", symbol: "|=" },
  and: { imm: c.BPF_AND, minBits: 32, style: "lock", symbol: "&=" },
  xor: { imm: c.BPF_XOR, minBits: 32, style: "lock", symbol: "^=" },
  fetch_add: { imm: c.BPF_ADD | c.BPF_FETCH, minBits: 32, style: "fetch", symbol: "fetch_add" },
  fetch_or: { imm: c.BPF_OR | c.BPF_FETCH, minBits: 32, style: "fetch", symbol: "fetch_or" },
  fetch_and: { imm: c.BPF_AND | c.BPF_FETCH, minBits: 32, style: "fetch", symbol: "fetch_and" },
  fetch_xor: { imm: c.BPF_XOR | c.BPF_FETCH, minBits: 32, style: "fetch", symbol: "fetch_xor" },
  xchg: { imm: c.BPF_XCHG, minBits: 32, style: "fetch", symbol: "xchg" },
  cmpxchg: { imm: c.BPF_CMPXCHG, minBits: 32, style: "cmpxchg", symbol: "cmpxchg" },
  load_acquire: { imm: c.BPF_LOAD_ACQ, minBits: 8, style: "load", symbol: "load_acquire" },
  store_release: { imm: c.BPF_STORE_REL, minBits: 8, style: "store", symbol: "store_release" },
};

/** The pseudo sources of LD_IMM64 that are written as `<name> <imm> ll`, and what their upper half means. */
export interface PseudoRow {
  readonly src: number;
  /** How the upper half is written: not at all, as `+ <offset>`, or as `fd <number>`. */
  readonly high: "none" | "offset" | "fd";
}

export const PSEUDO: Readonly<Record<string, PseudoRow>> = {
  map_fd: { src: c.BPF_PSEUDO_MAP_FD, high: "none" },
  map_value: { src: c.BPF_PSEUDO_MAP_VALUE, high: "offset" },
  map_idx: { src: c.BPF_PSEUDO_MAP_IDX, high: "none" },
  map_idx_value: { src: c.BPF_PSEUDO_MAP_IDX_VALUE, high: "offset" },
  btf_id: { src: c.BPF_PSEUDO_BTF_ID, high: "fd" },
};

/**
 * The row of a table, or a RangeError that lists what there is.
 *
 * @param table The table
 * @param name The row's name
 * @param what What the name is of, for the message
 * @returns The row
 */
export function row<T>(table: Readonly<Record<string, T>>, name: string, what: string): T {
  if (!Object.hasOwn(table, name)) {
    throw new RangeError(`Cannot build ${what}: "${name}" is none of ${Object.keys(table).join(", ")}`);
  }
  return table[name];
}

/**
 * The number of a register; one that does not exist is left to the encoder, which knows where it stands.
 *
 * @param reg The register's name
 * @returns Its number, NaN where the name is none
 */
export function regNumber(reg: Reg): number {
  return typeof reg === "string" && /^r\d+$/.test(reg) ? Number(reg.slice(1)) : NaN;
}
