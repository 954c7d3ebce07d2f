import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  type Attachment,
  attachUprobe,
  attachUprobeMulti,
  Link,
  NotSupportedError,
  type ProbeMode,
  SyscallError,
} from "../../mod.ts";
import { readBinary } from "../_binary.ts";
import { kernelSince, kernelTest } from "../_kernel_test.ts";
import { Counter } from "./_counter.ts";
import { lackingFor, place, rootToken, simpleProg, trying } from "./_objects.ts";
import { CLANG, Probed } from "./_probed.ts";
import { notes, probing, summingCookies, tracefsProbes } from "./_tracing.ts";

const TOOLS = [CLANG, "readelf"];

kernelTest("attachUprobe() runs a program at a function by symbol, version and offset, and where it returns", {
  tools: TOOLS,
}, async () => {
  const token = rootToken();
  await using probed = await Probed.start();
  const { path, library } = probed;
  const work = await readBinary(path, "work");
  for (
    const options of [
      { path, symbol: "work" },
      { path, symbol: "work", returns: true },
      { path, symbol: "hidden" },
      { path, offset: work },
      { path, offset: BigInt(work), pid: probed.pid },
      { path: library, symbol: "lib_one" },
      { path: library, symbol: "lib_add" },
      { path: library, symbol: "lib_add@@PROBED_2" },
      { path: library, symbol: "lib_two@PROBED_1", returns: true },
    ]
  ) {
    using counter = new Counter(token, "kprobe", 0);
    await counter.seen(attachUprobe(token, counter.prog, options), () => probed.round());
  }
  // The older version is there, and the program does not call it; nor is this process the probed one.
  using idle = new Counter(token, "kprobe", 0);
  for (const options of [{ path: library, symbol: "lib_add@PROBED_1" }, { path, symbol: "work", pid: 0 }]) {
    using _link = attachUprobe(token, idle.prog, options);
    await probed.round();
    assertEquals(idle.runs, 0);
  }
});

/** Puts a folder in front of a search path, for as long as this is not disposed of. */
function inFront(variable: string, folder: string): Disposable {
  const before = Deno.env.get(variable);
  Deno.env.set(variable, before === undefined ? folder : `${folder}:${before}`);
  return {
    [Symbol.dispose]: () => before === undefined ? Deno.env.delete(variable) : Deno.env.set(variable, before),
  };
}

kernelTest("attachUprobe() finds libraries and programs by name as libbpf does", { tools: TOOLS }, async () => {
  const token = rootToken();
  await using probed = await Probed.start();
  using _path = inFront("PATH", probed.folder);
  using _libraries = inFront("LD_LIBRARY_PATH", probed.folder);
  for (const options of [{ path: "probed", symbol: "work" }, { path: "libprobed.so", symbol: "lib_one" }]) {
    using counter = new Counter(token, "kprobe", 0);
    await counter.seen(attachUprobe(token, counter.prog, options), () => probed.round());
  }
  using prog = simpleProg(token, "kprobe");
  attachUprobe(token, prog, { path: "libc.so.6", symbol: "getpid" }).close();
  for (
    const [options, message] of [
      [{ path: "libnowhere.so.1", offset: 1 }, 'no library "libnowhere.so.1"'],
      [{ path: "nowhere-at-all", offset: 1 }, 'no program "nowhere-at-all"'],
      [{ path: "/nowhere", symbol: "main" }, 'no file "/nowhere"'],
      [{ path: "libc.so.6", symbol: "no_such_function" }, 'no function "no_such_function"'],
      [{ path: "libc.so.6", symbol: "memcpy" }, "it is chosen among others"],
      [{ path: "libc.so.6" }, "give a symbol or an offset"],
      [{ path: "", offset: 1 }, "it is empty"],
      [{ path: "libc.so.6", symbol: "getpid", mode: "fast" as ProbeMode }, '"fast" is none'],
    ] as const
  ) {
    assertThrows(() => attachUprobe(token, prog, options), TypeError, message);
  }
  assertThrows(() => attachUprobe(token, prog, { path: "/etc/passwd", symbol: "main" }), SyntaxError);
  assertThrows(() => attachUprobe(token, prog, { path: "libc.so.6", offset: -1 }), RangeError, "-1 is negative");
  const outside = { path: "libc.so.6", symbol: "getpid", refCtrOffset: 2n ** 33n };
  assertThrows(() => attachUprobe(token, prog, outside), RangeError, "8589934592");
});

