import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  attachUsdt,
  BpfMap,
  bytes,
  type Fd,
  i64,
  NotSupportedError,
  objGet,
  struct,
  u32,
  usdtProbes,
} from "../../mod.ts";
import { kernelSince, kernelTest, type Probe } from "../_kernel_test.ts";
import { run } from "../_tools.ts";
import { Counter } from "./_counter.ts";
import { place, type RootToken, rootToken } from "./_objects.ts";
import { CLANG, compileUsdt, Probed } from "./_probed.ts";
import { notes, probing, summingCookies } from "./_tracing.ts";

const PROVIDER = "probed";

kernelTest("usdtProbes() reads the probes of a program as readelf does, with their arguments", {
  tools: [CLANG, "readelf"],
}, async () => {
  await using probed = await Probed.start();
  for (const path of [probed.path, probed.library]) {
    const probes = usdtProbes(path);
    const { stdout } = await run("readelf", ["-W", "-n", path]);
    const expected = [...stdout.matchAll(
      /Provider: (\S+)\s+Name: (\S+)\s+Location: (0x\w+), Base: \S+, Semaphore: (0x\w+)\s+Arguments: ?(.*)/g,
    )].map(([, provider, name, location, semaphore, text]) => ({
      provider,
      name,
      address: Number(location),
      semaphore: Number(semaphore) || undefined,
      text: text.trim(),
    }));
    assertEquals(
      probes.map(({ provider, name, address, semaphore, arguments: args }) => ({
        provider,
        name,
        address,
        semaphore,
        text: args.map(({ text }) => text).join(" "),
      })),
      expected,
    );
    assert(probes.length > 0);
  }
  const [first] = usdtProbes(probed.path);
  assertEquals(first.arguments.map(({ kind, size, signed }) => [kind, size, signed]), [
    ["register", 4, true],
    ["register", 1, true],
    ["register", 2, false],
    ["register", 8, false],
    ["constant", 4, true],
    ["memory", 8, false],
  ]);
  const twice = usdtProbes(probed.path).filter(({ name }) => name === "twice");
  assertEquals(twice.map(({ arguments: [one] }) => one.kind === "constant" && one.value), [1n, 2n]);
});

/** What the program of usdt.bpf.c writes. */
const seenValue = struct({
  runs: i64,
  count: i64,
  cookie: i64,
  a0: i64,
  a1: i64,
  a2: i64,
  a3: i64,
  a4: i64,
  a5: i64,
  a6: i64,
  a7: i64,
});

/** The program that was written for libbpf, loaded by libbpf, and its map. */
async function loadByLibbpf(
  token: RootToken,
  folder: string,
): Promise<{ prog: Fd; seen: () => Record<string, bigint> } & Disposable> {
  const { object, loader } = await compileUsdt(folder);
  const pins = `${place("BPFFS")}/usdt-${crypto.randomUUID()}`.replaceAll("-", "_");
  Deno.mkdirSync(pins);
  const stack = new DisposableStack();
  try {
    const { code, stderr } = await run(loader, [object, pins]);
    if (code !== 0) throw new Error(`Cannot load with libbpf: ${stderr}`);
    const prog = stack.use(objGet(token, `${pins}/prog`));
    const map = stack.use(BpfMap.open(token, { path: `${pins}/seen_map` }, { key: u32, value: seenValue }));
    const kept = stack.move();
    return {
      prog,
      seen: () => (map as unknown as { get(key: number): Record<string, bigint> }).get(0),
      [Symbol.dispose]: () => kept.dispose(),
    };
  } finally {
    stack.dispose();
    Deno.removeSync(pins, { recursive: true });
  }
}

kernelTest("attachUsdt() tells a program that was written for libbpf its arguments and its cookie", {
  needs: ["bpffs", "btf"],
  tools: [CLANG, "readelf"],
}, async () => {
  const token = rootToken();
  await using probed = await Probed.start();
  using loaded = await loadByLibbpf(token, probed.folder);
  const { path } = probed;
  // Without cookies a program that may be anywhere in memory is found by its process.
  const pid = kernelSince("5.15")() === undefined ? undefined : probed.pid;
  const attach = (name: string, cookie?: bigint) =>
    attachUsdt(token, loaded.prog, { path, provider: PROVIDER, name, cookie, pid });
  {
    using attached = attach("arguments", 77n);
    assertEquals(attached.attachments.length, 1);
    const [round] = await probed.round();
    const { runs, count, cookie, a0, a1, a2, a3, a4, a5, a6 } = loaded.seen();
    assertEquals([runs, count, cookie], [1n, 6n, 77n]);
    assertEquals([a0, a1, a2, a3, a4, a5, a6], [
      BigInt(round),
      BigInt(-5 - round),
      65000n,
      0x1122334455667788n,
      -9n,
      300n,
      0n,
    ]);
  }
  {
    using _twice = attach("twice");
    await probed.round();
    const { runs, count, cookie, a0 } = loaded.seen();
    assertEquals([runs, count, cookie, a0], [3n, 1n, 0n, 2n]);
    using _counted = attach("counted", 5n);
    assertEquals((await probed.round())[1], 1);
    assertEquals([loaded.seen().runs, loaded.seen().cookie], [6n, 0n]);
  }
  assertEquals((await probed.round())[1], 0);
  assertEquals(loaded.seen().runs, 6n);
  using library = attachUsdt(token, loaded.prog, { path: probed.library, provider: PROVIDER, name: "in_library", pid });
  const [round] = await probed.round();
  assertEquals([loaded.seen().runs, loaded.seen().a0], [7n, BigInt(round)]);
  library.close();
  assertEquals(library.closed, true);
  if (Deno.build.arch === "x86_64") {
    assertThrows(() => attach("indexed"), NotSupportedError, "libbpf older than 1.7");
    assertThrows(() => attach("unreadable"), NotSupportedError, '"8f@%xmm0"');
  }
  assertThrows(() => attach("nothing"), TypeError, 'no "probed:nothing"');
});

