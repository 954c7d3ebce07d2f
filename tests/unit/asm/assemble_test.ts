import { assertEquals, assertThrows } from "@std/assert";
import * as asm from "../../../asm/mod.ts";

const { r0, r1, r2 } = asm;

Deno.test("assemble() counts an LD_IMM64 as two slots", () => {
  const bytes = asm.assemble([
    asm.jmp("jeq", r1, 0, "out"),
    asm.ldImm64(r1, 5),
    asm.label("again"),
    asm.ja("again"),
    asm.label("out"),
    asm.exit(),
  ]);
  assertEquals(asm.decode(bytes).map(({ off }) => off), [3, 0, -1, 0]);
});

Deno.test("assemble() resolves calls, function addresses and long jumps into imm", () => {
  const bytes = asm.assemble([
    asm.callSub("f"),
    asm.ldFunc(r1, "f"),
    asm.gotol("f"),
    asm.mayGoto("f"),
    asm.label("f"),
    asm.exit(),
  ]);
  assertEquals(asm.decode(bytes).map(({ off, imm }) => [off, imm]), [[0, 4], [0, 3], [0, 1], [0, 0], [0, 0]]);
});

Deno.test("assemble() takes several labels at one place, and one at the end", () => {
  const items = [asm.label("a"), asm.label("b"), asm.exit(), asm.ja("a"), asm.ja("b"), asm.ja("c"), asm.label("c")];
  assertEquals(asm.resolve(items).map(({ off }) => off), [0, -2, -3, 0]);
});

Deno.test("assemble() takes an empty program", () => assertEquals(asm.assemble([]).length, 0));

Deno.test("resolve() leaves no label behind", () => {
  assertEquals(asm.resolve([asm.label("a"), asm.ja("a")]), [{ code: 5, dst: 0, src: 0, off: -1, imm: 0 }]);
});

Deno.test("builders take a frozen instruction apart without changing it", () => {
  const insn = Object.freeze(asm.ja("a"));
  asm.resolve([insn, asm.label("a")]);
  assertEquals(insn.target, "a");
});

const far: asm.Item[] = [asm.ja("far"), ...new Array(40000).fill(asm.exit()), asm.label("far")];

/** What cannot be assembled after a first LD_IMM64, and what the message says of it. */
const WRONG: readonly (readonly [string, readonly asm.Item[], string])[] = [
  [
    "a register above 10",
    [asm.mov64("r11" as asm.Reg, 5)],
    "instruction 2 (r11 = 5): destination 11 is not a register",
  ],
  ["a source above 10", [asm.mov64(r1, "r12" as asm.Reg)], "instruction 2 (r1 = r12): source 12 is not a register"],
  ["a name that is no register", [asm.neg64("x" as asm.Reg)], "instruction 2 (rNaN = -rNaN): destination NaN"],
  ["an offset above 16 bits", [asm.ldx("w", r0, r1, 32768)], "instruction 2 (r0 = *(u32 *)(r1 +32768)): offset 32768"],
  ["an offset below 16 bits", [asm.stx("w", r0, r1, -32769)], "(*(u32 *)(r0 -32769) = r1): offset -32769"],
  ["a fraction as an offset", [asm.ldx("w", r0, r1, 0.5)], "offset 0.5"],
  ["an immediate above u32", [asm.mov64(r0, 2 ** 32)], "instruction 2 (r0 = 0): immediate 4294967296 does not fit"],
  ["an immediate below s32", [asm.mov64(r0, -(2 ** 31) - 1)], "immediate -2147483649 does not fit in 32 bits"],
  ["an immediate that is no number", [asm.mov64(r0, NaN)], "instruction 2 (opcode 0xb7, imm NaN): immediate NaN"],
  ["an offset into a map's value above u32", [asm.ldMapValue(r1, 5, 2 ** 32)], "upper immediate 4294967296"],
  ["an unknown label", [asm.jmp("jeq", r0, 0, "nowhere")], "(if r0 == 0x0 goto nowhere): there is no label"],
  ["a call of an unknown label", [asm.callSub("nowhere")], "(call nowhere): there is no label"],
  ["the address of an unknown label", [asm.ldFunc(r1, "nowhere")], "(r1 = func nowhere ll): there is no label"],
  ["a label that is there twice", [asm.label("a"), asm.exit(), asm.label("a")], 'label at instruction 3: label "a" is'],
  ["a jump that is too far", far, 'instruction 2 (goto far): label "far" is 40000 slots away'],
  ["a label where none can be", [{ ...asm.exit(), target: "a" }, asm.label("a")], "(exit): it takes no label"],
  [
    "an opcode that does not exist",
    [{ ...asm.exit(), code: 0xff }],
    "instruction 2 (.insn 0xff, 0, 0, 0, 0): there is no",
  ],
  ["an opcode that is no byte", [{ ...asm.exit(), code: 256 }], "instruction 2 (opcode 256): opcode 256 is not a byte"],
  ["an upper half where none can be", [{ ...asm.exit(), high: 1 }], "only LD_IMM64 has an upper immediate"],
];

