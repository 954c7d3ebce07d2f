import { assertEquals } from "@std/assert";
import { asm } from "../../../asm/mod.ts";
import { scanProgram } from "../../../cmds/_scan.ts";
import { helpers } from "../../../uapi/enums.gen.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** What a program's instructions show: helpers by number, then features. */
function shown(insns: Bytes): [helpers: number[], features: string[]] {
  const { helpers, features } = scanProgram(insns);
  return [[...helpers].sort((a, b) => a - b), [...features].sort()];
}

/** One raw instruction. */
function raw(code: number, registers = 0, offset = 0, imm = 0): Bytes {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, code);
  view.setUint8(1, registers);
  view.setInt16(2, offset, true);
  view.setInt32(4, imm, true);
  return bytes;
}

function program(...insns: Bytes[]): Bytes {
  const bytes = new Uint8Array(8 * insns.length);
  insns.forEach((insn, index) => bytes.set(insn, 8 * index));
  return bytes;
}

const EXIT = raw(0x95);
const CALL = 0x85;
const JA = 0x05;
const JEQ = 0x15;
const JA32 = 0x06;
const MAY_GOTO = 0xe5;

Deno.test("scanProgram() finds the helpers that are called, each once", () => {
  const insns = asm`
    call ktime_get_ns
    call ktime_get_ns
    call get_current_pid_tgid
    call 4711
    exit
  `;
  assertEquals(shown(insns), [[helpers.ktime_get_ns, helpers.get_current_pid_tgid, 4711], []]);
});

Deno.test("scanProgram() tells helpers from functions", () => {
  const own = asm`
      call one
      exit
    one:
      r0 = 0
      exit
  `;
  assertEquals(shown(own), [[], ["subprograms"]]);
  assertEquals(shown(program(raw(CALL, 0x20, 0, 1234), EXIT)), [[], ["kfuncs"]]);
  assertEquals(shown(program(raw(0x18, 0x41, 0, 2), raw(0), EXIT)), [[], ["callbacks"]]);
  // What stands in the second half of a 64-bit constant is no instruction.
  assertEquals(shown(program(raw(0x18, 0x01), raw(CALL, 0, 0, 7), EXIT)), [[], []]);
});

Deno.test("scanProgram() finds loops, and takes jumps back that close none for what they are", () => {
  const cases: readonly (readonly [name: string, insns: Bytes, features: string[]])[] = [
    ["forward", asm`if r1 == 0 goto end\nr0 = 0\nend: exit`, []],
    ["counted", asm`r1 = 0\nagain: r1 += 1\nif r1 < 10 goto again\nexit`, ["loops"]],
    ["to itself", program(raw(JA, 0, -1), EXIT), ["loops"]],
    ["unconditional", asm`again: r0 = 0\ngoto again\nexit`, ["loops"]],
    ["long", program(raw(0xb7), raw(JA32, 0, 0, -2), EXIT), ["loops"]],
    ["by a 32-bit comparison", asm`again: w1 += 1\nif w1 < 10 goto again\nexit`, ["loops"]],
    ["back without a way round", asm`goto body\nend: exit\nbody: r0 = 0\ngoto end`, []],
    ["back that nothing reaches", program(EXIT, raw(0xb7), raw(JA, 0, -2)), []],
    ["across a 64-bit constant", program(raw(0x18, 0x01), raw(0), raw(JEQ, 0x01, -3), EXIT), ["loops"]],
    ["out of the program", program(raw(JA, 0, -7), EXIT), []],
  ];
  for (const [name, insns, features] of cases) assertEquals(shown(insns)[1], features, name);
});

Deno.test("scanProgram() tells loops by may_goto from others", () => {
  const cases: readonly (readonly [name: string, insns: Bytes, features: string[]])[] = [
    ["alone", program(raw(MAY_GOTO, 0, 2), raw(0xb7), raw(JA, 0, -3), EXIT), ["may_goto"]],
    ["not at the start", program(raw(0xb7), raw(MAY_GOTO, 0, 2), raw(0xb7), raw(JA, 0, -3), EXIT), ["may_goto"]],
    ["without a loop", program(raw(MAY_GOTO, 0, 1), raw(0xb7), EXIT), []],
    [
      "around another loop",
      program(raw(MAY_GOTO, 0, 3), raw(0xb7), raw(JEQ, 0, -2, 1), raw(JA, 0, -4), EXIT),
      ["loops"],
    ],
    [
      "before another loop",
      program(raw(MAY_GOTO, 0, 2), raw(0xb7), raw(JA, 0, -3), raw(0xb7), raw(JEQ, 0, -2, 1), EXIT),
      ["loops"],
    ],
    [
      "with a comparison that goes on",
      program(raw(0xb7), raw(MAY_GOTO, 0, 2), raw(0x07), raw(0xa5, 0x01, -3, 10), EXIT),
      ["may_goto"],
    ],
  ];
  for (const [name, insns, features] of cases) assertEquals(shown(insns)[1], features, name);
});

Deno.test("scanProgram() looks for loops in large programs not at all: those ask for CAP_BPF anyway", () => {
  const large = new Uint8Array(8 * 4097);
  for (let at = 0; at < large.length; at += 8) large[at] = 0xb7;
  large.set(raw(JA, 0, -2), large.length - 16);
  large.set(EXIT, large.length - 8);
  assertEquals(shown(large), [[], []]);
  assertEquals(shown(large.slice(8)), [[], ["loops"]]);
  assertEquals(shown(new Uint8Array(8 * 1_000_000)), [[], []]);
});

Deno.test("scanProgram() follows 4096 branches without giving up", () => {
  const insns: Bytes[] = Array.from({ length: 4094 }, () => raw(JEQ, 0x01, 0, 1));
  assertEquals(shown(program(...insns, raw(JEQ, 0x01, -2, 1), EXIT))[1], ["loops"]);
  assertEquals(shown(program(...insns, raw(0xb7), EXIT))[1], []);
});

Deno.test("scanProgram() reads a part of a buffer, and what ends early", () => {
  const whole = new Uint8Array(64).fill(0xff);
  whole.set(program(raw(CALL, 0, 0, 5), EXIT), 24);
  assertEquals(shown(whole.subarray(24, 40)), [[5], []]);
  assertEquals(shown(program(raw(0x18, 0x01))), [[], []]);
  assertEquals(shown(new Uint8Array(0)), [[], []]);
});
