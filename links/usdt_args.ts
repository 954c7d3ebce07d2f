/**
 * Where the arguments of a USDT probe are: the words of its note.
 *
 * @module
 */

/** What every argument has. */
export interface UsdtArgumentBase {
  /** The argument as the note has it, such as `"-4@-20(%rbp)"`. */
  readonly text: string;
  /** Bytes: 1, 2, 4 or 8; 0 where that could not be read. */
  readonly size: number;
  /** Whether it is a signed integer. */
  readonly signed: boolean;
}

/** An argument of a USDT probe. */
export type UsdtArgument =
  | (UsdtArgumentBase & {
    /** The argument is a number that the compiler knew. */
    readonly kind: "constant";
    /** The number. */
    readonly value: bigint;
  })
  | (UsdtArgumentBase & {
    /** The argument is in a register. */
    readonly kind: "register";
    /** The register, as the note has it, such as `"eax"`. */
    readonly register: string;
  })
  | (UsdtArgumentBase & {
    /** The argument is in memory, at the sum of a register, an offset and a scaled index. */
    readonly kind: "memory";
    /** The register. */
    readonly register: string;
    /** What is added to it. */
    readonly offset: bigint;
    /** A register that is added too; x86-64 only. */
    readonly index?: string;
    /** What that is multiplied by first: 1, 2, 4 or 8. */
    readonly scale?: number;
  })
  | (UsdtArgumentBase & {
    /** The argument is somewhere that programs cannot read it from: a vector register, an address without a register. */
    readonly kind: "unknown";
  });

const NUMBER = String.raw`[+-]?(?:0x[0-9a-f]+|\d+)`;
/** The size, a letter for floating point, and where the argument is. */
const SIZED = /^(-?\d+)(f?)@(.+)$/;

/** How the arguments of a machine are written. */
interface Syntax {
  readonly constant: RegExp;
  readonly register: RegExp;
  /** Groups: `offset`, `register`, and for some `index` and `scale`. */
  readonly memory: RegExp;
  /** Where each register is in struct pt_regs. */
  readonly registers: ReadonlyMap<string, number>;
}

/** The registers of struct pt_regs of x86-64, in its order: each with the names of its parts. */
const X86_REGISTERS: readonly (readonly string[])[] = [
  ["r15", "r15d", "r15w", "r15b"],
  ["r14", "r14d", "r14w", "r14b"],
  ["r13", "r13d", "r13w", "r13b"],
  ["r12", "r12d", "r12w", "r12b"],
  ["rbp", "ebp", "bp", "bpl"],
  ["rbx", "ebx", "bx", "bl"],
  ["r11", "r11d", "r11w", "r11b"],
  ["r10", "r10d", "r10w", "r10b"],
  ["r9", "r9d", "r9w", "r9b"],
  ["r8", "r8d", "r8w", "r8b"],
  ["rax", "eax", "ax", "al"],
  ["rcx", "ecx", "cx", "cl"],
  ["rdx", "edx", "dx", "dl"],
  ["rsi", "esi", "si", "sil"],
  ["rdi", "edi", "di", "dil"],
  ["orig_rax"],
  ["rip", "eip", "ip"],
  ["cs"],
  ["eflags"],
  ["rsp", "esp", "sp", "spl"],
];

/** Where the stack pointer is in struct user_pt_regs of arm64: behind 31 registers. */
const ARM64_SP = 31 * 8;

const SYNTAXES: Readonly<Record<UsdtMachine, Syntax>> = {
  x86_64: {
    constant: new RegExp(`^\\$(?<value>${NUMBER})$`),
    register: /^%(?<register>[a-z_0-9]+)$/,
    memory: new RegExp(
      `^(?<offset>${NUMBER})?\\(%(?<register>[a-z_0-9]+)(?:,\\s*%(?<index>[a-z_0-9]+)(?:,\\s*(?<scale>[1248]))?)?\\)$`,
    ),
    registers: new Map(X86_REGISTERS.flatMap((names, index) => names.map((name) => [name, index * 8]))),
  },
  aarch64: {
    constant: new RegExp(`^(?<value>${NUMBER})$`),
    register: /^(?<register>[xw](?:[12]?\d|30)|sp)$/,
    memory: new RegExp(`^\\[(?<register>x(?:[12]?\\d|30)|sp)(?:,\\s*#?(?<offset>${NUMBER}))?\\]$`),
    registers: new Map([
      ...Array.from({ length: 31 }, (_, index) => [[`x${index}`, index * 8], [`w${index}`, index * 8]] as const).flat(),
      ["sp", ARM64_SP],
    ]),
  },
};

/** A machine that programs with USDT probes run on. */
export type UsdtMachine = "x86_64" | "aarch64";

function toBigInt(text: string): bigint {
  const negative = text.startsWith("-");
  const magnitude = BigInt(text.replace(/^[+-]/, ""));
  return negative ? -magnitude : magnitude;
}

/**
 * Where a register is in the kernel's struct pt_regs.
 *
 * @param register The register, as an argument names it.
 * @param machine The machine.
 * @returns Bytes from the start; undefined where there is no such register.
 */
export function registerOffset(register: string, machine: UsdtMachine): number | undefined {
  return SYNTAXES[machine].registers.get(register);
}

function parseArgument(text: string, machine: UsdtMachine): UsdtArgument {
  const { constant, register, memory, registers } = SYNTAXES[machine];
  const [, sizeText, float, place] = SIZED.exec(text) ?? [];
  const size = Math.abs(Number(sizeText));
  const known = place !== undefined && [1, 2, 4, 8].includes(size);
  const base = { text, size: known ? size : 0, signed: known && sizeText.startsWith("-") };
  if (!known || float !== "") return { ...base, kind: "unknown" };
  const value = constant.exec(place)?.groups?.value;
  if (value !== undefined) return { ...base, kind: "constant", value: toBigInt(value) };
  const name = register.exec(place)?.groups?.register;
  if (name !== undefined && registers.has(name)) return { ...base, kind: "register", register: name };
  const parts = memory.exec(place)?.groups;
  if (parts === undefined || !registers.has(parts.register)) return { ...base, kind: "unknown" };
  const sum = { register: parts.register, offset: toBigInt(parts.offset ?? "0") };
  if (parts.index === undefined) return { ...base, kind: "memory", ...sum };
  if (!registers.has(parts.index)) return { ...base, kind: "unknown" };
  return { ...base, kind: "memory", ...sum, index: parts.index, scale: Number(parts.scale ?? 1) };
}

/** A size and an `@`, with which each argument starts: their places may have spaces in them. */
const START = /(?<=^|\s)-?\d+f?@/g;

/**
 * Reads where the arguments of a USDT probe are.
 *
 * @param text The arguments, as the note has them, such as `"-4@%eax 8@-24(%rbp)"`.
 * @param machine The machine. @default {the one that this runs on}
 * @returns The arguments; those that this library cannot read are `"unknown"`.
 */
export function parseUsdtArguments(text: string, machine: UsdtMachine = Deno.build.arch): UsdtArgument[] {
  if (text.trim() === "") return [];
  const starts = [...text.matchAll(START)].map(({ index }) => index);
  // What is in front of the first one, or all where there is none, is an argument that nobody can read.
  if (starts[0] !== 0) starts.unshift(0);
  return starts.map((start, index) => parseArgument(text.slice(start, starts[index + 1]).trim(), machine));
}
