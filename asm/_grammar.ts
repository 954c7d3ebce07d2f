/** The grammar of one instruction: a table of patterns, and what each makes. */

import * as c from "../uapi/constants.gen.ts";
import { type Insn, LD_IMM64 } from "./insn.ts";
import { helperNumber } from "./jump.ts";
import { ALU, ATOMIC, type AtomicRow, JMP, PSEUDO, SIZES } from "./_tables.ts";
import { NAME, small, whole } from "./_text.ts";

/** What a rule may ask of the program around the instruction. */
export interface Scope {
  /** The labels of the whole text. */
  readonly labels: ReadonlySet<string>;
  /** The opcode that the line says it has. */
  readonly opcode: number | undefined;
  /** Throws a SyntaxError for this line. */
  readonly fail: (reason: string) => never;
}

type Make = (match: RegExpExecArray, scope: Scope) => Insn;
type Rule = readonly [RegExp, Make];

const NUM = "(?:0x[0-9a-f]+|\\d+)";

/** The named parts of patterns, written `{name}`. Each is one group, but for `to` and `mem`. */
const PARTS: Readonly<Record<string, string>> = {
  reg: "([rw]\\d+)",
  r: "(r\\d+)",
  num: `([+-]?\\s*${NUM})`,
  value: `([rw]\\d+|[+-]?\\s*${NUM})`,
  off: `((?:\\s*[+-])+\\s*${NUM})?`,
  name: `(${NAME})`,
  // Where a jump goes, two groups: a distance, or a label.
  to: `(?:(?:pc\\s*)?([+-]\\s*${NUM})|(${NAME}))`,
  // A place in memory, four groups: signed or not, bits, register and offset.
  mem: "\\(\\s*([us])(8|16|32|64)\\s*\\*\\s*\\)\\s*\\(\\s*(r\\d+){off}\\s*\\)",
};

function pattern(text: string): RegExp {
  const expand = (part: string): string => part.replace(/\{(\w+)\}/g, (_, name) => expand(PARTS[name]));
  return new RegExp(`^${expand(text).replaceAll(" ", "\\s*").replaceAll("~", "\\s+")}$`, "i");
}

function rule(text: string, make: Make): Rule {
  return [pattern(text), make];
}

function either(symbols: readonly string[]): string {
  const escaped = [...symbols].sort((a, b) => b.length - a.length).map((s) => s.replace(/[|^*+&/]/g, "\\$&"));
  return `(${escaped.join("|")})`;
}

function insn(code: number, fields: Partial<Insn> = {}): Insn {
  return { code, dst: 0, src: 0, off: 0, imm: 0, ...fields };
}

function reg(text: string): number {
  return Number(text.slice(1));
}

const isReg = (text: string): boolean => /^[rw]\d+$/i.test(text);

/** The class of an operation on registers of one width. */
function width(scope: Scope, wide: number, narrow: number, ...regs: string[]): number {
  const kinds = new Set(regs.filter(isReg).map((text) => text[0].toLowerCase()));
  if (kinds.size > 1) scope.fail("64-bit and 32-bit registers (r and w) do not mix");
  return kinds.has("w") ? narrow : wide;
}

function same(scope: Scope, a: string, b: string): void {
  if (a.toLowerCase() !== b.toLowerCase()) scope.fail(`it works on one register, not on ${a} and ${b}`);
}

const SIZE_BY_BITS: ReadonlyMap<number, number> = new Map(Object.values(SIZES).map(({ code, bits }) => [bits, code]));

function sizeOf(bits: string): number {
  return SIZE_BY_BITS.get(Number(bits)) as number;
}

/** The type, register and offset of a place in memory, which start at a group of a match. */
function mem(match: RegExpExecArray, at: number): { isSigned: boolean; size: number; reg: number; off: number } {
  const [sign, bits, base, off] = match.slice(at, at + 4);
  return { isSigned: sign.toLowerCase() === "s", size: sizeOf(bits), reg: reg(base), off: small(off) };
}

