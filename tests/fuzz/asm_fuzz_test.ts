import { assert, assertEquals } from "@std/assert";
import { decode, encode, type Insn, LD_IMM64, parse, print, tryDecode } from "../../asm/mod.ts";
import { type Random, random } from "../_random.ts";

/** Where the numbers start: `ASM_FUZZ_SEED` tries others. */
const SEED = Number(Deno.env.get("ASM_FUZZ_SEED") ?? 0xb0f);
const ROUNDS = 20_000;

function bytesOf(next: Random, length: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length }, () => next(256));
}

/** Every opcode that decode takes. */
const OPCODES: readonly number[] = Array.from({ length: 256 }, (_, code) => code).filter((code) =>
  tryDecode(new Uint8Array(code === LD_IMM64 ? 16 : 8).fill(code, 0, 1)) !== undefined
);

/** Numbers at which something changes, and any. */
function anyOf(next: Random, edges: readonly number[], any: () => number): number {
  return next(3) === 0 ? any() : edges[next(edges.length)];
}

function anyInsn(next: Random): Insn {
  const code = OPCODES[next(OPCODES.length)];
  const off = anyOf(next, [0, 0, 0, 1, -1, 8, 16, 32, 0x7fff, -0x8000], () => next(0x10000) - 0x8000);
  const s32 = (): number => anyOf(next, [0, 0, 1, -1, 16, 32, 64, 0x7fffffff, -0x80000000], () => next(2 ** 32) | 0);
  const atomicOps = [0, 0x40, 0x50, 0xa0, 0x01, 0x41, 0x51, 0xa1, 0xe1, 0xf1, 0x100, 0x110];
  const imm = next(4) === 0 ? atomicOps[next(atomicOps.length)] : s32();
  const insn = { code, dst: next(11), src: next(3) === 0 ? next(11) : next(3), off, imm };
  return code === LD_IMM64 ? { ...insn, high: s32() } : insn;
}

/** What no instruction uses, made zero: most of the fields of random instructions are otherwise no one's. */
function tidy(insn: Insn, next: Random): Insn {
  const keep = next(16);
  return {
    ...insn,
    off: keep & 1 ? insn.off : 0,
    imm: keep & 2 ? insn.imm : 0,
    src: keep & 4 ? insn.src : 0,
    dst: keep & 8 ? insn.dst : 0,
  };
}

Deno.test(`decode() gives a SyntaxError or what encode() gives back, for random bytes (seed ${SEED})`, () => {
  const next = random(SEED);
  let taken = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const bytes = bytesOf(next, next(2) === 0 ? next(40) : 8 * next(5));
    // Without this, hardly any opcode exists.
    for (let at = 0; at < bytes.length; at += 8) {
      if (next(8) !== 0) bytes[at] = OPCODES[next(OPCODES.length)];
      if (next(8) !== 0 && at + 1 < bytes.length) bytes[at + 1] &= 0x77;
    }
    for (const options of [{}, { translated: true }]) {
      let insns: Insn[];
      try {
        insns = decode(bytes, options);
      } catch (error) {
        assert(error instanceof SyntaxError, String(error));
        const { offset } = error as SyntaxError & { offset: number };
        assert(offset >= 0 && offset <= bytes.length, `offset ${offset} of ${bytes.length}`);
        continue;
      }
      taken++;
      assertEquals(encode(insns, options), bytes);
      assertEquals(print(bytes, options).split("\n").length, Math.max(insns.length, 1));
    }
  }
  assert(taken > ROUNDS / 4, `only ${taken} of ${ROUNDS} were instructions`);
});

Deno.test(`print() and parse() give every instruction back (seed ${SEED})`, () => {
  const next = random(SEED);
  let plain = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const insns = Array.from({ length: 1 + next(4) }, () => tidy(anyInsn(next), next));
    const bytes = encode(insns);
    const text = print(decode(bytes), { style: "source" });
    assertEquals(encode(parse(text)), bytes, text);
    assertEquals(print(parse(text), { style: "source" }), text);
    if (!text.includes(".insn")) plain++;
  }
  assert(plain > ROUNDS / 8, `only ${plain} of ${ROUNDS} programs had no .insn`);
});

Deno.test(`parse() gives what the kernel's style of print() shows back (seed ${SEED})`, () => {
  const next = random(SEED);
  let taken = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const insn = tidy(anyInsn(next), next);
    // What the kernel shows of an instruction that it would refuse may be no instruction, or another.
    if (print([insn], { style: "source", index: false }).startsWith(".insn")) continue;
    const text = print([insn]);
    const parsed = parse(text);
    assertEquals(print(parsed), text);
    // The kernel does not show where a 64-bit load comes from, nor of which module a function is.
    const isWhole = insn.code === LD_IMM64 ? insn.src === 0 : insn.code !== 0x85 || insn.off === 0;
    if (isWhole) assertEquals(encode(parsed), encode([insn]), text);
    taken++;
  }
  assert(taken > ROUNDS / 4, `only ${taken} of ${ROUNDS} were plain`);
});

Deno.test(`parse() gives instructions or a SyntaxError, for random text (seed ${SEED})`, () => {
  const next = random(SEED);
  const pieces = ["r0", "r1", "w2", "r10", "=", "+=", "s/=", "(", ")", "*", "u32", "s8", "if", "goto", "call", "ll"]
    .concat([
      "pc+1",
      "0x10",
      "-5",
      "99999999999",
      "map_fd",
      "func",
      "fd",
      ":",
      "a:",
      "a",
      "#",
      ";",
      "\n",
      "exit",
      "(b7)",
    ])
    .concat([".insn", ",", "lock", "atomic_xchg", "skb[", "]", "7:", "\u0000", "é", "18446744073709551616", "kfunc"]);
  for (let round = 0; round < ROUNDS; round++) {
    const spaces = ["", " ", " "];
    const text = Array.from({ length: next(12) }, () => pieces[next(pieces.length)] + spaces[next(3)]).join("");
    try {
      encode(parse(text));
    } catch (error) {
      assert(error instanceof SyntaxError, `${text}: ${error}`);
      assert((error as SyntaxError & { line: number }).line >= 1, text);
    }
  }
});
