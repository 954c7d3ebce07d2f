/** One instruction as text: as the kernel writes it, or so that it can be assembled again. */

import * as c from "../uapi/constants.gen.ts";
import { helpers } from "../uapi/enums.gen.ts";
import { imm64, type Insn, LD_IMM64 } from "./insn.ts";
import { hex2 } from "./_check.ts";
import {
  ALU_SYMBOLS,
  ATOMIC_BY_IMM,
  bitsOf,
  classOf,
  type Form,
  FORMS,
  isCast,
  isMovsx,
  isPlain,
  isSigned,
  JMP_SYMBOLS,
  modeOf,
  opOf,
  pseudoBySrc,
} from "./_forms.ts";

/** What only the one who prints may know. */
export interface Names {
  /** Names what is called, after `call ` or `call pc`. */
  readonly call: (insn: Insn) => string | undefined;
  /** Names what an LD_IMM64 loads. */
  readonly imm: (insn: Insn, value: bigint) => string | undefined;
  /** Whether addresses of maps and variables are shown. */
  readonly pointers: boolean;
}

/** What C prints for a name that is not there. */
const NULL = "(null)";

/** The kernel's own number for a move that makes a per-CPU address, and its mode for a barrier. */
const PERCPU_OFF = -1;
const MODE_NOSPEC = 0xc0;

const HELPER_NAMES: ReadonlyMap<number, string> = new Map(Object.entries(helpers).map(([name, id]) => [id, name]));

function signed(value: number): string {
  return value < 0 ? `${value}` : `+${value}`;
}

function goal(insn: Insn, distance: number): string {
  return insn.target ?? `pc${signed(distance)}`;
}

function alu(insn: Insn): string {
  const { code, dst, src, off, imm } = insn;
  const r = classOf(code) === c.BPF_ALU ? "w" : "r";
  const isX = (code & c.BPF_X) !== 0;
  if (opOf(code) === c.BPF_END) {
    const name = classOf(code) === c.BPF_ALU64 ? "bswap" : isX ? "be" : "le";
    return `r${dst} = ${name}${imm | 0} r${dst}`;
  }
  if (opOf(code) === c.BPF_NEG) return `${r}${dst} = -${r}${dst}`;
  if (isCast(insn)) return `r${dst} = addr_space_cast(r${src}, ${imm >>> 16}, ${imm & 0xffff})`;
  if (isX && opOf(code) === c.BPF_MOV && r === "r" && off === PERCPU_OFF) {
    return `r${dst} = &(void __percpu *)(r${src})`;
  }
  const symbol = ALU_SYMBOLS.get(opOf(code) | (isSigned(insn) ? 1 : 0)) ?? NULL;
  return `${r}${dst} ${symbol} ${isX ? `${isMovsx(insn) ? `(s${off})` : ""}${r}${src}` : imm | 0}`;
}

function atomic(insn: Insn): string | undefined {
  const { code, dst, src, off, imm } = insn;
  const op = ATOMIC_BY_IMM.get(imm);
  if (op === undefined) return undefined;
  const bits = bitsOf(code);
  const wide = bits === 64 ? "64" : "";
  const place = `(u${bits} *)(r${op.style === "load" ? src : dst} ${signed(off)})`;
  switch (op.style) {
    case "lock":
      return `lock *${place} ${op.symbol} r${src}`;
    case "fetch":
      return `r${src} = atomic${wide}_${op.symbol}(${place}, r${src})`;
    case "cmpxchg":
      return `r0 = atomic${wide}_cmpxchg(${place}, r0, r${src})`;
    case "load":
      return `r${dst} = load_acquire(${place})`;
    case "store":
      return `store_release(${place}, r${src})`;
  }
}

function memory(insn: Insn): string | undefined {
  const { code, dst, src, off, imm } = insn;
  const bits = bitsOf(code);
  const mode = modeOf(code);
  switch (classOf(code)) {
    case c.BPF_STX:
      if (mode === c.BPF_MEM) return `*(u${bits} *)(r${dst} ${signed(off)}) = r${src}`;
      return mode === c.BPF_ATOMIC ? atomic(insn) : undefined;
    case c.BPF_ST:
      if (mode === c.BPF_MEM) return `*(u${bits} *)(r${dst} ${signed(off)}) = ${imm | 0}`;
      return mode === MODE_NOSPEC ? "nospec" : undefined;
    case c.BPF_LDX: {
      if (mode === c.BPF_MEM) return `r${dst} = *(u${bits} *)(r${src} ${signed(off)})`;
      const type = bits === 64 ? NULL : `s${bits}`;
      return mode === c.BPF_MEMSX ? `r${dst} = *(${type} *)(r${src} ${signed(off)})` : undefined;
    }
    default:
      if (mode === c.BPF_ABS) return `r0 = *(u${bits} *)skb[${imm | 0}]`;
      return mode === c.BPF_IND ? `r0 = *(u${bits} *)skb[r${src} + ${imm | 0}]` : undefined;
  }
}

function load64(insn: Insn, names: Names): string {
  const { dst, src } = insn;
  if (insn.target !== undefined) return `r${dst} = func ${insn.target} ll`;
  const value = pseudoBySrc(src) !== undefined && !names.pointers ? 0n : imm64(insn);
  return `r${dst} = ${names.imm(insn, value) ?? `0x${value.toString(16)}`}`;
}

