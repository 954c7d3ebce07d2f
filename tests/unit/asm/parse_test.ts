import { assertEquals, assertThrows } from "@std/assert";
import * as asm from "../../../asm/mod.ts";

const { r0, r1, r10, r2 } = asm;

function same(text: string, ...items: readonly asm.Item[]): void {
  assertEquals(asm.print(asm.parse(text), { style: "source" }), asm.print(asm.resolve(items), { style: "source" }));
  assertEquals(asm.encode(asm.parse(text)), asm.assemble(items));
}

Deno.test("parse() reads what the verifier's log shows", () => {
  same(
    `
    0: (b7) r1 = 5                        ; R1=5
    1: (18) r2 = 0xffff888100000000       ; R2=map_ptr(ks=4,vs=8)
    3: (85) call bpf_map_lookup_elem#1    ; R0=map_value_or_null(id=1)
    4: (15) if r0 == 0x0 goto pc+1        ; R0=1
    5: (85) call bpf_rcu_read_lock#12345
    6: (95) exit`,
    asm.mov64(r1, 5),
    asm.ldImm64(r2, 0xffff888100000000n),
    asm.call(1),
    asm.jmp("jeq", r0, 0, 1),
    asm.callKfunc(12345),
    asm.exit(),
  );
});

Deno.test("parse() takes any space, signs before numbers, hexadecimal and capitals", () => {
  same("r1=5\nr1 =  - 0x10\n R1 += R2", asm.mov64(r1, 5), asm.mov64(r1, -16), asm.add64(r1, r2));
  const loads = ["r0=*(u8*)(r1)", "r0 = *( u8 * )( r1 + 0 )", "r0 = *(u8 *)(r1 + -0x0)", "w0 = *(u8 *)(r1 +0)"];
  for (const load of loads) same(load, asm.ldx("b", r0, r1));
  same("*(u32*)(r10-4)=0", asm.st("w", r10, -4, 0));
  same("if r1==r2 goto +1", asm.jmp("jeq", r1, r2, 1));
});

Deno.test("parse() takes comments, empty lines and every line break", () => {
  same("; a\n// b\n# c\r\n\rr0 = 0 ; d\nr0 = 0 // e\nr0 = 0 # f\n\n", ...new Array(3).fill(asm.mov64(r0, 0)));
  assertEquals(asm.parse("").length, 0);
});

Deno.test("parse() takes labels on lines of their own, before instructions, several at once and at the end", () => {
  same(
    "a: b:\n.L1: goto end\n$x.y: goto a\ngoto .L1\nend:",
    asm.ja(2),
    asm.ja(-2),
    asm.ja(-3),
  );
});

Deno.test("parse() takes a number as immediate up to u32 and wraps it", () => {
  same(
    "r0 = 0xffffffff\nr0 = 4294967295\nr0 = -2147483648",
    asm.mov64(r0, -1),
    asm.mov64(r0, -1),
    asm.mov64(r0, -(2 ** 31)),
  );
});

Deno.test("parse() prefers a label to a helper of the same name, unless it has a number or bpf_", () => {
  same(
    "call redirect\ncall bpf_redirect\ncall redirect#23\nredirect: exit",
    asm.callSub("f"),
    asm.call("redirect"),
    asm.call("redirect"),
    asm.label("f"),
    asm.exit(),
  );
});

Deno.test("parse() takes a mov of a number with opcode 18 as a 64-bit load, and b7 as a move", () => {
  same("(18) r1 = 0x5\n(b7) r1 = 5\nr1 = 5", asm.ldImm64(r1, 5), asm.mov64(r1, 5), asm.mov64(r1, 5));
});

Deno.test("parse() resolves function labels over two-slot loads", () => {
  same("r2 = func f ll\nr1 = 1 ll\nf: exit", asm.ldFunc(r2, "f"), asm.ldImm64(r1, 1), asm.label("f"), asm.exit());
});