for (const [name, items, message] of WRONG) {
  Deno.test(`assemble() refuses ${name} and names the instruction`, () => {
    assertThrows(() => asm.assemble([asm.ldImm64(r2, 0), ...items]), RangeError, message);
  });
}

Deno.test("encode() refuses a label that has not been resolved", () => {
  assertThrows(() => asm.encode([asm.ja("a")]), RangeError, 'instruction 0 (goto a): label "a" has not been resolved');
});

/** What a builder refuses by itself, since it has no number for it. */
const UNBUILDABLE: readonly (readonly [string, () => asm.Insn, string])[] = [
  ["alu64() an unknown operation", () => asm.alu64("pow" as "add", r0, 1), '"pow" is none of add, sub'],
  ["alu64() a property of Object", () => asm.alu64("constructor" as "add", r0, 1), '"constructor" is none of'],
  ["jmp() an unknown condition", () => asm.jmp("jz" as "jeq", r0, 0, 1), '"jz" is none of jeq'],
  ["ldx() an unknown size", () => asm.ldx("q" as "w", r0, r1), '"q" is none of b, h, w, dw'],
  ["ldsx() dw", () => asm.ldsx("dw" as "w", r0, r1), "nothing to extend"],
  ["ldAbs() dw", () => asm.ldAbs("dw" as "w", 0), 'not "dw"'],
  ["atomic() an unknown operation", () => asm.atomic("dw", "nand" as "and", r0, r1), '"nand" is none of'],
  ["atomic() an add of 16 bits", () => asm.atomic("h", "add", r0, r1), 'takes "w" or "dw", not "h"'],
  ["call() an unknown helper", () => asm.call("nothing" as "loop"), '"nothing" is no helper function'],
  ["call() a property of Object", () => asm.call("toString" as "loop"), '"toString" is no helper function'],
  ["le() 8 bits", () => asm.le(r0, 8 as 16), "8 bits is none of 16,32,64"],
  ["movsx32() 32 bits", () => asm.movsx32(r0, r1, 32 as 16), "32 bits is none of 8,16"],
  ["ldImm64() 65 bits", () => asm.ldImm64(r0, 1n << 64n), "does not fit in 64 bits"],
  ["ldImm64() a fraction", () => asm.ldImm64(r0, 0.5), "0.5 is not an exact integer"],
  ["ldImm64() an inexact number", () => asm.ldImm64(r0, 2 ** 60), "is not an exact integer"],
  ["addrSpaceCast() a negative space", () => asm.addrSpaceCast(r0, r1, -1, 0), "-1 is not an address space"],
];

for (const [name, build, message] of UNBUILDABLE) {
  Deno.test(name.replace("()", "() refuses"), () => void assertThrows(build, RangeError, message));
}

Deno.test("helperNumber() knows names with and without bpf_", () => {
  assertEquals(["loop", "bpf_loop", "hasOwnProperty", "bpf_"].map(asm.helperNumber), [181, 181, undefined, undefined]);
});
