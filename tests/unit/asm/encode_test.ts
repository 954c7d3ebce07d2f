import { assertEquals, assertThrows } from "@std/assert";
import * as asm from "../../../asm/mod.ts";

const { r0, r1, r10, r2, r3, r5 } = asm;

function hex(insn: asm.Insn): string {
  return asm.encode([insn]).toHex().replace(/../g, "$& ").trimEnd();
}

/** Instructions and the bytes that the kernel's instruction set document gives them. */
const BYTES: readonly (readonly [string, asm.Insn, string])[] = [
  ["mov64", asm.mov64(r0, 0), "b7 00 00 00 00 00 00 00"],
  ["mov64 of a register", asm.mov64(r1, r2), "bf 21 00 00 00 00 00 00"],
  ["mov32", asm.mov32(r1, -1), "b4 01 00 00 ff ff ff ff"],
  ["mov32 of an unsigned number", asm.mov32(r1, 0xffff_fffe), "b4 01 00 00 fe ff ff ff"],
  ["add64", asm.add64(r1, 0x01020304), "07 01 00 00 04 03 02 01"],
  ["add32", asm.add32(r1, r2), "0c 21 00 00 00 00 00 00"],
  ["sub64", asm.sub64(r1, 1), "17 01 00 00 01 00 00 00"],
  ["mul32", asm.mul32(r1, 3), "24 01 00 00 03 00 00 00"],
  ["div64", asm.div64(r1, r2), "3f 21 00 00 00 00 00 00"],
  ["sdiv64", asm.sdiv64(r1, r2), "3f 21 01 00 00 00 00 00"],
  ["smod32", asm.smod32(r1, 3), "94 01 01 00 03 00 00 00"],
  ["arsh64", asm.arsh64(r1, 3), "c7 01 00 00 03 00 00 00"],
  ["neg64", asm.neg64(r1), "87 01 00 00 00 00 00 00"],
  ["neg32", asm.neg32(r1), "84 01 00 00 00 00 00 00"],
  ["movsx64", asm.movsx64(r1, r2, 32), "bf 21 20 00 00 00 00 00"],
  ["movsx32", asm.movsx32(r1, r2, 16), "bc 21 10 00 00 00 00 00"],
  ["addrSpaceCast", asm.addrSpaceCast(r1, r2, 1, 0), "bf 21 01 00 00 00 01 00"],
  ["le", asm.le(r1, 16), "d4 01 00 00 10 00 00 00"],
  ["be", asm.be(r1, 64), "dc 01 00 00 40 00 00 00"],
  ["bswap", asm.bswap(r1, 32), "d7 01 00 00 20 00 00 00"],
  ["ldx b", asm.ldx("b", r0, r1, 1), "71 10 01 00 00 00 00 00"],
  ["ldx h", asm.ldx("h", r0, r1, -1), "69 10 ff ff 00 00 00 00"],
  ["ldx w", asm.ldx("w", r0, r1), "61 10 00 00 00 00 00 00"],
  ["ldx dw", asm.ldx("dw", r0, r1, 8), "79 10 08 00 00 00 00 00"],
  ["ldsx b", asm.ldsx("b", r0, r1, 8), "91 10 08 00 00 00 00 00"],
  ["ldsx w", asm.ldsx("w", r0, r1, 8), "81 10 08 00 00 00 00 00"],
  ["stx w", asm.stx("w", r10, r1, -4), "63 1a fc ff 00 00 00 00"],
  ["st dw", asm.st("dw", r10, -8, 5), "7a 0a f8 ff 05 00 00 00"],
  ["atomic add", asm.atomic("dw", "add", r1, r2), "db 21 00 00 00 00 00 00"],
  ["atomic fetch_xor", asm.atomic("w", "fetch_xor", r1, r2, 4), "c3 21 04 00 a1 00 00 00"],
  ["atomic xchg", asm.atomic("dw", "xchg", r1, r2), "db 21 00 00 e1 00 00 00"],
  ["atomic cmpxchg", asm.atomic("dw", "cmpxchg", r1, r2), "db 21 00 00 f1 00 00 00"],
  ["atomic load_acquire b", asm.atomic("b", "load_acquire", r1, r2), "d3 21 00 00 00 01 00 00"],
  ["atomic store_release h", asm.atomic("h", "store_release", r1, r2), "cb 21 00 00 10 01 00 00"],
  ["ldAbs", asm.ldAbs("h", 12), "28 00 00 00 0c 00 00 00"],
  ["ldInd", asm.ldInd("w", r3, 4), "40 30 00 00 04 00 00 00"],
  ["ja", asm.ja(-2), "05 00 fe ff 00 00 00 00"],
  ["gotol", asm.gotol(0x12345), "06 00 00 00 45 23 01 00"],
  ["gotox", asm.gotox(r5), "0d 05 00 00 00 00 00 00"],
  ["mayGoto", asm.mayGoto(1), "e5 00 01 00 00 00 00 00"],
  ["jmp", asm.jmp("jeq", r0, 0, 3), "15 00 03 00 00 00 00 00"],
  ["jmp of a register", asm.jmp("jsle", r1, r2, 3), "dd 21 03 00 00 00 00 00"],
  ["jmp32", asm.jmp32("jset", r1, 8, 3), "46 01 03 00 08 00 00 00"],
  ["call", asm.call("map_lookup_elem"), "85 00 00 00 01 00 00 00"],
  ["call with bpf_", asm.call("bpf_cgrp_storage_delete"), "85 00 00 00 d3 00 00 00"],
  ["call of a number", asm.call(9999), "85 00 00 00 0f 27 00 00"],
  ["callSub", asm.callSub(-5), "85 10 00 00 fb ff ff ff"],
  ["callKfunc", asm.callKfunc(77, 2), "85 20 02 00 4d 00 00 00"],
  ["exit", asm.exit(), "95 00 00 00 00 00 00 00"],
  ["ldImm64", asm.ldImm64(r1, 0x1122334455667788n), "18 01 00 00 88 77 66 55 00 00 00 00 44 33 22 11"],
  ["ldImm64 below zero", asm.ldImm64(r1, -2), "18 01 00 00 fe ff ff ff 00 00 00 00 ff ff ff ff"],
  ["ldImm64 of u64", asm.ldImm64(r1, 0xffff_ffff_ffff_ffffn), "18 01 00 00 ff ff ff ff 00 00 00 00 ff ff ff ff"],
  ["ldMapFd", asm.ldMapFd(r1, 5), "18 11 00 00 05 00 00 00 00 00 00 00 00 00 00 00"],
  ["ldMapFd of an object", asm.ldMapFd(r1, { fd: 6 }), "18 11 00 00 06 00 00 00 00 00 00 00 00 00 00 00"],
  ["ldMapValue", asm.ldMapValue(r1, 5, 8), "18 21 00 00 05 00 00 00 00 00 00 00 08 00 00 00"],
  ["ldBtfId", asm.ldBtfId(r1, 77, 3), "18 31 00 00 4d 00 00 00 00 00 00 00 03 00 00 00"],
  ["ldFunc", asm.ldFunc(r1, 4), "18 41 00 00 04 00 00 00 00 00 00 00 00 00 00 00"],
  ["ldMapIdx", asm.ldMapIdx(r1, 1), "18 51 00 00 01 00 00 00 00 00 00 00 00 00 00 00"],
  ["ldMapIdxValue", asm.ldMapIdxValue(r1, 1, 8), "18 61 00 00 01 00 00 00 00 00 00 00 08 00 00 00"],
];

