import { assert, assertEquals, assertGreater } from "@std/assert";
import { VerifierError } from "../../errors.ts";
import { parseVerifierLog, verifierSteps } from "../../verifier_log.ts";

/** Logs of the same programs, as kernels wrote them. */
const KERNELS = ["5.10", "6.18", "7.2"] as const;

function read(name: string, kernel: string): string {
  return Deno.readTextFileSync(new URL(`../testdata/verifier/${name}_${kernel}.log`, import.meta.url));
}

for (const kernel of KERNELS) {
  Deno.test(`parseVerifierLog() reads why programs were refused by Linux ${kernel}`, () => {
    const expected: readonly (readonly [name: string, reason: string, insn: number | undefined, processed: number])[] =
      [
        ["stack_read", "invalid read from stack R10 off=8 size=8", 4, 5],
        ["unset_register", "R7 !read_ok", 0, 1],
        ["unreachable", "unreachable insn 1", 1, 0],
        ["loop", "infinite loop detected at insn 0", 0, 11],
        ["helper", "invalid func unknown#999", 0, 1],
      ];
    for (const [name, reason, insn, processed] of expected) {
      const report = parseVerifierLog(read(name, kernel));
      assertEquals([report.reason, report.insn, report.stats?.processedInsns], [reason, insn, processed], name);
      assertEquals(report.stats?.limit, 1_000_000);
      assert(report.summary.endsWith(reason));
    }
    const { step, summary } = parseVerifierLog(read("stack_read", kernel));
    assertEquals(step?.text, "(79) r0 = *(u64 *)(r10 +8)");
    assertEquals(summary, "4: (79) r0 = *(u64 *)(r10 +8)\ninvalid read from stack R10 off=8 size=8");
  });

  Deno.test(`verifierSteps() gives the instructions in the order of Linux ${kernel}'s verifier`, () => {
    const log = read("calls", kernel);
    const steps = [...verifierSteps(log)];
    assertEquals(steps.map(({ insn }) => insn), [0, 1, 2, 3, 4, 5, 8, 9, 6, 7]);
    assertEquals(steps[1].text, "(7b) *(u64 *)(r10 -8) = r6");
    assertEquals(steps[1].before.get("R6"), kernel === "5.10" ? "inv0" : "0");
    assertEquals(
      steps[6].before.get("R1"),
      kernel === "7.2" ? undefined : kernel === "5.10" ? "ctx(id=0,off=0,imm=0)" : "ctx()",
    );
    assertEquals([...steps[7].after], []);
    const { reason, insn, stats } = parseVerifierLog(log);
    assertEquals([reason, insn], ["", undefined]);
    assertEquals([stats?.stackDepths, stats?.processedInsns, stats?.totalStates], [[8, 0], 10, 1]);
    assertGreater(stats?.timeUs ?? 0, 0);
  });

  Deno.test(`parseVerifierLog() reads the statistics of Linux ${kernel}`, () => {
    const { stats, reason } = parseVerifierLog(read("stats", kernel));
    assertEquals([stats?.processedInsns, stats?.stackDepths], [7, [8]]);
    assert(reason.startsWith("invalid variable-offset read from stack R2 var_off=(0x0; 0xf)"));
  });
}

Deno.test("parseVerifierLog() knows source lines, registers and stack slots", () => {
  const log = `func#0 @0
0: R1=ctx() R10=fp0
; struct data *d = lookup(&map, &key); @ prog.bpf.c:17
0: (18) r1 = 0xffff888103693400       ; R1=map_ptr(map=m,ks=4,vs=8)
2: (85) call bpf_map_lookup_elem#1    ; R0=map_value_or_null(id=1,map=m,ks=4,vs=8) refs=2
; return d->value; @ prog.bpf.c:18
3: (79) r0 = *(u64 *)(r0 +0)
R0 invalid mem access 'map_value_or_null'
processed 3 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
`;
  const { step, state, reason, insn, summary } = parseVerifierLog(log);
  assertEquals([reason, insn], ["R0 invalid mem access 'map_value_or_null'", 3]);
  assertEquals(step?.source, { text: "return d->value;", file: "prog.bpf.c", line: 18 });
  assertEquals(state.get("R0"), "map_value_or_null(id=1,map=m,ks=4,vs=8)");
  assertEquals([state.get("R1"), state.get("refs")], ["map_ptr(map=m,ks=4,vs=8)", "2"]);
  assertEquals(
    summary,
    `; return d->value; @ prog.bpf.c:18
3: (79) r0 = *(u64 *)(r0 +0)
   where R0=map_value_or_null(id=1,map=m,ks=4,vs=8)
R0 invalid mem access 'map_value_or_null'`,
  );
  const older = parseVerifierLog(log.replaceAll(/ @ prog\.bpf\.c:\d+/g, ""));
  assertEquals(older.step?.source, { text: "return d->value;", file: undefined, line: undefined });
  const error = new VerifierError({ command: "prog_load", errno: 13, action: "load a program" }, log);
  assertEquals([error.summary, error.report.insn], [summary, 3]);
});

Deno.test("parseVerifierLog() takes whatever text there is", () => {
  assertEquals(parseVerifierLog("").reason, "");
  assertEquals(parseVerifierLog("\n\n").summary, "");
  const { reason, stats } = parseVerifierLog("BPF program is too large. Processed 1000001 insn\n");
  assertEquals([reason, stats], ["BPF program is too large. Processed 1000001 insn", undefined]);
  assertEquals(parseVerifierLog("magic: 0xeb9f\nversion: 1\nInvalid name").reason.split("\n").length, 3);
});