/** Sets where a jump goes: a distance, or a label. */
function toward(base: Insn, field: "off" | "imm", distance: string | undefined, label: string): Insn {
  return distance === undefined ? { ...base, target: label } : { ...base, [field]: small(distance) };
}

const ALU_BY_SYMBOL = new Map(Object.values(ALU).map((row) => [row.symbol, row]));
const JMP_BY_SYMBOL = new Map(Object.values(JMP).map((row) => [row.symbol, row]));
const LOCKS = Object.values(ATOMIC).filter(({ style }) => style === "lock");
const FETCHES = Object.values(ATOMIC).filter(({ style }) => style === "fetch");

function atomic(match: RegExpExecArray, at: number, op: AtomicRow, value: string, wide: string, scope: Scope): Insn {
  const place = mem(match, at);
  const bits = Number(match[at + 1]);
  if (place.isSigned) scope.fail("atomic operations are on unsigned types");
  if (bits < op.minBits) scope.fail(`it works on u32 and u64, not on u${bits}`);
  if (wide !== "" && bits !== 64) scope.fail(`an atomic64 operation is on u64, not on u${bits}`);
  return insn(c.BPF_STX | c.BPF_ATOMIC | place.size, { dst: place.reg, src: reg(value), off: place.off, imm: op.imm });
}

function move64(dst: string, imm: bigint, scope: Scope, src: number = 0): Insn {
  if (imm < -(1n << 63n) || imm >= 1n << 64n) scope.fail(`${imm} does not fit in 64 bits`);
  return insn(LD_IMM64, {
    dst: reg(dst),
    src,
    imm: Number(BigInt.asIntN(32, imm)),
    high: Number(BigInt.asIntN(32, imm >> 32n)),
  });
}

function alu([, dst, symbol, value]: RegExpExecArray, scope: Scope): Insn {
  const { code, off } = ALU_BY_SYMBOL.get(symbol.toLowerCase()) as { code: number; off: number };
  if (symbol === "=" && scope.opcode === LD_IMM64 && !isReg(value)) return move64(dst, whole(value), scope);
  const aluClass = width(scope, c.BPF_ALU64, c.BPF_ALU, dst, value);
  return isReg(value)
    ? insn(aluClass | code | c.BPF_X, { dst: reg(dst), src: reg(value), off })
    : insn(aluClass | code | c.BPF_K, { dst: reg(dst), imm: small(value), off });
}

function condition([, dst, symbol, value, distance, label]: RegExpExecArray, scope: Scope): Insn {
  const { code } = JMP_BY_SYMBOL.get(symbol.toLowerCase()) as { code: number };
  const jmpClass = width(scope, c.BPF_JMP, c.BPF_JMP32, dst, value);
  const base = isReg(value)
    ? insn(jmpClass | code | c.BPF_X, { dst: reg(dst), src: reg(value) })
    : insn(jmpClass | code | c.BPF_K, { dst: reg(dst), imm: small(value) });
  return toward(base, "off", distance, label);
}

function swap([, dst, kind, bits, src]: RegExpExecArray, scope: Scope): Insn {
  same(scope, dst, src);
  const code = { le: c.BPF_ALU | c.BPF_TO_LE, be: c.BPF_ALU | c.BPF_TO_BE, bswap: c.BPF_ALU64 }[kind.toLowerCase()];
  return insn((code as number) | c.BPF_END, { dst: reg(dst), imm: Number(bits) });
}

const CALL = c.BPF_JMP | c.BPF_CALL;

/** `call name#number`, as the kernel prints it: the number counts, the name says of what. */
function numbered([, name, number]: RegExpExecArray, scope: Scope): Insn {
  const imm = small(number);
  const id = helperNumber(name);
  if (id !== undefined && id !== imm) scope.fail(`helper ${name} has number ${id}, not ${imm}`);
  const isHelper = id !== undefined || name === "unknown";
  return insn(CALL, { src: isHelper ? 0 : c.BPF_PSEUDO_KFUNC_CALL, imm });
}

