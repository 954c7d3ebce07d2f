import { assertEquals, assertGreaterOrEqual } from "@std/assert";
import { encode, type Insn, parse, print, type PrintOptions } from "../../asm/mod.ts";
import { kernelSince, kernelTest } from "../_kernel_test.ts";
import { run } from "../_tools.ts";
import { createMap, loadFunctionBtf, logInsns, type Owned, verify, type VerifyOptions } from "./_asm_kernel.ts";

/** What the log shows for these is the kernel's own addresses: any will do. */
const POINTER_SOURCES: readonly number[] = [1, 2, 3, 5, 6];

function isPointer({ code, src }: Insn): boolean {
  return code === 0x18 && POINTER_SOURCES.includes(src);
}

/** Loads a program, and holds each line that `print` gives against the verifier's log. */
function compare(text: string, options: VerifyOptions & Pick<PrintOptions, "nameCall"> = {}): void {
  const insns = parse(text);
  const bytes = encode(insns);
  const { result, log } = verify(bytes, options);
  assertGreaterOrEqual(result, 0, `the verifier refuses the program:\n${log}`);
  const masked = { nameImm: (insn: Insn) => isPointer(insn) ? "POINTER" : undefined, ...options };
  const printed = print(bytes, masked).split("\n");
  const pointers = new Set(printed.filter((line) => line.endsWith("POINTER")).map(parseFloat));
  const shown = [...logInsns(log)].sort(([a], [b]) => a - b).map(([slot, line]) =>
    `${slot}: ${pointers.has(slot) ? line.replace(/0x[0-9a-f]+$/, "POINTER") : line}`
  );
  assertEquals(shown, printed);
}

function test(name: string, needs: Parameters<typeof kernelTest>[1]["needs"], fn: () => void | Promise<void>): void {
  kernelTest(`print() matches the verifier's log for ${name}`, { needs: needs ?? [] }, fn);
}

const SOME_MAP = { key_size: 4, value_size: 64, max_entries: 1 };

for (const [r, width] of [["r", "64-bit"], ["w", "32-bit"]]) {
  test(`${width} arithmetic`, [], () =>
    compare(`
      ${r}1 = 5
      ${r}2 = -7
      ${r}3 = ${r}2
      ${["+=", "-=", "*=", "/=", "%=", "|=", "&=", "^="].map((op) => `${r}3 ${op} ${r}1\n${r}3 ${op} 9`).join("\n")}
      ${["<<=", ">>=", "s>>="].map((op) => `${r}3 ${op} ${r}1\n${r}3 ${op} 3`).join("\n")}
      ${r}3 = 0x7fffffff
      ${r}3 += -0x80000000
      ${r}3 &= 0xffffffff
      ${r}3 = -${r}3
      r0 = 0
      exit`));
}

test("signed division and sign extending moves", [kernelSince("6.6")], () =>
  compare(`
    r1 = -70
    r2 = 9
    r1 s/= r2
    r1 s/= -3
    r1 s%= r2
    r1 s%= 5
    w1 s/= w2
    w1 s/= -3
    w1 s%= w2
    w1 s%= 5
    r3 = (s8)r1
    r3 = (s16)r1
    r3 = (s32)r1
    w3 = (s8)w1
    w3 = (s16)w1
    r0 = 0
    exit`));

test("byte orders", [], () =>
  compare(`
    call get_prandom_u32
    ${["le", "be"].map((op) => [16, 32, 64].map((bits) => `r0 = ${op}${bits} r0`).join("\n")).join("\n")}
    r0 = 0
    exit`));

test("byte swaps", [kernelSince("6.6")], () =>
  compare(`
    call get_prandom_u32
    ${[16, 32, 64].map((bits) => `r0 = bswap${bits} r0`).join("\n")}
    r0 = 0
    exit`));

test("stores and loads of every size", [], () =>
  compare(`
    r6 = r1
    r1 = 0x12345678
    ${["u8", "u16", "u32", "u64"].map((type) => `*(${type} *)(r10 -8) = r1\n*(${type} *)(r10 -16) = -2`).join("\n")}
    *(u64 *)(r10 -8) = 0x7fffffff
    ${["u8", "u16", "u32", "u64"].map((type) => `r2 = *(${type} *)(r10 -8)`).join("\n")}
    r3 = r10
    r3 += -512
    *(u64 *)(r3 +0) = r1
    *(u64 *)(r3 +504) = r1
    r2 = *(u32 *)(r6 +0)
    r0 = 0
    exit`));

test("sign extending loads", [kernelSince("6.6")], () =>
  compare(`
    *(u64 *)(r10 -8) = -1
    ${["s8", "s16", "s32"].map((type) => `r2 = *(${type} *)(r10 -8)`).join("\n")}
    r0 = 0
    exit`));

for (const [type, atomic] of [["u32", "atomic"], ["u64", "atomic64"]]) {
  test(`atomic operations on ${type}`, [kernelSince("5.12")], () =>
    compare(`
      *(u64 *)(r10 -8) = 1
      r0 = 1
      r1 = 2
      ${["+=", "|=", "&=", "^="].map((op) => `lock *(${type} *)(r10 -8) ${op} r1`).join("\n")}
      ${
      ["fetch_add", "fetch_or", "fetch_and", "fetch_xor", "xchg"]
        .map((op) => `r1 = ${atomic}_${op}((${type} *)(r10 -8), r1)`).join("\n")
    }
      r0 = ${atomic}_cmpxchg((${type} *)(r10 -8), r0, r1)
      r0 = 0
      exit`));
}