/** The registers of struct pt_regs of x86-64, in its order: asm/ptrace.h. */
const REGISTERS = [
  "r15",
  "r14",
  "r13",
  "r12",
  "rbp",
  "rbx",
  "r11",
  "r10",
  "r9",
  "r8",
  "rax",
  "rcx",
  "rdx",
  "rsi",
  "rdi",
];

/** Where the compiled programs and libbpf are alike: cookies by links. */
const hasCookies: Probe = kernelSince("5.15");

kernelTest("attachUsdt() writes the specs that libbpf writes", {
  needs: ["bpffs", "btf", hasCookies],
  tools: [CLANG, "readelf"],
}, async () => {
  const token = rootToken();
  await using probed = await Probed.start();
  using loaded = await loadByLibbpf(token, probed.folder);
  const { object, loader } = await compileUsdt(probed.folder);
  for (const name of ["arguments", "counted", "twice"]) {
    using specs = BpfMap.create(token, { type: "array", value: bytes(208), maxEntries: 4 });
    using _attached = attachUsdt(token, loaded.prog, {
      path: probed.path,
      provider: PROVIDER,
      name,
      cookie: 77n,
      maps: { specs },
    });
    const { code, stdout, stderr } = await run(loader, [object, "-", probed.path, PROVIDER, name]);
    assertEquals(code, 0, stderr);
    assertEquals([0, 1, 2, 3].map((id) => specs.get(id)!.toHex()), stdout.trim().split("\n"), name);
  }
});

kernelTest("attachUsdt() attaches to all places with one link, each with the number of its spec", {
  needs: [kernelSince("6.6")],
  tools: [CLANG],
}, async () => {
  const token = rootToken();
  await using probed = await Probed.start();
  using specs = BpfMap.create(token, { type: "array", value: bytes(304), maxEntries: 4 });
  using seen = notes(token, 2);
  using prog = probing(token, "trace_uprobe_multi", summingCookies(seen));
  const options = { path: probed.path, provider: PROVIDER, maps: { specs } };
  const twice = attachUsdt(token, prog, { ...options, name: "twice" });
  assertEquals(twice.attachments.length, 1);
  await probed.round();
  assertEquals(seen.read(), [2n, 1n]);
  // Specs in use are left alone, and are free again afterwards.
  using counted = attachUsdt(token, prog, { ...options, name: "counted" });
  await probed.round();
  assertEquals(seen.read(), [5n, 4n]);
  twice.close();
  await probed.round();
  assertEquals(seen.read(), [6n, 6n]);
  using again = attachUsdt(token, prog, { ...options, name: "indexed" });
  // The kind, 12 bits of the index's register, the logarithm of 8, and the register: libbpf 1.7 has them there.
  const argument = usdtProbes(probed.path).find(({ name }) => name === "indexed")!.arguments[0];
  assert(argument.kind === "memory" && argument.index !== undefined, argument.text);
  const [register, index] = [argument.register, argument.index].map((name) => REGISTERS.indexOf(name) * 8);
  const spec = new DataView(specs.get(0)!.slice().buffer);
  assertEquals([8, 10, 14].map((at) => spec.getUint16(at, true)), [3, index | 3 << 12, register]);
  assertThrows(
    () => attachUsdt(token, prog, { ...options, name: "arguments", maps: { specs: seen } }),
    TypeError,
    "its values have 16 bytes, and those of usdt.bpf.h have 208 or 304",
  );
  counted.close();
  again.close();
  using few = BpfMap.create(token, { type: "array", value: bytes(208), maxEntries: 1 });
  assertThrows(
    () => attachUsdt(token, prog, { ...options, name: "twice", maps: { specs: few } }),
    RangeError,
    "1 entries, all in use",
  );
  using _one = attachUsdt(token, prog, { ...options, name: "counted", maps: { specs: few } });
});

kernelTest("attachUsdt() needs no maps for a program that reads no arguments", { tools: [CLANG] }, async () => {
  const token = rootToken();
  await using probed = await Probed.start();
  for (const mode of ["auto", "perf"] as const) {
    using counter = new Counter(token, "kprobe", 0);
    const group = attachUsdt(token, counter.prog, { path: probed.path, provider: PROVIDER, name: "twice", mode });
    assertEquals(group.attachments.length, 2);
    await counter.seen(group, () => probed.round());
  }
});