function named([, name]: RegExpExecArray, { labels, fail }: Scope): Insn {
  if (labels.has(name)) return insn(CALL, { src: c.BPF_PSEUDO_CALL, target: name });
  return insn(CALL, { imm: helperNumber(name) ?? fail(`"${name}" is neither a label here nor a helper function`) });
}

function pseudo([, dst, name, imm, word, high]: RegExpExecArray, scope: Scope): Insn {
  const kind = PSEUDO[name.toLowerCase()];
  const expected = { none: undefined, offset: "+", fd: "fd" }[kind.high];
  const given = word?.trim().toLowerCase();
  if (given !== undefined && given !== expected) scope.fail(`${name} takes no "${given}"`);
  return insn(LD_IMM64, { dst: reg(dst), src: kind.src, imm: small(imm), high: small(high) });
}

function load(match: RegExpExecArray, scope: Scope): Insn {
  const { isSigned, size, reg: src, off } = mem(match, 2);
  if (isSigned && size === c.BPF_DW) scope.fail("there is no s64 load: u64 leaves nothing to extend");
  return insn(c.BPF_LDX | (isSigned ? c.BPF_MEMSX : c.BPF_MEM) | size, { dst: reg(match[1]), src, off });
}

function store(match: RegExpExecArray, scope: Scope): Insn {
  const { isSigned, size, reg: dst, off } = mem(match, 1);
  if (isSigned) scope.fail("stores are to unsigned types");
  const value = match[5];
  return isReg(value)
    ? insn(c.BPF_STX | c.BPF_MEM | size, { dst, off, src: reg(value) })
    : insn(c.BPF_ST | c.BPF_MEM | size, { dst, off, imm: small(value) });
}

function fetch(match: RegExpExecArray, scope: Scope): Insn {
  const [, result, wide = "", name] = match;
  same(scope, result, match[8]);
  const op = FETCHES.find(({ symbol }) => symbol === name.toLowerCase()) as AtomicRow;
  return atomic(match, 4, op, match[8], wide, scope);
}

function lock(match: RegExpExecArray, scope: Scope): Insn {
  const op = LOCKS.find(({ symbol }) => symbol === match[5]) as AtomicRow;
  return atomic(match, 1, op, match[6], "", scope);
}

function acquire(match: RegExpExecArray, scope: Scope): Insn {
  const made = atomic(match, 2, ATOMIC.load_acquire, match[1], "", scope);
  return { ...made, dst: made.src, src: made.dst };
}

function raw([, ...numbers]: RegExpExecArray): Insn {
  const [code, dst, src, off, imm, high] = numbers.map(small);
  return code === LD_IMM64 || high !== 0 ? { code, dst, src, off, imm, high } : { code, dst, src, off, imm };
}

