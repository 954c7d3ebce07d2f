/**
 * The text assembler: the language that {@linkcode print} writes, and that the kernel's verifier speaks;
 * {@linkcode parse} describes it.
 *
 * @module
 */

import type { Insn, Item } from "./insn.ts";
import { encode } from "./codec.ts";
import { hex2 } from "./_check.ts";
import { RULES } from "./_grammar.ts";
import { resolveItems } from "./_resolve.ts";
import { type Line, lines } from "./_text.ts";

/** What {@linkcode asm} takes between its texts: a number, a text, or an object with a file descriptor. */
export type AsmValue = number | bigint | string | { readonly fd: number };

function fail({ number, written }: Line, reason: string): never {
  const message = `Cannot parse line ${number}, "${written.trim()}": ${reason}`;
  throw Object.assign(new SyntaxError(message), { line: number });
}

function instruction(line: Line, labels: ReadonlySet<string>): Insn {
  const scope = { labels, opcode: line.opcode, fail: (reason: string): never => fail(line, reason) };
  for (const [pattern, make] of RULES) {
    const match = pattern.exec(line.text);
    if (match === null) continue;
    const insn = make(match, scope);
    if (line.opcode !== undefined && line.opcode !== insn.code) {
      fail(line, `its opcode is ${hex2(insn.code)}, not ${hex2(line.opcode)}`);
    }
    return insn;
  }
  return fail(line, "this is no instruction");
}

/**
 * Parses a program's text, in the language that {@linkcode print} writes.
 *
 * A line holds at most one instruction. Before it may stand labels (`name:`), the number of a slot (`0:`) and an
 * opcode (`(b7)`), which is held against the instruction; after it a comment, from `;`, `//`, or a `#` that follows a
 * space. Numbers are decimal or `0x`, with an optional sign. `r0` to `r10` are 64 bits wide, `w0` to `w10` their lower
 * 32. `<to>` is a label or a distance in slots, `pc+3` or `+3`; spaces inside an instruction do not matter.
 *
 * | text | what it is |
 * |---|---|
 * | `r1 = r2`, `w1 = 5`, `r1 = (s8)r2` | moves, plain and sign extending |
 * | `r1 += r2` and `-= *= /= s/= %= s%= &= \|= ^= <<= >>= s>>=` | arithmetic, with a register or a 32-bit number |
 * | `r1 = -r1`, `r1 = be16 r1`, `le32`, `bswap64` | negation, byte order |
 * | `r1 = addr_space_cast(r2, 0, 1)` | a cast between address spaces |
 * | `r1 = *(u32 *)(r2 +4)`, `r1 = *(s8 *)(r2 -1)` | loads |
 * | `*(u8 *)(r1 +0) = r2`, `*(u64 *)(r10 -8) = 0` | stores |
 * | `r0 = *(u16 *)skb[12]`, `r0 = *(u8 *)skb[r1 + 2]` | loads from a packet |
 * | `lock *(u64 *)(r1 +0) += r2` and `\|= &= ^=` | atomic operations |
 * | `r2 = atomic64_fetch_add((u64 *)(r1 +0), r2)`, `atomic_xchg` | the same, handing back what was there |
 * | `r0 = atomic_cmpxchg((u32 *)(r1 +0), r0, r2)` | compare and exchange |
 * | `r0 = load_acquire((u8 *)(r1 +0))`, `store_release((u8 *)(r1 +0), r2)` | ordered loads and stores |
 * | `goto <to>`, `gotol <to>`, `may_goto <to>`, `gotox r1` | jumps |
 * | `if r1 == 0 goto <to>` and `!= > >= < <= & s> s>= s< s<=`, `if w1 …` | jumps on a condition |
 * | `call map_lookup_elem`, `call bpf_map_lookup_elem#1`, `call 1` | calls of helpers |
 * | `call name`, `call pc+3` | calls of functions here; a label goes before a helper of the same name |
 * | `call kfunc 77`, `call kfunc 77 fd 2`, `call name#77` | calls of kernel functions by BTF id |
 * | `exit` | the end |
 * | `r1 = 42 ll` | a 64-bit number |
 * | `r1 = map_fd 5 ll`, `r1 = map_idx 0 ll` | a map |
 * | `r1 = map_value 5 + 8 ll`, `r1 = map_idx_value 0 + 8 ll` | an address inside a map's value |
 * | `r1 = btf_id 77 ll`, `r1 = btf_id 77 fd 5 ll` | a variable of the kernel, or of a module |
 * | `r1 = func <to> ll` | the address of a function here |
 * | `.insn 0xb7, 0, 0, 0, 5` | opcode, dst, src, off, imm (and for 0x18 the upper imm) as they are |
 *
 * @param text The text
 * @returns The instructions, their labels resolved
 * @throws {SyntaxError} If a line is no instruction, an operand is out of range, or a label is unknown or there
 * twice; the message has the line, and so has the error's `line`, from 1
 * @example
 * ```ts
 * import { parse } from "./mod.ts";
 *
 * const insns = parse(`
 *   r0 = 1
 *   if r1 != 0 goto out
 *   r0 = 0
 * out:
 *   exit
 * `);
 * ```
 */
export function parse(text: string): Insn[] {
  const all = lines(text);
  const labels = new Set(all.flatMap((line) => line.labels));
  const items: Item[] = [];
  const places: Line[] = [];
  for (const line of all) {
    for (const label of line.labels) {
      items.push({ label });
      places.push(line);
    }
    if (line.text === "" && line.opcode === undefined) continue;
    items.push(instruction(line, labels));
    places.push(line);
  }
  return resolveItems(items, ({ index, reason }) => fail(places[index], reason));
}

/**
 * Parses a program's text, where it may be none.
 *
 * @param text The text
 * @returns The instructions; undefined where {@linkcode parse} would throw a SyntaxError
 */
export function tryParse(text: string): Insn[] | undefined {
  try {
    return parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function written(value: AsmValue): string {
  if (typeof value === "string") return value;
  const number = typeof value === "object" && value !== null ? value.fd : value;
  if (typeof number === "bigint" || Number.isSafeInteger(number)) return String(number);
  throw new TypeError(`Cannot write ${String(number)} into assembly: it is neither an exact integer nor has an fd`);
}

/**
 * Assembles a program from text, which is {@linkcode parse}d and encoded. A number between the texts is an immediate,
 * an object with an `fd` is its number, and a string is more text.
 *
 * @param texts The texts
 * @param values What stands between them
 * @returns The bytes, as BPF_PROG_LOAD takes them
 * @throws {SyntaxError} If a line is no instruction, an operand is out of range, or a label is unknown or there
 * twice; the message has the line, and so has the error's `line`, from 1
 * @throws {TypeError} If a value is none that can be written, or a number is not an exact integer
 * @example
 * ```ts
 * import { asm } from "./mod.ts";
 *
 * const map = { fd: 5 };
 * const bytes = asm`
 *   *(u32 *)(r10 -4) = 0
 *   r1 = map_fd ${map} ll
 *   r2 = r10
 *   r2 += -4
 *   call map_lookup_elem
 *   if r0 == 0 goto out
 *   r1 = 1
 *   lock *(u64 *)(r0 +0) += r1
 * out:
 *   r0 = 0
 *   exit
 * `;
 * ```
 */
export function asm(texts: TemplateStringsArray, ...values: readonly AsmValue[]): Uint8Array<ArrayBuffer> {
  return encode(parse(texts.reduce((text, next, index) => `${text}${written(values[index - 1])}${next}`)));
}