function call(insn: Insn, names: Names): string {
  const { src } = insn;
  const imm = insn.imm | 0;
  const helper = HELPER_NAMES.get(imm);
  if (src === 0 && helper !== undefined) return `call bpf_${helper}#${imm}`;
  if (src === c.BPF_PSEUDO_CALL) {
    return insn.target ? `call ${insn.target}` : `call pc${names.call(insn) ?? signed(imm)}`;
  }
  const unnamed = src === c.BPF_PSEUDO_KFUNC_CALL ? "kernel-function" : "unknown";
  return `call ${names.call(insn) ?? unnamed}#${imm}`;
}

function jump(insn: Insn, names: Names): string {
  const { code, dst, src, off, imm } = insn;
  const op = opOf(code);
  if (op === c.BPF_CALL) return call(insn, names);
  switch (code) {
    case c.BPF_JMP | c.BPF_JA:
      return `goto ${goal(insn, off)}`;
    case c.BPF_JMP | c.BPF_JA | c.BPF_X:
      return `gotox r${dst}`;
    case c.BPF_JMP32 | c.BPF_JA:
      return `gotol ${goal(insn, imm | 0)}`;
    case c.BPF_JMP | c.BPF_EXIT:
      return "exit";
    case c.BPF_JMP | c.BPF_JCOND:
      if (src === c.BPF_MAY_GOTO) return `may_goto ${goal(insn, off)}`;
  }
  const r = classOf(code) === c.BPF_JMP32 ? "w" : "r";
  const symbol = JMP_SYMBOLS.get(op) ?? (op === c.BPF_JA ? "jmp" : op === c.BPF_EXIT ? "exit" : NULL);
  const right = (code & c.BPF_X) !== 0 ? `${r}${src}` : `0x${(imm >>> 0).toString(16)}`;
  return `if ${r}${dst} ${symbol} ${right} goto ${goal(insn, off)}`;
}

/** What the kernel calls an opcode that it cannot print, by class. */
const BUG: Readonly<Record<number, string>> = {
  [c.BPF_LD]: "BUG_ld_",
  [c.BPF_LDX]: "BUG_ldx_",
  [c.BPF_ST]: "BUG_st_",
  [c.BPF_STX]: "BUG_",
};

/** An instruction without its opcode; undefined where the kernel says `BUG_`. */
function body(insn: Insn, names: Names): string | undefined {
  switch (classOf(insn.code)) {
    case c.BPF_ALU:
    case c.BPF_ALU64:
      return alu(insn);
    case c.BPF_JMP:
    case c.BPF_JMP32:
      return jump(insn, names);
    default:
      return insn.code === LD_IMM64 ? load64(insn, names) : memory(insn);
  }
}

/**
 * An instruction as the kernel prints it.
 *
 * @param insn The instruction
 * @param names What only the caller knows
 * @returns The opcode in parentheses, and the text
 */
export function kernelText(insn: Insn, names: Names): string {
  const text = body(insn, names);
  const code = hex2(insn.code);
  return text === undefined ? `${BUG[classOf(insn.code)]}${code}` : `(${code}) ${text}`;
}

const PLAIN: Names = { call: () => undefined, imm: () => undefined, pointers: true };

function source64(insn: Insn): string {
  const { dst, src, imm, high = 0, target } = insn;
  if (src === 0) return `r${dst} = 0x${imm64(insn).toString(16)} ll`;
  if (src === c.BPF_PSEUDO_FUNC) return `r${dst} = func ${target ?? `pc${signed(imm | 0)}`} ll`;
  const [name, row] = pseudoBySrc(src) as NonNullable<ReturnType<typeof pseudoBySrc>>;
  const upper = high === 0 ? "" : row.high === "fd" ? ` fd ${high}` : ` + ${high}`;
  return `r${dst} = ${name} ${imm} ${upper === "" ? "" : `${upper.slice(1)} `}ll`;
}

/** Forms that are written in another way where they are to be assembled again. */
const SOURCE: Readonly<Partial<Record<Form, (insn: Insn) => string | undefined>>> = {
  imm64: source64,
  call: ({ src, off, imm }) =>
    src === c.BPF_PSEUDO_KFUNC_CALL ? `call kfunc ${imm}${off === 0 ? "" : ` fd ${off}`}` : undefined,
};

/**
 * An instruction so that the assembler gives the same again.
 *
 * @param insn The instruction
 * @returns The text
 */
export function sourceText(insn: Insn): string {
  if (!isPlain(insn)) {
    const { code, dst, src, off, imm, high } = insn;
    return `.insn 0x${hex2(code)}, ${dst}, ${src}, ${off}, ${imm}${high ? `, ${high}` : ""}`;
  }
  return SOURCE[FORMS[insn.code] as Form]?.(insn) ?? body(insn, PLAIN) as string;
}

/**
 * An instruction for a message, however wrong its fields are.
 *
 * @param insn The instruction
 * @returns The text
 */
export function describe(insn: Insn): string {
  const { code, imm, high = 0 } = insn;
  if (!Number.isInteger(code) || code < 0 || code > 0xff) return `opcode ${code}`;
  if (!Number.isInteger(imm) || !Number.isInteger(high)) return `opcode 0x${hex2(code)}, imm ${imm}`;
  return isPlain(insn) ? sourceText(insn) : (insn.target && body(insn, PLAIN)) ?? sourceText(insn);
}
