import { assert, assertEquals, assertGreater, assertGreaterOrEqual, assertMatch, assertThrows } from "@std/assert";
import { asm, decode } from "../../asm/mod.ts";
import { BtfBuilder } from "../../btf/mod.ts";
import { bytes, u32, u64 } from "../../codec.ts";
import { PermissionError } from "../../errors.ts";
import { BpfMap } from "../../maps/mod.ts";
import { btfOfProgram, functionsOf, linesOf, Program, programTag, RunStats, withRunStats } from "../../progs/mod.ts";
import { kernelSince, kernelTest } from "../_kernel_test.ts";
import { bpftoolJson, run } from "../_tools.ts";
import { returning, type RootToken, rootToken } from "./_objects.ts";

/** A program with a hash, an array's memory, a helper that is inlined and some that are not, two functions and lines. */
function richProgram(token: RootToken): Program & { maps: BpfMap[] } {
  const hash = BpfMap.create(token, { type: "hash", key: u32, value: u64, maxEntries: 4, name: "rich_hash" });
  const array = BpfMap.create(token, { type: "array", value: bytes(16), maxEntries: 1, name: "rich_array" });
  const builder = new BtfBuilder();
  const int = builder.int("int", 4, "signed");
  const md = builder.struct("xdp_md", 4, [{ name: "data", typeId: int, bitsOffset: 0 }]);
  const u64Type = builder.typedef("u64", builder.int("unsigned long", 8));
  const context = builder.ptr(builder.qualified("const", md));
  const entry = builder.func("rich_entry", builder.funcProto(int, [{ name: "ctx", typeId: context }]), "global");
  const params = [{ name: "a", typeId: u64Type }, { name: "b", typeId: builder.ptr(0) }];
  const helper = builder.func("rich_helper", builder.funcProto(u64Type, params), "static");
  const insns = asm`
    *(u32 *)(r10 -4) = 7
    r1 = map_fd ${hash} ll
    r2 = r10
    r2 += -4
    call map_lookup_elem
    r6 = map_value ${array} + 8 ll
    r1 = *(u64 *)(r6 +0)
    r2 = 0x123456789 ll
    call helper
    call ktime_get_ns
    call get_prandom_u32
    r0 = 2
    exit
  helper:
    r0 = r1
    if r0 == 17 goto out
    r0 += 1
  out:
    exit
  `;
  const lines = [
    "\tint key = 7;",
    "\tlookup(&key);",
    "\thelper(array[1], big);",
    "\treturn XDP_PASS;",
    "\treturn a + 1;",
  ];
  const places = [0, 1, 6, 14, 16];
  const prog = Program.load(token, {
    type: "xdp",
    name: "rich",
    license: "GPL",
    insns,
    btf: {
      types: builder,
      funcInfo: [{ insnOff: 0, typeId: entry }, { insnOff: 8 * 16, typeId: helper }],
      lineInfo: lines.map((text, index) => ({
        insnOff: 8 * places[index],
        file: "rich.c",
        text,
        line: 10 + index,
        column: 3,
      })),
    },
  });
  return Object.assign(prog, { maps: [hash, array] as unknown as BpfMap[] });
}

