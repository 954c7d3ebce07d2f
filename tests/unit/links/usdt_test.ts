import { assertEquals, assertThrows } from "@std/assert";
import { Elf } from "../../../elf/mod.ts";
import { globTest } from "../../../links/_kernel_functions.ts";
import { encodeUsdtSpec } from "../../../links/_usdt_spec.ts";
import { readUsdtProbes } from "../../../links/usdt.ts";
import { parseUsdtArguments, registerOffset } from "../../../links/usdt_args.ts";
import { usdtElf, type UsdtNote } from "./_usdt_elf.ts";

const read = (notes: readonly UsdtNote[], options = {}) => readUsdtProbes(Elf.parse(usdtElf(notes, options)));
const texts = ["provider", "name", ""];

Deno.test("parseUsdtArguments() reads the arguments of x86-64", () => {
  const base = (text: string, size: number, signed = false) => ({ text, size, signed });
  for (
    const [text, expected] of [
      ["-4@%eax", { ...base("-4@%eax", 4, true), kind: "register", register: "eax" }],
      ["8@%r15", { ...base("8@%r15", 8), kind: "register", register: "r15" }],
      ["1@%r8b", { ...base("1@%r8b", 1), kind: "register", register: "r8b" }],
      ["-8@$-9", { ...base("-8@$-9", 8, true), kind: "constant", value: -9n }],
      ["4@$0x10", { ...base("4@$0x10", 4), kind: "constant", value: 16n }],
      ["8@(%rdi)", { ...base("8@(%rdi)", 8), kind: "memory", register: "rdi", offset: 0n }],
      ["-4@-24(%rbp)", { ...base("-4@-24(%rbp)", 4, true), kind: "memory", register: "rbp", offset: -24n }],
      ["2@8(%rax,%rbx,4)", {
        ...base("2@8(%rax,%rbx,4)", 2),
        kind: "memory",
        register: "rax",
        offset: 8n,
        index: "rbx",
        scale: 4,
      }],
      ["2@(%rax, %rbx)", {
        ...base("2@(%rax, %rbx)", 2),
        kind: "memory",
        register: "rax",
        offset: 0n,
        index: "rbx",
        scale: 1,
      }],
      ["8f@%xmm0", { ...base("8f@%xmm0", 8), kind: "unknown" }],
      ["8@symbol+4(%rip)", { ...base("8@symbol+4(%rip)", 8), kind: "unknown" }],
      ["8@%zmm1", { ...base("8@%zmm1", 8), kind: "unknown" }],
      ["3@%eax", { ...base("3@%eax", 0), kind: "unknown" }],
      ["nonsense", { ...base("nonsense", 0), kind: "unknown" }],
    ] as const
  ) {
    assertEquals(parseUsdtArguments(text, "x86_64"), [expected as never], text);
  }
  assertEquals(parseUsdtArguments("", "x86_64"), []);
  assertEquals(
    parseUsdtArguments("-4@%edi 8@16(%rdx,%rcx, 8) 4@$5", "x86_64").map(({ text }) => text),
    ["-4@%edi", "8@16(%rdx,%rcx, 8)", "4@$5"],
  );
  assertEquals(parseUsdtArguments("what 4@$5", "x86_64").map(({ kind }) => kind), ["unknown", "constant"]);
});

