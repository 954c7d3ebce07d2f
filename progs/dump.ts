/**
 * Programs as text, as `bpftool prog dump xlated` prints them.
 *
 * @module
 */

import { decode, type Insn, printInsn } from "../asm/mod.ts";
import { Btf } from "../btf/mod.ts";
import { btfGetFdById } from "../cmds/id.ts";
import type { ProgInfo } from "../cmds/info.ts";
import { objGetInfoByFd } from "../cmds/obj.ts";
import { PermissionError } from "../errors.ts";
import type { FdSource } from "../ffi/fd.ts";
import { KernelSymbols } from "../ffi/kallsyms.ts";
import type { AnyToken, PermissionToken } from "../tokens/token.ts";
import {
  BPF_PSEUDO_CALL,
  BPF_PSEUDO_FUNC,
  BPF_PSEUDO_MAP_FD,
  BPF_PSEUDO_MAP_IDX_VALUE,
  BPF_PSEUDO_MAP_VALUE,
} from "../uapi/constants.gen.ts";
import { signatureOf } from "./signature.ts";
import { type FunctionAt, functionsOf, type LineAt, linesOf } from "./lines.ts";

/** What {@linkcode dumpProgram} shows. */
export interface DumpOptions {
  /** Whether functions and source lines are shown, where the program has BTF. @default {true} */
  lines?: boolean | undefined;
  /** Whether file, line and column stand behind source lines, as with bpftool's `linum`. @default {false} */
  places?: boolean | undefined;
  /** The kernel's symbols, which name helpers; they are read where they are left out. */
  symbols?: KernelSymbols | undefined;
}

/** What addresses of calls are counted from. */
const CALL_BASE = "__bpf_call_base";

/**
 * The types of a program's BTF.
 *
 * @param token A token with CAP_SYS_ADMIN, or a BPF token that allows it.
 * @param info What the kernel tells about the program.
 * @returns The types; undefined where it has none, or where the token does not allow it.
 */
export function btfOfProgram(token: AnyToken, info: ProgInfo): Btf | undefined {
  if (info.btfId === 0) return undefined;
  try {
    using fd = btfGetFdById(token as PermissionToken<"CAP_SYS_ADMIN">, info.btfId);
    const { btf } = objGetInfoByFd(token, fd, { kind: "btf", details: ["btf"] });
    return Btf.parse(btf as Uint8Array);
  } catch (error) {
    if (error instanceof PermissionError) return undefined;
    throw error;
  }
}

/** Names for calls, as bpftool makes them. */
class CallNames {
  readonly #symbols: KernelSymbols;
  readonly #functions: readonly bigint[];
  readonly #base: bigint;

  constructor(symbols: KernelSymbols, functions: readonly bigint[]) {
    this.#symbols = symbols;
    this.#functions = functions;
    this.#base = symbols.address(CALL_BASE) ?? 0n;
  }

  #nameAt(address: bigint): string | undefined {
    const symbol = this.#symbols.find(address);
    return symbol?.offset === 0n ? symbol.name : undefined;
  }

  of({ src, imm, off }: Insn): string | undefined {
    if (src !== BPF_PSEUDO_CALL) {
      const address = BigInt.asUintN(64, this.#base + BigInt(imm));
      return this.#nameAt(address) ?? `0x${address.toString(16)}`;
    }
    const sign = off < 0 ? `${off}` : `+${off}`;
    if (this.#functions.length === 0) return sign;
    // The place of the function among those that were compiled stands in the call.
    const address = this.#functions[imm] ?? BigInt.asUintN(64, this.#base + BigInt(imm));
    return `${sign}#${this.#nameAt(address) ?? `0x${address.toString(16)}`}`;
  }
}

/** Names for what is loaded, as bpftool makes them. */
function loadName({ src, imm, high = 0 }: Insn, value: bigint): string {
  switch (src) {
    case BPF_PSEUDO_MAP_FD:
      return `map[id:${imm >>> 0}]`;
    case BPF_PSEUDO_MAP_VALUE:
      return `map[id:${imm >>> 0}][0]+${high >>> 0}`;
    case BPF_PSEUDO_MAP_IDX_VALUE:
      return `map[idx:${imm >>> 0}]+${high >>> 0}`;
    case BPF_PSEUDO_FUNC:
      return `subprog[${imm < 0 ? imm : `+${imm}`}]`;
    default:
      return `0x${value.toString(16)}`;
  }
}

function placeText({ file, line, column }: LineAt): string {
  return file === "" ? "" : ` [file:${file} line_num:${line} line_col:${column}]`;
}

/** An instruction after the verifier's changes. */
export interface DumpedInsn {
  /** Its place, counted in 8 bytes. */
  readonly insn: number;
  /** The instruction as bpftool prints it, such as `"(b7) r0 = 2"`. */
  readonly text: string;
  /** Its 8 or 16 bytes. */
  readonly bytes: Uint8Array;
  /** The function that starts here, as C declares it. */
  readonly signature: string | undefined;
  /** The source line that starts here. */
  readonly source: LineAt | undefined;
}

/**
 * A program's instructions after the verifier's changes, one by one.
 *
 * @param token A permission token.
 * @param prog The program.
 * @param options What is looked at.
 * @returns The instructions; none where the caller may not see them.
 */
export function dumpInsns(token: AnyToken, prog: FdSource, options: Omit<DumpOptions, "places"> = {}): DumpedInsn[] {
  const info = objGetInfoByFd(token, prog, {
    kind: "prog",
    details: ["xlatedInsns", "jitedKsyms", "funcInfo", "lineInfo"],
  });
  const bytes = info.xlatedInsns ?? new Uint8Array(0);
  const insns = decode(bytes, { translated: true });
  if (insns.length === 0) return [];
  const names = new CallNames(options.symbols ?? KernelSymbols.read(), info.jitedKsyms ?? []);
  const btf = options.lines ?? true ? btfOfProgram(token, info) : undefined;
  const functions: FunctionAt[] = btf === undefined ? [] : functionsOf(info, btf);
  const sources: LineAt[] = btf === undefined ? [] : linesOf(info, btf);
  let slot = 0;
  return insns.map((insn): DumpedInsn => {
    const start = slot;
    slot += insn.high === undefined ? 1 : 2;
    const starts = functions[0]?.insn === start ? functions.shift() : undefined;
    return {
      insn: start,
      text: printInsn(insn, { nameCall: (call) => names.of(call), nameImm: loadName }),
      bytes: bytes.subarray(start * 8, slot * 8),
      signature: starts === undefined ? undefined : signatureOf(btf as Btf, starts.typeId),
      source: sources[0] !== undefined && sources[0].insn <= start ? sources.shift() : undefined,
    };
  });
}

/**
 * A program's instructions after the verifier's changes.
 *
 * @param token A permission token.
 * @param prog The program.
 * @param options What is shown.
 * @returns The text; empty where the caller may not see the instructions.
 */
export function dumpProgram(token: AnyToken, prog: FdSource, options: DumpOptions = {}): string {
  let text = "";
  for (const { insn, text: shown, signature, source } of dumpInsns(token, prog, options)) {
    if (signature !== undefined) text += `${signature}:\n`;
    if (source !== undefined) text += `; ${source.text.trimStart()}${options.places ? placeText(source) : ""}\n`;
    text += `${`${insn}`.padStart(4)}: ${shown}\n`;
  }
  return text;
}
