import { assert, assertEquals, assertGreater, assertThrows } from "@std/assert";
import {
  attachKprobe,
  attachKprobeMulti,
  attachKsyscall,
  type Attachment,
  KernelSymbols,
  Link,
  NotSupportedError,
  SyscallError,
} from "../../mod.ts";
import { kernelSince, kernelTest, type Probe } from "../_kernel_test.ts";
import { Counter } from "./_counter.ts";
import { place, rootToken, simpleProg } from "./_objects.ts";
import { hasKprobes, notes, ownIds, probing, summingOwnCookies, tracefsProbes } from "./_tracing.ts";

const FUNCTION = `__${Deno.build.arch === "aarch64" ? "arm64" : "x64"}_sys_getpgid`;
const OTHER = FUNCTION.replace("getpgid", "getsid");

kernelTest("attachKprobe() makes probes by each mode, by name, offset and address, and takes those of tracefs away", {
  needs: [hasKprobes, "tracefs"],
}, async () => {
  const token = rootToken();
  const tracefs = place("TRACEFS");
  const linked = kernelSince("5.15")() === undefined;
  const address = KernelSymbols.read().address(FUNCTION);
  assert(address !== undefined);
  for (const mode of ["auto", "link", "perf", "legacy"] as const) {
    for (const target of [FUNCTION, address]) {
      for (const returns of [false, true]) {
        using counter = new Counter(token, "kprobe", 0);
        const attach = (): Attachment => attachKprobe(token, counter.prog, target, { mode, returns, tracefs });
        if (mode === "link" && !linked) {
          assertThrows(attach, NotSupportedError);
          continue;
        }
        const attachment = attach();
        assertEquals(attachment instanceof Link, linked && mode !== "perf", mode);
        assertEquals(tracefsProbes("kprobe").length, mode === "legacy" ? 1 : 0, mode);
        await counter.seen(attachment, ownIds);
        assertEquals(tracefsProbes("kprobe"), [], mode);
      }
    }
    using counter = new Counter(token, "kprobe", 0);
    if (mode === "link" && !linked) continue;
    assertThrows(
      () => attachKprobe(token, counter.prog, "no_such_function", { mode, tracefs }),
      SyscallError,
      "there is no such function",
    );
    assertEquals(tracefsProbes("kprobe"), []);
  }
});

kernelTest("attachKsyscall() finds the function of a system call, and says where there is none", {
  needs: [hasKprobes, "tracefs"],
}, async () => {
  const token = rootToken();
  for (const options of [{}, { returns: true }, { mode: "legacy", tracefs: place("TRACEFS") } as const]) {
    using counter = new Counter(token, "kprobe", 0);
    await counter.seen(attachKsyscall(token, counter.prog, "getpgid", options), ownIds);
  }
  using prog = simpleProg(token, "kprobe");
  assertThrows(() => attachKsyscall(token, prog, "no_such_call"), TypeError, 'the kernel has no "no_such_call"');
});

/** Whether the kernel was built for kprobes of many functions. */
const hasFprobe: Probe = () =>
  kernelSince("5.18")() ??
    (KernelSymbols.read().address("register_fprobe_ips") === undefined
      ? "the kernel was built without fprobe"
      : undefined);

kernelTest("attachKprobeMulti() runs a program at functions by name, address and pattern, with cookies", {
  needs: [hasFprobe, "tracefs"],
}, () => {
  const token = rootToken();
  const tracefs = place("TRACEFS");
  using seen = notes(token, 2);
  using prog = probing(token, "trace_kprobe_multi", summingOwnCookies(seen));
  const during = (link: Attachment): [bigint, bigint] => {
    const [runs, cookies] = seen.read();
    ownIds();
    link.close();
    ownIds();
    const [laterRuns, laterCookies] = seen.read();
    return [laterRuns - runs, laterCookies - cookies];
  };
  const symbols = [FUNCTION, OTHER];
  assertEquals(during(attachKprobeMulti(token, prog, { symbols, cookies: [1n, 20n] })), [2n, 21n]);
  assertEquals(during(attachKprobeMulti(token, prog, { symbols, cookies: [1n, 20n], returns: true })), [2n, 21n]);
  const kernelSymbols = KernelSymbols.read();
  const addresses = symbols.map((name) => kernelSymbols.address(name)!);
  assertEquals(during(attachKprobeMulti(token, prog, { addresses, cookies: [1n, 20n] })), [2n, 21n]);
  assertEquals(during(attachKprobeMulti(token, prog, { pattern: FUNCTION.replace("getp", "*etp"), tracefs })), [
    1n,
    0n,
  ]);
  // getpgid and setpgid, of both ways of calling, whatever the kernel has of them.
  const link = attachKprobeMulti(token, prog, { pattern: FUNCTION.replace("getpgid", "?etpgid"), tracefs });
  if (kernelSince("6.6")() === undefined) assertEquals((link.info as never as { count: number }).count, 2);
  assertEquals(during(link), [1n, 0n]);
  // Without tracefs the kernel's symbols have to do.
  const without = { pattern: FUNCTION.replace("getpgid", "get?gid"), tracefs: "/nowhere" };
  assertGreater(during(attachKprobeMulti(token, prog, without))[0], 0n);
  for (
    const [options, message] of [
      [{ pattern: "no_such_*", tracefs }, 'no function "no_such_*"'],
      [{}, "give one of symbols"],
      [{ symbols, addresses }, "give one of symbols"],
      [{ pattern: "*", cookies: [1n] }, "nobody knows"],
      [{ symbols, session: true, returns: true }, "at entry and return"],
    ] as const
  ) {
    assertThrows(() => attachKprobeMulti(token, prog, options), TypeError, message);
  }
  assertThrows(() => attachKprobeMulti(token, prog, { symbols: ["no_such_function"] }), SyscallError, "ESRCH");
});

kernelTest("attachKprobeMulti() runs a session at entry and return, or says that Linux 6.10 has it", {
  needs: [hasFprobe],
}, () => {
  const token = rootToken();
  using seen = notes(token, 2);
  if (kernelSince("6.10")() !== undefined) {
    const attach = (): void => {
      using prog = probing(token, "trace_kprobe_session", summingOwnCookies(seen));
      attachKprobeMulti(token, prog, { symbols: [FUNCTION], session: true }).close();
    };
    assertThrows(attach, NotSupportedError, "6.10");
    return;
  }
  using prog = probing(token, "trace_kprobe_session", summingOwnCookies(seen));
  using link = attachKprobeMulti(token, prog, { symbols: [FUNCTION, OTHER], cookies: [1n, 10n], session: true });
  ownIds();
  assertEquals(seen.read(), [4n, 22n]);
  link.close();
  ownIds();
  assertEquals(seen.read(), [4n, 22n]);
});

kernelTest("attachKprobeMulti() says that the kernel was built without fprobe", {
  needs: [() => kernelSince("5.18")() ?? (hasFprobe() === undefined ? "the kernel has fprobe" : undefined)],
}, () => {
  const token = rootToken();
  using prog = simpleProg(token, "kprobe", { expectedAttachType: "trace_kprobe_multi" });
  assertThrows(() => attachKprobeMulti(token, prog, { symbols: [FUNCTION] }), NotSupportedError, "CONFIG_FPROBE");
});