kernelTest("Program.dump() prints what bpftool prints, byte for byte", { tools: ["bpftool"] }, async () => {
  const token = rootToken();
  using prog = richProgram(token);
  const { id } = prog.info;
  for (const [options, words] of [[{}, []], [{ places: true }, ["linum"]]] as const) {
    const { stdout, code } = await run("bpftool", ["prog", "dump", "xlated", "id", `${id}`, ...words]);
    assertEquals(code, 0);
    assertEquals(prog.dump(options), stdout);
    assertMatch(stdout, /^int rich_entry\(const struct xdp_md \* ctx\):\n; int key = 7;/);
    assertMatch(stdout, /\nu64 rich_helper\(u64 a, void \* b\):\n; return a \+ 1;/);
    assertMatch(stdout, /call pc\+\d+#bpf_prog_[0-9a-f]{16}_/);
    assertMatch(stdout, /map\[id:\d+\]\[0\]\+8/);
    assertMatch(stdout, /call bpf_ktime_get_ns#/);
  }
  // Without lines it is as of a program without BTF.
  const plain = prog.dump({ lines: false });
  assertEquals(plain, prog.dump().split("\n").filter((line) => /^ *\d+: |^$/.test(line)).join("\n"));
  using bare = Program.load(token, { type: "socket_filter", license: "GPL", insns: returning(3) });
  const { stdout } = await run("bpftool", ["prog", "dump", "xlated", "id", `${bare.info.id}`]);
  assertEquals(bare.dump(), stdout);
  for (const map of prog.maps) map.close();
});

kernelTest("Program.inspect() has everything that bpftool has", { tools: ["bpftool"] }, async () => {
  const token = rootToken();
  using prog = richProgram(token);
  const info = prog.inspect();
  const shown = await bpftoolJson(["prog", "show", "id", `${info.id}`]) as Record<string, unknown>;
  assertEquals(
    [shown.type, shown.name, shown.tag, shown.gpl_compatible, shown.bytes_xlated, shown.bytes_jited, shown.btf_id],
    [info.type, info.name, info.tag, info.gplCompatible, info.xlatedProgLen, info.jitedProgLen, info.btfId],
  );
  assertEquals([...shown.map_ids as number[]].sort(), [...info.mapIds].sort());
  assertEquals([...info.mapIds].sort(), prog.maps.map((map) => map.info.id).sort());
  assertEquals(info.xlatedInsns.length, info.xlatedProgLen);
  assertGreater(decode(info.xlatedInsns, { translated: true }).length, 16);
  // bpftool's own dumps of the same arrays.
  const jited = await bpftoolJson(["prog", "dump", "jited", "id", `${info.id}`]).catch(() => undefined);
  if (jited !== undefined) assertEquals((jited as unknown[]).length, info.jitedFuncLens.length);
  assertEquals([info.jitedKsyms.length, info.jitedFuncLens.length, info.progTags.length], [2, 2, 2]);
  assertEquals(info.jitedInsns.length, info.jitedProgLen);
  assertEquals(info.jitedFuncLens.reduce((sum, length) => sum + length), info.jitedProgLen);
  assertEquals([info.nrFuncInfo, info.nrLineInfo, info.jitedLineInfo.length], [2, 5, 5]);
  for (const address of info.jitedKsyms) assertGreater(address, 0xffff_0000_0000_0000n);
  if (kernelSince("5.16")() === undefined) assertGreaterOrEqual(info.verifiedInsns, 17);
  assertGreater(info.loadTime, 0n);
  const btf = btfOfProgram(token, info);
  assert(btf !== undefined);
  assertEquals(functionsOf(info, btf).map(({ name }) => name), ["rich_entry", "rich_helper"]);
  const lines = linesOf(info, btf);
  assertEquals(lines.map(({ line }) => line), [10, 11, 12, 13, 14]);
  assertEquals([lines[0].text, lines[0].file, lines[0].column, lines[0].insn], ["\tint key = 7;", "rich.c", 3, 0]);
  for (const map of prog.maps) map.close();
});

kernelTest("programTag() computes the kernel's tag", {}, async () => {
  const token = rootToken();
  const hash = kernelSince("6.18")() === undefined ? "SHA-256" : "SHA-1";
  using map = BpfMap.create(token, { type: "hash", key: u32, value: u64, maxEntries: 4 });
  using array = BpfMap.create(token, { type: "array", value: bytes(32), maxEntries: 1 });
  const programs = [
    returning(0),
    returning(12345),
    asm`
      *(u32 *)(r10 -4) = 0
      r1 = map_fd ${map} ll
      r2 = r10
      r2 += -4
      call map_lookup_elem
      r0 = 0
      exit
    `,
    asm`
      r1 = map_value ${array} + 16 ll
      r2 = 0x1122334455667788 ll
      r0 = *(u32 *)(r1 +0)
      exit
    `,
    asm`
      r1 = 1
      call f
      exit
    f:
      r0 = r1
      exit
    `,
  ];
  const tags: string[] = [];
  for (const insns of programs) {
    using prog = Program.load(token, { type: "socket_filter", license: "GPL", insns });
    const { tag } = prog.info;
    assertEquals(await programTag(insns), tag);
    assertEquals(await programTag(decode(insns), { hash }), tag);
    tags.push(tag);
  }
  assertEquals(new Set(tags).size, programs.length);
  // Known from other machines: bpftool shows a04f5eef06a7f555 for "return 0" on any kernel before 6.18.
  assertEquals(await programTag(returning(0), { kernel: "6.12" }), "a04f5eef06a7f555");
});

kernelTest("RunStats counts the runs of programs for as long as it lives", { tools: ["bpftool"] }, async () => {
  const token = rootToken();
  using prog = Program.load(token, { type: "socket_filter", license: "GPL", insns: returning(1), name: "counted" });
  const data = new Uint8Array(64);
  const runs = (): void => void prog.run({ data, repeat: 1000 });
  const before = prog.info.runCnt;
  runs();
  assertEquals(prog.info.runCnt, before);
  {
    using stats = new RunStats(token);
    runs();
    const { count, timeNs, recursionMisses } = stats.of(prog);
    // The kernel warms up once on some releases.
    assertGreaterOrEqual(count, before + 1000n);
    assertGreater(timeNs, 0n);
    assertEquals(recursionMisses, 0n);
    const shown = await bpftoolJson(["prog", "show", "id", `${prog.info.id}`]) as Record<string, unknown>;
    assertEquals(BigInt(shown.run_cnt as number), count);
  }
  const after = prog.info.runCnt;
  runs();
  assertEquals(prog.info.runCnt, after);
  const counted = await withRunStats(token, async (stats) => {
    await Promise.resolve();
    runs();
    return stats.of(prog).count;
  });
  assertGreaterOrEqual(counted, after + 1000n);
  const { count } = await withRunStats(token, (stats) => stats.of(prog));
  assertEquals(count, counted);
  const weak = token.drop("CAP_SYS_ADMIN");
  assertThrows(() => new RunStats(weak as unknown as RootToken), PermissionError, "CAP_SYS_ADMIN");
});
