import { assert, assertEquals, assertGreaterOrEqual, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { asm } from "../../asm/mod.ts";
import { SyscallError } from "../../errors.ts";
import { parseTraceLine, Program, type TraceLine, tracePipe } from "../../progs/mod.ts";
import { kernelSince, kernelTest, SLOWNESS } from "../_kernel_test.ts";
import { assertLacking, eventually, place, returning, rootToken, u32s } from "./_objects.ts";
import { printer, streamMemory } from "./_printer.ts";

kernelTest("Program.output() gives what a program prints as it comes, until it is aborted", {
  needs: ["btf", streamMemory],
}, async () => {
  const token = rootToken();
  using prog = new Program({ token, fd: printer(token), type: "syscall" });
  const print = (stream: number): void => assertEquals(prog.run({ ctx: u32s(stream, 0) }).returnValue, 0);
  print(1);
  print(1);
  print(2);
  assertEquals(prog.readOutput("stderr"), "number 4711 on 2\n");
  assertEquals(prog.readOutput("stderr"), "");
  const abort = new AbortController();
  let text = "";
  const timer = setTimeout(() => print(1), 100);
  for await (const piece of prog.output("stdout", { signal: abort.signal, intervalMs: 10 })) {
    text += piece;
    if (text.split("\n").length === 4) abort.abort();
  }
  clearTimeout(timer);
  assertEquals(text, "number 4711 on 1\n".repeat(3));
  // It ends when the program is closed, too.
  const closing = setTimeout(() => prog.close(), 50);
  for await (const _piece of prog.output("stdout", { intervalMs: 10 })) assert(false, "nothing was printed");
  clearTimeout(closing);
  assert(prog.closed);
});

kernelTest("Program.readOutput() reads what the kernel says of a program's mistakes", {
  needs: ["btf", streamMemory],
}, () => {
  const token = rootToken();
  using prog = Program.load(token, {
    type: "syscall",
    license: "GPL",
    name: "endless",
    flags: ["sleepable"],
    insns: asm`
      r0 = 7
    loop:
      may_goto out
      goto loop
    out:
      exit
    `,
  });
  // The kernel ends it after a quarter of a second.
  assertEquals(prog.run().returnValue, 7);
  assertMatch(prog.readOutput("stderr"), /Timeout detected for may_goto instruction/);
  assertEquals(prog.readOutput("stdout"), "");
});

kernelTest("Program.output() says which kernels have streams", {}, async () => {
  const token = rootToken();
  using prog = Program.load(token, { type: "socket_filter", license: "GPL", insns: returning(0) });
  if (kernelSince("6.17")() !== undefined) {
    assertLacking(() => prog.readOutput(), "BPF_PROG_STREAM_READ_BY_FD", "6.17");
    await assertRejects(() => prog.output().next(), Error, "BPF_PROG_STREAM_READ_BY_FD");
    return;
  }
  assertEquals(prog.readOutput(), "");
  const aborted = AbortSignal.abort();
  assertEquals(await prog.output("stderr", { signal: aborted }).next(), { done: true, value: undefined });
  assertThrows(() => prog.readOutput("stdin" as "stdout"), TypeError, '"stdin" is unknown');
});

kernelTest("tracePipe() gives the lines that programs print", { needs: ["tracefs", kernelSince("5.10")] }, async () => {
  const token = rootToken();
  using prog = Program.load(token, {
    type: "raw_tracepoint",
    license: "GPL",
    name: "tracing",
    insns: asm`
      r3 = *(u64 *)(r1 +0)
      r1 = ${0x78656c2064254020n} ll       ; " @%d lex"
      *(u64 *)(r10 -16) = r1
      r1 = 0x656d                          ; "me", which ends the format
      *(u64 *)(r10 -8) = r1
      r1 = r10
      r1 += -16
      r2 = 11
      call trace_printk
      exit
    `,
  });
  const print = (value: number): number => prog.run({ ctx: u32s(value, 0) }).returnValue;
  const abort = new AbortController();
  const seen: TraceLine[] = [];
  const reading = (async () => {
    for await (const line of tracePipe(place("TRACEFS"), { signal: abort.signal })) {
      if (/@\d+ lexme$/.test(line.text)) seen.push(line);
    }
  })();
  for (const value of [41, 42, 43]) assertGreaterOrEqual(print(value), 10);
  assert(await eventually(() => seen.length >= 3, 5000));
  print(44);
  assert(await eventually(() => seen.length >= 4, 5000));
  abort.abort();
  await reading;
  assertEquals(seen.map(({ text }) => text.trim()), [41, 42, 43, 44].map((value) => `@${value} lexme`));
  for (const { pid, cpu, seconds, source, flags, task } of seen) {
    assert(pid !== undefined && pid > 0 && cpu !== undefined && seconds !== undefined && seconds > 0);
    assertMatch(flags ?? "", /^\S{4,}$/);
    assertEquals(source, "bpf_trace_printk");
    assert((task ?? "").length > 0);
  }
  // One that is left lets go of the file at once.
  for (const value of [1, 2]) print(value);
  for await (
    const _line of tracePipe(`${place("TRACEFS")}/trace_pipe`, { signal: AbortSignal.timeout(5000 * SLOWNESS) })
  ) {
    break;
  }
  await assertRejects(() => tracePipe("/nonexistent").next(), SyscallError, "ENOENT");
  assertEquals(await tracePipe("/nonexistent", { signal: AbortSignal.abort() }).next(), {
    done: true,
    value: undefined,
  });
});

Deno.test("parseTraceLine() reads lines of several kernels, and keeps what has another form", () => {
  assertEquals(parseTraceLine("           <...>-1234    [001] d..21  1234.567890: bpf_trace_printk: hello: world"), {
    line: "           <...>-1234    [001] d..21  1234.567890: bpf_trace_printk: hello: world",
    text: "hello: world",
    task: "<...>",
    pid: 1234,
    cpu: 1,
    flags: "d..21",
    seconds: 1234.56789,
    source: "bpf_trace_printk",
  });
  const { task, pid, text } = parseTraceLine("  my-task-name-77 (     77) [012] .... 5.000001: bpf_trace_printk: ");
  assertEquals([task, pid, text], ["my-task-name", 77, ""]);
  assertEquals(parseTraceLine("second line of a print"), {
    line: "second line of a print",
    text: "second line of a print",
  });
  assertEquals(parseTraceLine("CPU:3 [LOST 12 EVENTS]").pid, undefined);
});
