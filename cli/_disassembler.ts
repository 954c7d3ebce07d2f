/**
 * Machine code as text, by Capstone: in the form of bpftool's, which goes by LLVM's.
 *
 * @module
 */

import { CAPSTONE } from "./_packages.ts";

/** An instruction of machine code. */
export interface MachineInsn {
  /** Bytes from the start of the function. */
  readonly pc: number;
  /** Its bytes. */
  readonly code: Uint8Array;
  /** What it does, such as `movq`; undefined where nothing is known of it. */
  readonly operation: string | undefined;
  /** What with, such as `%rsp, %rbp`. */
  readonly operands: string;
}

/** Disassembles code that starts at a place of its function. */
export type Disassemble = (code: Uint8Array, pc: number) => MachineInsn[];

/** What is used of Capstone. */
interface Capstone {
  readonly [constant: `ARCH_${string}` | `MODE_${string}` | `OPT_${string}`]: number;
  readonly Capstone: new (arch: number, mode: number) => {
    option(option: number, value: number): void;
    disasm(code: readonly number[], address: number): readonly CapstoneInsn[];
  };
}

interface CapstoneInsn {
  readonly address: number | bigint;
  readonly size: number;
  readonly mnemonic: string;
  readonly op_str: string;
}

/** What may keep the disassembler from starting. */
export class NoDisassembler extends Error {}

/**
 * Starts the disassembler for this machine's code.
 *
 * @returns The disassembler.
 * @throws {NoDisassembler} Where the package is not to be had, or may not be read: its code is a file of its own.
 */
export async function startDisassembler(): Promise<Disassemble> {
  let capstone: Capstone;
  try {
    const { default: start } = await import(CAPSTONE) as {
      default: (options: Readonly<Record<string, unknown>>) => Promise<Capstone>;
    };
    capstone = await start({ printErr: () => {} });
  } catch (error) {
    const reason = /read access/.test(`${error}`) ? "it needs --allow-read" : `${error}`.split("\n")[0];
    throw new NoDisassembler(reason, { cause: error });
  }
  const isX86 = Deno.build.arch === "x86_64";
  const decoder = isX86
    ? new capstone.Capstone(capstone.ARCH_X86, capstone.MODE_64)
    : new capstone.Capstone(capstone.ARCH_ARM64, capstone.MODE_ARM);
  if (isX86) decoder.option(capstone.OPT_SYNTAX, capstone.OPT_SYNTAX_ATT);
  return (code, pc) => {
    const insns: MachineInsn[] = [];
    for (let at = 0; at < code.length;) {
      const found = decode(decoder, code, at, pc);
      for (const { size, mnemonic, op_str } of found) {
        insns.push({ pc: pc + at, code: code.subarray(at, at + size), operation: mnemonic, operands: op_str });
        at += size;
      }
      if (at === code.length) break;
      // A byte that begins nothing.
      insns.push({ pc: pc + at, code: code.subarray(at, at + 1), operation: undefined, operands: "" });
      at++;
    }
    return insns;
  };
}

/** The instructions from a place on, up to the first byte that begins none. */
function decode(
  decoder: InstanceType<Capstone["Capstone"]>,
  code: Uint8Array,
  at: number,
  pc: number,
): readonly CapstoneInsn[] {
  try {
    return decoder.disasm([...code.subarray(at)], pc + at);
  } catch {
    // So it says that there is not one.
    return [];
  }
}