Deno.test("parseUsdtArguments() reads the arguments of arm64", () => {
  const parsed = parseUsdtArguments("-4@w0 8@x30 8@sp -4@5 8@[x29, -16] 8@[sp] 4@[sp, #8] 8@v0 8@x31", "aarch64");
  assertEquals(parsed.map(({ text, signed: _signed, ...rest }) => ({ text, ...rest })), [
    { text: "-4@w0", size: 4, kind: "register", register: "w0" },
    { text: "8@x30", size: 8, kind: "register", register: "x30" },
    { text: "8@sp", size: 8, kind: "register", register: "sp" },
    { text: "-4@5", size: 4, kind: "constant", value: 5n },
    { text: "8@[x29, -16]", size: 8, kind: "memory", register: "x29", offset: -16n },
    { text: "8@[sp]", size: 8, kind: "memory", register: "sp", offset: 0n },
    { text: "4@[sp, #8]", size: 4, kind: "memory", register: "sp", offset: 8n },
    { text: "8@v0", size: 8, kind: "unknown" },
    { text: "8@x31", size: 8, kind: "unknown" },
  ]);
  // struct user_pt_regs: regs[31], sp.
  assertEquals(["x0", "w1", "x30", "sp"].map((name) => registerOffset(name, "aarch64")), [0, 8, 240, 248]);
  const spec = new DataView(
    encodeUsdtSpec(parsed.slice(0, 7), { cookie: 7n, valueSize: 208, machine: "aarch64" }).buffer,
  );
  assertEquals([0, 1, 2, 4].map((index) => spec.getInt16(16 * index + 12, true)), [0, 240, 248, 232]);
  assertEquals([spec.getBigUint64(192, true), spec.getInt16(200, true)], [7n, 7]);
  assertEquals([spec.getBigInt64(64, true), spec.getInt8(15), spec.getInt8(14)], [-16n, 32, 1]);
});

Deno.test("usdtProbes() moves probes and counters with .stapsdt.base, and finds them in the file", () => {
  const note: UsdtNote = { location: 0x1010, base: 0x2000, semaphore: 0x4008, texts: ["p", "n", "8@%rax"] };
  const [still] = read([note]);
  assertEquals([still.address, still.offset, still.semaphore, still.semaphoreOffset], [0x1010, 0x210, 0x4008, 0x308]);
  const [moved] = read([note], { base: 0x2020 });
  assertEquals([moved.address, moved.offset, moved.semaphore, moved.semaphoreOffset], [0x1030, 0x230, 0x4028, 0x328]);
  // A counter in memory that the file does not fill: the kernel counts on.
  const [zeroed] = read([{ ...note, semaphore: 0x4180 }]);
  assertEquals(zeroed.semaphoreOffset, 0x480);
  const [none] = read([{ ...note, semaphore: 0 }], { base: 0x2020 });
  assertEquals([none.semaphore, none.semaphoreOffset], [undefined, undefined]);
  const [arm] = read([{ ...note, texts: ["p", "n", "8@[sp, 8]"] }], { machine: 183 });
  assertEquals(arm.arguments.map(({ kind }) => kind), ["memory"]);
  const [unknown] = read([note], { machine: 8 });
  assertEquals(unknown.arguments, []);
  assertEquals(read([]).length, 0);
});

Deno.test("usdtProbes() says what is wrong with a note", () => {
  const note: UsdtNote = { location: 0x1010, base: 0x2000, semaphore: 0, texts };
  for (
    const [wrong, message] of [
      [{ ...note, location: 0x9000 }, "provider:name is at address 36864, which no segment has"],
      [{ ...note, semaphore: 0x9000 }, "the semaphore of provider:name is at address 36864"],
      [{ ...note, texts: ["a"] }, "bytes"],
      [{ ...note, texts: ["provider", "name"] }, "lacks a provider, a name or its arguments"],
    ] as const
  ) {
    assertThrows(() => read([wrong]), SyntaxError, message);
  }
});

Deno.test("globTest() takes * and ?, and nothing else as a pattern", () => {
  const hits = (pattern: string, names: string[]) => names.filter(globTest(pattern));
  const names = ["tcp_ack", "tcp_acks", "tcp.ack", "xtcp_ack", "tcp_"];
  assertEquals(hits("tcp_*", names), ["tcp_ack", "tcp_acks", "tcp_"]);
  assertEquals(hits("tcp?ack", names), ["tcp_ack", "tcp.ack"]);
  assertEquals(hits("tcp.ack", names), ["tcp.ack"]);
  assertEquals(hits("[tx]*", names), []);
  assertEquals(hits("*ack", names), ["tcp_ack", "tcp.ack", "xtcp_ack"]);
});