test("load_acquire and store_release", [kernelSince("6.15")], () =>
  compare(`
    *(u64 *)(r10 -8) = 1
    r1 = 2
    ${
    ["u8", "u16", "u32", "u64"].map((type) =>
      `r2 = load_acquire((${type} *)(r10 -8))\nstore_release((${type} *)(r10 -8), r1)`
    ).join("\n")
  }
    r0 = 0
    exit`));

for (const op of ["==", "!=", ">", ">=", "<", "<=", "&", "s>", "s>=", "s<", "s<="]) {
  test(`jumps on ${op}`, [], () =>
    compare(`
      call get_prandom_u32
      r6 = r0
      call get_prandom_u32
      r7 = r0
      if r6 ${op} r7 goto a
      r6 += 1
    a:
      if w6 ${op} w7 goto b
      r6 += 1
    b:
      if r6 ${op} -5 goto c
      r6 += 1
    c:
      if w6 ${op} 0x7f goto d
      r6 += 1
    d:
      r0 = 0
      exit`));
}

test("jumps forth and back", [], () =>
  compare(`
    r6 = 3
  again:
    r6 -= 1
    if r6 != 0 goto again
    call get_prandom_u32
    if r0 == 7 goto other
    goto end
  other:
    r6 = 1
  end:
    goto +0
    r0 = 0
    exit`));

test("gotol", [kernelSince("6.6")], () =>
  compare(`
    gotol over
  back:
    r0 = 0
    exit
  over:
    gotol back`));

test("may_goto", [kernelSince("6.9")], () =>
  compare(`
    r0 = 0
  loop:
    may_goto out
    goto loop
  out:
    exit`));

test("calls of helpers and functions", [], () =>
  compare(`
    call ktime_get_ns
    call 8
    r1 = 1
    call second
    call first
    exit
  first:
    r0 = 1
    exit
  second:
    r0 = r1
    call first
    exit`));

test("64-bit numbers", [], () =>
  compare(`
    ${
    ["0", "1", "-1", "0x7fffffff", "0x80000000", "0x123456789abcdef0", "-0x8000000000000000"]
      .map((number) => `r1 = ${number} ll`).join("\n")
  }
    r0 = 0
    exit`));

test("maps by fd", [], () => {
  using map: Owned = createMap("array", SOME_MAP);
  compare(`
    r1 = map_fd ${map.fd} ll
    *(u32 *)(r10 -4) = 0
    r2 = r10
    r2 += -4
    call map_lookup_elem
    r1 = map_value ${map.fd} ll
    r1 = map_value ${map.fd} + 60 ll
    r2 = *(u32 *)(r1 +0)
    r0 = 0
    exit`);
});

test("maps by place", [kernelSince("5.14")], () => {
  using map: Owned = createMap("array", SOME_MAP);
  compare(
    `
    r1 = map_idx 1 ll
    r1 = map_idx_value 1 + 8 ll
    r2 = *(u32 *)(r1 +0)
    r0 = 0
    exit`,
    { fdArray: [map.fd, map.fd] },
  );
});

test("functions that are called back", [kernelSince("5.17")], () => {
  using btf: Owned = loadFunctionBtf();
  compare(
    `
    r1 = 3
    r2 = func callback ll
    r3 = 0
    r4 = 0
    call loop
    r0 = 0
    exit
  callback:
    r0 = 0
    exit`,
    { functions: { btf, places: [[0, 3], [8, 4]] } },
  );
});

test("packet loads", [], () =>
  compare(`
    r6 = r1
    ${["u8", "u16", "u32"].map((type) => `r0 = *(${type} *)skb[12]\nr0 = *(${type} *)skb[-0x1000]`).join("\n")}
    r7 = 4
    ${["u8", "u16", "u32"].map((type) => `r0 = *(${type} *)skb[r7 + 6]\nr0 = *(${type} *)skb[r7 + -6]`).join("\n")}
    r0 = 0
    exit`));

test("casts between address spaces", [kernelSince("6.9")], () => {
  using arena: Owned = createMap("arena", { map_flags: 1 << 10, max_entries: 1, map_extra: 1n << 44n });
  compare(`
    r1 = map_fd ${arena.fd} ll
    r2 = 0x100000000 ll
    r2 = addr_space_cast(r2, 0, 1)
    r2 = addr_space_cast(r2, 1, 0)
    r0 = 0
    exit`);
});

/** The BTF type ids of functions of the kernel. */
async function btfIds(...names: readonly string[]): Promise<number[]> {
  const { stdout } = await run("bpftool", ["btf", "dump", "file", "/sys/kernel/btf/vmlinux", "format", "raw"]);
  return names.map((name) => Number(new RegExp(`^\\[(\\d+)\\] FUNC '${name}' `, "m").exec(stdout)?.[1]));
}

kernelTest(
  "print() matches the verifier's log for kernel functions",
  { needs: ["btf", kernelSince("6.8")], tools: ["bpftool"] },
  async () => {
    const [lock, unlock] = await btfIds("bpf_rcu_read_lock", "bpf_rcu_read_unlock");
    const names = new Map([[lock, "bpf_rcu_read_lock"], [unlock, "bpf_rcu_read_unlock"]]);
    compare(
      `
      call kfunc ${lock}
      call kfunc ${unlock}
      r1 = btf_id ${lock} ll
      r0 = 0
      exit`,
      { nameCall: ({ imm }) => names.get(imm) },
    );
  },
);