/** A second line that is wrong, and what the message says. */
const WRONG: readonly (readonly [string, string])[] = [
  ["nonsense", 'line 2, "nonsense": this is no instruction'],
  ["r0 = 0 extra", "this is no instruction"],
  ["r11 = 0", "destination 11 is not a register"],
  ["r0 = r15", "source 15 is not a register"],
  ["r0 = 4294967296", "immediate 4294967296 does not fit in 32 bits"],
  ["r0 = 99999999999999999999999", "does not fit in 32 bits"],
  ["r0 = 0x10000000000000000 ll", "does not fit in 64 bits"],
  ["r0 = *(u8 *)(r1 +40000)", "offset 40000 does not fit in 16 bits"],
  ["r0 = w1", "do not mix"],
  ["if r0 == w1 goto +1", "do not mix"],
  ["r0 = -r1", "it works on one register"],
  ["r0 = be16 r1", "it works on one register"],
  ["r0 = be8 r0", "this is no instruction"],
  ["w0 = (s32)w1", "nothing to extend"],
  ["r0 = *(s64 *)(r1 +0)", "there is no s64 load"],
  ["*(s8 *)(r1 +0) = r0", "stores are to unsigned types"],
  ["lock *(u8 *)(r1 +0) += r2", "it works on u32 and u64, not on u8"],
  ["r2 = atomic64_xchg((u32 *)(r1 +0), r2)", "an atomic64 operation is on u64, not on u32"],
  ["r2 = atomic_xchg((u32 *)(r1 +0), r3)", "it works on one register"],
  ["r1 = addr_space_cast(r2, 0, 65536)", "an address space is from 0 to 65535"],
  ["goto nowhere", 'there is no label "nowhere"'],
  ["call nowhere", '"nowhere" is neither a label here nor a helper function'],
  ["call map_lookup_elem#2", "helper map_lookup_elem has number 1, not 2"],
  ["(07) r0 = 0", "its opcode is b7, not 07"],
  ["(b7)", "this is no instruction"],
  ["r1 = map_fd 5 + 8 ll", 'map_fd takes no "+"'],
  ["r1 = btf_id 5 + 8 ll", 'btf_id takes no "+"'],
  ["first: exit", 'label "first" is there already'],
  [".insn 0xff, 0, 0, 0, 0", "there is no opcode 0xff"],
  [".insn 0x95, 0, 0, 0, 0, 1", "only LD_IMM64 has an upper immediate"],
];

for (const [line, message] of WRONG) {
  Deno.test(`parse() refuses ${line} and names the line`, () => {
    const text = `first: r0 = 0\n${line}\nexit`;
    const error = assertThrows(() => asm.parse(text), SyntaxError, message);
    assertEquals((error as SyntaxError & { line: number }).line, 2);
    assertEquals(asm.tryParse(text), undefined);
  });
}

Deno.test("parse() refuses a jump that is too far, but not gotol", () => {
  const text = (jump: string): string => `${jump} far\n${"exit\n".repeat(40000)}far: exit`;
  assertThrows(() => asm.parse(text("goto")), SyntaxError, "40000 slots away");
  assertEquals(asm.parse(text("gotol"))[0].imm, 40000);
});

Deno.test("tryParse() gives instructions", () => assertEquals(asm.tryParse("exit"), [asm.exit()]));

Deno.test("asm takes numbers, bigints, texts, registers and objects with an fd", () => {
  const map = { fd: 5, name: "hits" };
  const bytes = asm.asm`
    ${r1} = map_fd ${map} ll
    r1 = map_value ${map} + ${8} ll
    r2 = ${0x1122334455667788n} ll
    r2 += ${-8}
    *(u64 *)(r10 ${-8}) = r2
    *(u64 *)(r10 + ${-8}) = r2
    ${"goto out"}
  out:
    exit`;
  assertEquals(
    bytes,
    asm.assemble([
      asm.ldMapFd(r1, 5),
      asm.ldMapValue(r1, 5, 8),
      asm.ldImm64(r2, 0x1122334455667788n),
      asm.add64(r2, -8),
      asm.stx("dw", r10, r2, -8),
      asm.stx("dw", r10, r2, -8),
      asm.ja(0),
      asm.exit(),
    ]),
  );
});

Deno.test("asm refuses values that it cannot write", () => {
  for (const value of [0.5, NaN, 2 ** 60, {}, null, undefined, { fd: "5" }]) {
    assertThrows(() => asm.asm`r0 = ${value as number}`, TypeError, "Cannot write");
  }
});

Deno.test("asm refuses a wrong line with its number", () => {
  assertThrows(() => asm.asm`r0 = ${1}\nr0 = ${2n ** 32n}`, SyntaxError, 'line 2, "r0 = 4294967296": immediate');
});
