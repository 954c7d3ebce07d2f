/**
 * A program with a function that another program can take the place of.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { asm } from "../../asm/mod.ts";
import { progLoad } from "../../cmds/prog.ts";
import type { Fd } from "../../ffi/fd.ts";
import { BtfBytes } from "./_btf_bytes.ts";
import { type RootToken, u32s } from "./_objects.ts";

/** BTF of `int main(int)` and `int replaced(int)`: type ids 3 and 4. */
const MAIN = 3;
export const REPLACED = 4;

export function twoFunctions(): Uint8Array<ArrayBuffer> {
  const btf = new BtfBytes();
  const int = btf.int("int", 4, 1);
  const proto = btf.funcProto(int, [["x", int]]);
  assertEquals([btf.func("whole", proto, 1), btf.func("replaced", proto, 1)], [MAIN, REPLACED]);
  return btf.bytes();
}

/** A program that returns what a function makes of 20, which is 21. */
export function replaceable(token: RootToken, btf: Fd): Fd {
  return progLoad(token, {
    type: "sched_cls",
    license: "GPL",
    btf: { fd: btf, funcInfo: { records: u32s(0, MAIN, 3, REPLACED), size: 8 } },
    insns: asm`
        r1 = 20
        call replaced
        exit
      replaced:
        r0 = r1
        r0 += 1
        exit
    `,
  });
}

/** What takes the function's place: it adds 100. */
export function replacement(token: RootToken, btf: Fd, target: Fd): Fd {
  return progLoad(token, {
    type: "ext",
    license: "GPL",
    btf: { fd: btf, funcInfo: { records: u32s(0, REPLACED), size: 8 } },
    attachTo: target,
    attachBtfId: REPLACED,
    insns: asm`
      r0 = r1
      r0 += 100
      exit
    `,
  });
}