for (const [name, insn, bytes] of BYTES) {
  Deno.test(`encode() gives the bytes of ${name}`, () => assertEquals(hex(insn), bytes));
  Deno.test(`decode() gives ${name} back`, () => assertEquals(asm.decode(asm.encode([insn])).map(hex), [bytes]));
}

Deno.test("decode() keeps the signs of off, imm and the upper half", () => {
  const [load, jump] = asm.decode(asm.encode([asm.ldImm64(r1, -2n), asm.jmp("jeq", r1, -3, -4)]));
  assertEquals(load, { code: 0x18, dst: 1, src: 0, off: 0, imm: -2, high: -1 });
  assertEquals(jump, { code: 0x15, dst: 1, src: 0, off: -4, imm: -3 });
  assertEquals(asm.imm64(load), 0xffff_ffff_ffff_fffen);
  assertEquals([asm.slots(load), asm.slots(jump)], [2, 1]);
});

Deno.test("decode() keeps fields that an instruction does not use", () => {
  const bytes = new Uint8Array([0x95, 0x21, 3, 0, 4, 0, 0, 0]);
  assertEquals(asm.encode(asm.decode(bytes)), bytes);
});

Deno.test("decode() reads a view that starts inside its buffer", () => {
  assertEquals(asm.decode(new Uint8Array([9, 9, 9, 0x95, 0, 0, 0, 0, 0, 0, 0]).subarray(3)), [asm.exit()]);
});

const EXIT = [0x95, 0, 0, 0, 0, 0, 0, 0];
const LOAD = [0x18, 1, 0, 0, 5, 0, 0, 0];

const MALFORMED: readonly (readonly [string, readonly number[], number])[] = [
  ["a length that is no multiple of 8", [...EXIT, 0x95], 8],
  ["an unknown opcode", [...EXIT, 0xff, 0, 0, 0, 0, 0, 0, 0], 8],
  ["a callx", [0x8d, 0, 0, 0, 0, 0, 0, 0], 0],
  ["register 11", [...EXIT, 0xb7, 0x0b, 0, 0, 0, 0, 0, 0], 9],
  ["an LD_IMM64 without its second slot", [...EXIT, ...LOAD], 16],
  ["an LD_IMM64 whose second slot has an opcode", [...LOAD, ...EXIT], 8],
  ["an LD_IMM64 whose second slot has an offset", [...LOAD, 0, 0, 1, 0, 0, 0, 0, 0], 8],
];

for (const [name, bytes, offset] of MALFORMED) {
  Deno.test(`decode() refuses ${name} and says where`, () => {
    const error = assertThrows(() => asm.decode(new Uint8Array(bytes)), SyntaxError);
    assertEquals((error as SyntaxError & { offset: number }).offset, offset);
    assertEquals(asm.tryDecode(new Uint8Array(bytes)), undefined);
  });
}

Deno.test("decode() and encode() take what only the kernel writes where the program is translated", () => {
  const bytes = new Uint8Array([0xc2, 0, 0, 0, 0, 0, 0, 0, 0xbf, 0x1b, 0, 0, 0, 0, 0, 0]);
  const options = { translated: true };
  assertEquals(asm.encode(asm.decode(bytes, options), options), bytes);
  assertEquals(asm.print(bytes, options), "0: (c2) nospec\n1: (bf) r11 = r1");
});

Deno.test("tryDecode() gives instructions", () => {
  assertEquals(asm.tryDecode(new Uint8Array(EXIT)), [asm.exit()]);
});