/** The rules in the order in which they are tried. In a pattern a space may be no or any space, `~` is at least one. */
export const RULES: readonly Rule[] = [
  rule("exit", () => insn(c.BPF_JMP | c.BPF_EXIT)),
  rule("goto~{to}", ([, by, to]) => toward(insn(c.BPF_JMP | c.BPF_JA), "off", by, to)),
  rule("gotol~{to}", ([, by, to]) => toward(insn(c.BPF_JMP32 | c.BPF_JA), "imm", by, to)),
  rule("may_goto~{to}", ([, by, to]) => toward(insn(c.BPF_JMP | c.BPF_JCOND), "off", by, to)),
  rule("gotox~{r}", ([, dst]) => insn(c.BPF_JMP | c.BPF_JA | c.BPF_X, { dst: reg(dst) })),
  rule(`if~{reg} ${either([...JMP_BY_SYMBOL.keys()])} {value}~goto~{to}`, condition),
  rule("call~{num}", ([, number]) => insn(CALL, { imm: small(number) })),
  rule("call~pc {num}", ([, by]) => insn(CALL, { src: c.BPF_PSEUDO_CALL, imm: small(by) })),
  rule("call~(kernel-function|[\\w.$]+)#{num}", numbered),
  rule(
    "call~kfunc~{num}(?:~fd~{num})?",
    ([, imm, fd]) => insn(CALL, { src: c.BPF_PSEUDO_KFUNC_CALL, imm: small(imm), off: small(fd) }),
  ),
  rule("call~{name}", named),
  rule("{r} = {num}~ll", ([, dst, imm], scope) => move64(dst, whole(imm), scope)),
  rule(
    "{r} = func~{to}~ll",
    ([, dst, by, to]) => toward(insn(LD_IMM64, { dst: reg(dst), src: c.BPF_PSEUDO_FUNC, high: 0 }), "imm", by, to),
  ),
  rule(`{r} = ${either(Object.keys(PSEUDO))}~{num}(?:(\\s*\\+\\s*|\\s+fd\\s+){num})?~ll`, pseudo),
  rule("{reg} = \\* {mem}", load),
  rule("\\* {mem} = {value}", store),
  rule(
    "r0 = \\* \\( u(8|16|32) \\* \\) skb \\[ {num} \\]",
    ([, bits, imm]) => insn(c.BPF_LD | c.BPF_ABS | sizeOf(bits), { imm: small(imm) }),
  ),
  rule(
    "r0 = \\* \\( u(8|16|32) \\* \\) skb \\[ {r}{off} \\]",
    ([, bits, src, imm]) => insn(c.BPF_LD | c.BPF_IND | sizeOf(bits), { src: reg(src), imm: small(imm) }),
  ),
  rule(`lock~\\* {mem} ${either(LOCKS.map(({ symbol }) => symbol))} {reg}`, lock),
  rule(`{reg} = atomic(64)?_${either(FETCHES.map(({ symbol }) => symbol))} \\( {mem} , {reg} \\)`, fetch),
  rule(
    "[rw]0 = atomic(64)?_cmpxchg \\( {mem} , [rw]0 , {reg} \\)",
    (match, scope) => atomic(match, 2, ATOMIC.cmpxchg, match[6], match[1] ?? "", scope),
  ),
  rule("{reg} = load_acquire \\( {mem} \\)", acquire),
  rule(
    "store_release \\( {mem} , {reg} \\)",
    (match, scope) => atomic(match, 1, ATOMIC.store_release, match[5], "", scope),
  ),
  rule("{reg} = - {reg}", ([, dst, src], scope) => {
    same(scope, dst, src);
    return insn(width(scope, c.BPF_ALU64, c.BPF_ALU, dst) | c.BPF_NEG, { dst: reg(dst) });
  }),
  rule("{r} = (le|be|bswap)(16|32|64)~{r}", swap),
  rule("{reg} = \\( s(8|16|32) \\) {reg}", ([, dst, bits, src], scope) => {
    const aluClass = width(scope, c.BPF_ALU64, c.BPF_ALU, dst, src);
    if (aluClass === c.BPF_ALU && bits === "32") scope.fail("there is nothing to extend from 32 to 32 bits");
    return insn(aluClass | c.BPF_MOV | c.BPF_X, { dst: reg(dst), src: reg(src), off: Number(bits) });
  }),
  rule("{r} = addr_space_cast \\( {r} , {num} , {num} \\)", ([, dst, src, to, from], scope) => {
    const spaces = [small(to), small(from)];
    if (spaces.some((space) => space < 0 || space > 0xffff)) scope.fail("an address space is from 0 to 65535");
    const imm = (spaces[0] << 16) | spaces[1];
    return insn(c.BPF_ALU64 | c.BPF_MOV | c.BPF_X, { dst: reg(dst), src: reg(src), off: c.BPF_ADDR_SPACE_CAST, imm });
  }),
  rule(`{reg} ${either([...ALU_BY_SYMBOL.keys()])} {value}`, alu),
  rule("\\.insn~{num} , {num} , {num} , {num} , {num}(?: , {num})?", raw),
];