kernelTest("attachUprobe() makes probes by each mode, and takes those of tracefs away again", {
  needs: ["tracefs"],
  tools: TOOLS,
}, async () => {
  const token = rootToken();
  const tracefs = place("TRACEFS");
  await using probed = await Probed.start();
  const options = { path: probed.path, symbol: "work", tracefs };
  const linked = kernelSince("5.15")() === undefined;
  for (const mode of ["auto", "link", "perf", "legacy"] as const) {
    if (mode === "link" && !linked) {
      using prog = simpleProg(token, "kprobe");
      assert(lackingFor(() => attachUprobe(token, prog, { ...options, mode }).descriptor) !== undefined);
      continue;
    }
    for (const returns of [false, true]) {
      using counter = new Counter(token, "kprobe", 0);
      const attachment = attachUprobe(token, counter.prog, { ...options, mode, returns });
      assertEquals(attachment instanceof Link, linked && mode !== "perf", mode);
      assertEquals(tracefsProbes("uprobe").length, mode === "legacy" ? 1 : 0, mode);
      await counter.seen(attachment, () => probed.round());
      assertEquals(tracefsProbes("uprobe"), [], mode);
    }
  }
  // Two probes at one place do not undo each other; a token takes its own with it.
  const other = rootToken();
  using first = new Counter(token, "kprobe", 0);
  using second = new Counter(token, "kprobe", 0);
  const one = attachUprobe(token, first.prog, { ...options, mode: "legacy" });
  const two = attachUprobe(other, second.prog, { ...options, mode: "legacy" });
  assertEquals(tracefsProbes("uprobe").length, 2);
  one.close();
  assertEquals(tracefsProbes("uprobe").length, 1);
  await probed.round();
  assertEquals([first.runs, second.runs], [0, 1]);
  other.revoke();
  assertEquals([two.closed, tracefsProbes("uprobe")], [true, []]);
  // What the kernel refuses leaves nothing either.
  using wrong = simpleProg(token, "socket_filter");
  assertThrows(() => attachUprobe(token, wrong, { ...options, mode: "legacy" }), SyscallError, "EINVAL");
  assertThrows(
    () =>
      attachUprobe(token, first.prog, { ...options, path: "/nowhere", symbol: undefined, offset: 1, mode: "legacy" }),
    SyscallError,
    "ENOENT",
  );
  assertEquals(tracefsProbes("uprobe"), []);
  if (!linked) return;
  assertThrows(
    () => attachUprobe(token, first.prog, { ...options, mode: "perf", cookie: 1n }),
    TypeError,
    "only links hold one",
  );
});

kernelTest(
  "attachUprobe() raises a reference counter while it is attached",
  { needs: ["tracefs"], tools: TOOLS },
  async () => {
    const token = rootToken();
    await using probed = await Probed.start();
    using prog = simpleProg(token, "kprobe");
    const refCtrOffset = await readBinary(probed.path, "counter");
    for (const mode of ["auto", "legacy"] as const) {
      const options = { path: probed.path, symbol: "work", refCtrOffset, mode, tracefs: place("TRACEFS") };
      const attachment = attachUprobe(token, prog, options);
      assertEquals((await probed.round())[1], 1, mode);
      attachment.close();
      assertEquals((await probed.round())[1], 0, mode);
    }
  },
);

const hasMulti = trying((token) => {
  using prog = simpleProg(token, "kprobe", { expectedAttachType: "trace_uprobe_multi" });
  return attachUprobeMulti(token, prog, { path: "/nowhere", offsets: [1n] }).descriptor;
});

kernelTest("attachUprobeMulti() runs a program at functions by name, pattern and offset, with cookies and counters", {
  needs: [hasMulti],
  tools: TOOLS,
}, async () => {
  const token = rootToken();
  await using probed = await Probed.start();
  const { path, library } = probed;
  using seen = notes(token, 2);
  using prog = probing(token, "trace_uprobe_multi", summingCookies(seen));
  const during = async (link: Attachment): Promise<[bigint, bigint]> => {
    const [runs, cookies] = seen.read();
    await probed.round();
    link.close();
    await probed.round();
    const [laterRuns, laterCookies] = seen.read();
    return [laterRuns - runs, laterCookies - cookies];
  };
  const symbols = ["lib_one", "lib_two", "lib_add"];
  assertEquals(await during(attachUprobeMulti(token, prog, { path: library, symbols, cookies: [1n, 20n, 300n] })), [
    3n,
    321n,
  ]);
  assertEquals(await during(attachUprobeMulti(token, prog, { path: library, pattern: "lib_*o*" })), [2n, 0n]);
  assertEquals(await during(attachUprobeMulti(token, prog, { path: library, pattern: "lib_???" })), [3n, 0n]);
  assertEquals(await during(attachUprobeMulti(token, prog, { path, pattern: "hidde?", returns: true })), [1n, 0n]);
  const offsets = [BigInt(await readBinary(path, "work"))];
  const refCtrOffsets = [BigInt(await readBinary(path, "counter"))];
  const counted = attachUprobeMulti(token, prog, { path, offsets, refCtrOffsets, pid: probed.pid });
  assertEquals((await probed.round())[1], 1);
  assertEquals(await during(counted), [1n, 0n]);
  assertEquals((await probed.round())[1], 0);
  for (
    const [options, message] of [
      [{ path, pattern: "nothing_*" }, 'no function "nothing_*"'],
      [{ path, symbols: ["work", "nothing"] }, 'no function "nothing"'],
      [{ path }, "give one of offsets"],
      [{ path, symbols, offsets }, "give one of offsets"],
      [{ path, pattern: "*", cookies: [1n] }, "nobody knows"],
      [{ path, symbols, session: true, returns: true }, "at entry and return"],
    ] as const
  ) {
    assertThrows(() => attachUprobeMulti(token, prog, options), TypeError, message);
  }
});

kernelTest("attachUprobeMulti() runs a session at entry and return, or says that Linux 6.13 has it", {
  needs: [hasMulti],
  tools: TOOLS,
}, async () => {
  const token = rootToken();
  using seen = notes(token, 2);
  if (kernelSince("6.13")() !== undefined) {
    // Some kernels find out when it is attached only.
    const attach = (): void => {
      using prog = probing(token, "trace_uprobe_session", summingCookies(seen));
      attachUprobeMulti(token, prog, { path: "libc.so.6", symbols: ["getpid"], session: true }).close();
    };
    assertThrows(attach, NotSupportedError, "6.13");
    return;
  }
  await using probed = await Probed.start();
  using prog = probing(token, "trace_uprobe_session", summingCookies(seen));
  using link = attachUprobeMulti(token, prog, {
    path: probed.library,
    symbols: ["lib_one", "lib_two"],
    cookies: [1n, 10n],
    session: true,
  });
  await probed.round();
  assertEquals(seen.read(), [4n, 22n]);
  link.close();
  await probed.round();
  assertEquals(seen.read()[0], 4n);
});
