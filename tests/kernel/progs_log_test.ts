import { assert, assertEquals, assertGreater, assertStringIncludes, assertThrows } from "@std/assert";
import { asm, assemble, exit, ldx, mov64, r0 } from "../../asm/mod.ts";
import { BtfBuilder } from "../../btf/mod.ts";
import { VerifierError } from "../../errors.ts";
import { parseVerifierLog, Program, type ProgramOptions, verifierSteps } from "../../mod.ts";
import { kernelSince, kernelTest, notEmulated } from "../_kernel_test.ts";
import { rootToken } from "./_objects.ts";

kernelTest("VerifierError tells the source line, the instruction, the registers and the reason", {}, () => {
  const token = rootToken();
  const builder = new BtfBuilder();
  const int = builder.int("int", 4, "signed");
  const entry = builder.func("entry", builder.funcProto(int, [{ name: "ctx", typeId: builder.ptr(0) }]), "global");
  const error = assertThrows(
    () =>
      Program.load(token, {
        type: "xdp",
        license: "GPL",
        insns: asm`
          r2 = *(u32 *)(r1 +0)
          r0 = *(u8 *)(r2 +20)
          exit
        `,
        btf: {
          types: builder,
          funcInfo: [{ insnOff: 0, typeId: entry }],
          lineInfo: [
            { insnOff: 0, file: "drop.c", text: "  char *data = (void *)(long)ctx->data;", line: 4, column: 3 },
            { insnOff: 8, file: "drop.c", text: "  return data[20];", line: 5, column: 3 },
          ],
        },
      }),
    VerifierError,
  );
  const { report } = error;
  assertEquals([report.insn, report.step?.text], [1, "(71) r0 = *(u8 *)(r2 +20)"]);
  assertEquals(report.step?.source?.text, "return data[20];");
  if (kernelSince("6.9")() === undefined) assertEquals(report.step?.source?.line, 5);
  if (kernelSince("5.18")() === undefined) assertStringIncludes(report.state.get("R2") ?? "", "pkt(");
  assertStringIncludes(report.reason, "invalid access to packet, off=20 size=1");
  assertStringIncludes(error.summary, "return data[20];");
  assertStringIncludes(error.summary, "1: (71) r0 = *(u8 *)(r2 +20)\n");
  assertEquals(report.stats?.processedInsns, 2);
});

kernelTest("Program.load() tells by level 4 what the verifier counted", {}, () => {
  const token = rootToken();
  let log = "";
  using prog = Program.load(token, {
    type: "socket_filter",
    license: "GPL",
    logLevel: 4,
    onLog: (text) => void (log = text),
    insns: asm`
      *(u64 *)(r10 -24) = 1
      call sub
      exit
    sub:
      *(u64 *)(r10 -64) = 1
      r0 = 0
      exit
    `,
  });
  const stats = parseVerifierLog(log).stats;
  assertEquals([stats?.processedInsns, stats?.stackDepths], [6, [24, 64]]);
  assertGreater(stats?.timeUs ?? 0, 0);
  if (kernelSince("5.16")() === undefined) assertEquals(prog.info.verifiedInsns, 6);
});

const MILLION = 1_000_000;

/** A million instructions, but for the last ones. */
function many(last: Parameters<typeof assemble>[0]): Uint8Array<ArrayBuffer> {
  const one = mov64(r0, 0);
  return assemble([...Array.from({ length: MILLION - last.length }, () => one), ...last]);
}

kernelTest("Program.load() loads a million instructions, and keeps the whole log of a million", {
  needs: [notEmulated("a log of 45 MB")],
}, () => {
  const token = rootToken();
  const good = many([exit()]);
  const base = { type: "socket_filter", license: "GPL" } as const;
  let log = "";
  {
    using prog = Program.load(token, { ...base, insns: good, logLevel: 4, onLog: (text) => void (log = text) });
    assertEquals(parseVerifierLog(log).stats?.processedInsns, MILLION);
    assertEquals(prog.info.xlatedProgLen, 8 * MILLION);
  }
  // The last but one reads what it may not.
  const bad: ProgramOptions = { ...base, insns: many([ldx("dw", r0, "r10", 8), exit()]) };
  const error = assertThrows(() => Program.load(token, bad as never), VerifierError);
  if (kernelSince("6.4")() === undefined) {
    assertStringIncludes(error.report.reason, "invalid read from stack R10 off=8 size=8");
    assertEquals(error.report.insn, MILLION - 2);
    assertEquals(error.report.stats?.processedInsns, MILLION - 1);
    // Every instruction has its line, from the first to the last.
    let next = 0;
    for (const { insn } of verifierSteps(error.log)) if (insn !== next++) assertEquals(insn, next - 1);
    assertEquals(next, MILLION - 1);
    assertGreater(error.log.length, 32 * 1024 * 1024);
  } else {
    // Kernels before 6.4 keep the start of what does not fit 16 MiB, and say so.
    assertEquals([error.code, error.log.length > 15 * 1024 * 1024], ["ENOSPC", true]);
  }
  const over = { ...base, insns: new Uint8Array(8 * (MILLION + 1)) };
  assertThrows(() => Program.load(token, over), RangeError, "1000001 are more than the limit of 1000000");
  assert(error.message.length < 4000);
});
