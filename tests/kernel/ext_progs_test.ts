import { assertEquals } from "@std/assert";
import { asm } from "../../asm/mod.ts";
import { btfLoad } from "../../cmds/btf.ts";
import { linkCreate } from "../../cmds/link.ts";
import { progLoad } from "../../cmds/prog.ts";
import { progTestRun } from "../../cmds/prog_run.ts";
import { rawTracepointOpen } from "../../cmds/raw_tracepoint.ts";
import type { Fd } from "../../ffi/fd.ts";
import { kernelTest } from "../_kernel_test.ts";
import { BtfBytes } from "./_btf_bytes.ts";
import { type RootToken, rootToken, u32s } from "./_objects.ts";
import { refusal } from "./_tracing.ts";

/** BTF of `int main(int)` and `int replaced(int)`: type ids 3 and 4. */
const MAIN = 3;
const REPLACED = 4;

function twoFunctions(): Uint8Array<ArrayBuffer> {
  const btf = new BtfBytes();
  const int = btf.int("int", 4, 1);
  const proto = btf.funcProto(int, [["x", int]]);
  assertEquals([btf.func("whole", proto, 1), btf.func("replaced", proto, 1)], [MAIN, REPLACED]);
  return btf.bytes();
}

/** A program that returns what a function makes of 20, which is 21. */
function replaceable(token: RootToken, btf: Fd): Fd {
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
function replacement(token: RootToken, btf: Fd, target: Fd): Fd {
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

const replacesFunctions = refusal((token) => {
  using btf = btfLoad(token, twoFunctions());
  using target = replaceable(token, btf);
  using prog = replacement(token, btf, target);
  return rawTracepointOpen(token, prog);
});

kernelTest("an ext program takes the place of a function of another program", {
  needs: ["btf", replacesFunctions],
}, () => {
  const token = rootToken();
  using btf = btfLoad(token, twoFunctions());
  using target = replaceable(token, btf);
  using other = replaceable(token, btf);
  const run = (prog: Fd): number => progTestRun(token, prog, { data: new Uint8Array(64) }).returnValue;
  assertEquals([run(target), run(other)], [21, 21]);
  using prog = replacement(token, btf, target);
  {
    using _link = rawTracepointOpen(token, prog);
    assertEquals([run(target), run(other)], [120, 21]);
  }
  assertEquals([run(target), run(other)], [21, 21]);
  {
    // Another program with the same function.
    const options = { prog, target: { fd: other }, targetBtfId: REPLACED, attachType: 0 };
    using _link = linkCreate(token, options);
    assertEquals([run(target), run(other)], [21, 120]);
  }
  assertEquals([run(target), run(other)], [21, 21]);
});
