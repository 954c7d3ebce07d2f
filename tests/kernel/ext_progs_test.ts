import { assertEquals } from "@std/assert";
import { btfLoad } from "../../cmds/btf.ts";
import { linkCreate } from "../../cmds/link.ts";
import { progTestRun } from "../../cmds/prog_run.ts";
import { rawTracepointOpen } from "../../cmds/raw_tracepoint.ts";
import type { Fd } from "../../ffi/fd.ts";
import { kernelTest } from "../_kernel_test.ts";
import { rootToken } from "./_objects.ts";
import { replaceable, REPLACED, replacement, twoFunctions } from "./_replaceable.ts";
import { refusal } from "./_tracing.ts";

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
