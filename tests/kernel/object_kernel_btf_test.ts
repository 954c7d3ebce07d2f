import { assertEquals, assertGreater, assertInstanceOf, assertLess, assertThrows } from "@std/assert";
import { Btf, BtfBuilder, coreMinimalBtf } from "../../btf/mod.ts";
import { VerifierError } from "../../errors.ts";
import { kernelBtf } from "../../features/mod.ts";
import type { BpfObject } from "../../object/mod.ts";
import { kernelTest } from "../_kernel_test.ts";
import { run } from "../_tools.ts";
import { rootToken } from "./_objects.ts";
import { objectPath, testObject } from "./_object_files.ts";

type Results = Record<string, number>;

/** What `core.bpf.c` found out, once a system call has run it. */
function results(object: BpfObject): Results {
  using _links = object.attach(rootToken());
  Deno.statSync("/");
  return object.bss.get("results") as Results;
}

/** What it finds out by the types that are given. */
function resultsBy(types: Btf | undefined): { results: Results; parent: number } {
  using object = testObject("core");
  object.load(rootToken(), { kernelBtf: types });
  return { results: results(object), parent: object.bss.get("parent") as number };
}

kernelTest(
  "BpfObject.load() takes as much of the kernel's types as coreMinimalBtf() leaves",
  { needs: ["btf"] },
  () => {
    const kernel = kernelBtf();
    const own = resultsBy(undefined);
    using object = testObject("core");
    const relos = object.spec.functions.flatMap(({ coreRelos }) => coreRelos);
    const bytes = coreMinimalBtf(kernel, [{ btf: object.spec.btf!, relos }]);
    assertLess(bytes.length, 8192);
    const minimal = Btf.parse(bytes);
    assertLess(minimal.typeCount, 100);
    const other = resultsBy(minimal);
    // Ids are those of the types that are given.
    assertEquals(other.results, { ...own.results, target_id: minimal.find("struct", "list_head")! });
    assertEquals(own.results.target_id, kernel.find("struct", "list_head")!);
    assertGreater(other.parent, 0);
    assertGreater(own.parent, 0);
  },
);

kernelTest("BpfObject.load() takes what bpftool gen min_core_btf leaves", {
  needs: ["btf"],
  tools: ["bpftool"],
}, async () => {
  const path = await Deno.makeTempFile({ suffix: ".btf" });
  try {
    const args = ["gen", "min_core_btf", "/sys/kernel/btf/vmlinux", path, objectPath("core")];
    const { code, stderr } = await run("bpftool", args);
    assertEquals([code, stderr], [0, ""]);
    const minimal = Btf.parse(await Deno.readFile(path));
    const own = resultsBy(undefined);
    assertEquals(resultsBy(minimal).results, { ...own.results, target_id: minimal.find("struct", "list_head")! });
  } finally {
    await Deno.remove(path);
  }
});

/** Types of a kernel that there is not: members elsewhere, some gone, and others there that no kernel has. */
function movedTypes(without: readonly string[] = []): Btf {
  const builder = new BtfBuilder();
  const int = builder.int("int", 4, "signed");
  const u32 = builder.int("unsigned int", 4);
  const u8 = builder.int("unsigned char", 1);
  const char = builder.int("char", 1, "signed");
  const [name, task] = [builder.array(char, 24, u32), builder.nextId + 1];
  const members = [
    { name: "no_such_member", typeId: int, bitsOffset: 8 * 4 },
    { name: "real_parent", typeId: builder.ptr(task), bitsOffset: 8 * 40 },
    { name: "comm", typeId: name, bitsOffset: 8 * 64 },
    { name: "tgid", typeId: int, bitsOffset: 8 * 200 },
    { name: "pid", typeId: int, bitsOffset: 8 * 300 },
  ];
  builder.struct("task_struct", 304, members.filter((member) => !without.includes(member.name)));
  builder.struct("tcp_sock", 32, [
    { name: "snd_cwnd", typeId: u32, bitsOffset: 0 },
    { name: "is_cwnd_limited", typeId: u8, bitsOffset: 8 * 17, bitfieldSize: 2 },
    { name: "frto", typeId: u8, bitsOffset: 8 * 17 + 2, bitfieldSize: 5 },
  ]);
  builder.enum("bpf_map_type", [{ name: "BPF_MAP_TYPE_LRU_HASH", val: 123 }, { name: "NO_SUCH_VALUE", val: 5 }]);
  builder.enum("no_such_enum", [{ name: "NOT_THERE", val: 6 }]);
  // One pointer only: it is there, and does not match.
  const list = builder.nextId;
  builder.struct("list_head", 8, [{ name: "first", typeId: builder.nextId + 1, bitsOffset: 0 }]);
  builder.ptr(list);
  builder.struct("no_such_struct", 4, [{ name: "x", typeId: int, bitsOffset: 0 }]);
  return Btf.parse(builder.bytes());
}

kernelTest("BpfObject.load({ kernelBtf }) adapts to types that are given, whatever the kernel's are", {
  needs: ["btf"],
}, () => {
  const types = movedTypes();
  const found = resultsBy(types).results;
  const { local_id: _id, bit_offset, bit_size, bit_lshift, bit_rshift, ...rest } = found;
  assertEquals(rest, {
    ...{ pid_offset: 300, comm_size: 24, mm_exists: 0, renamed_exists: 1, missing_exists: 1, bit_exists: 1 },
    ...{ bit_signed: 0, task_exists: 1, no_struct_exists: 1, task_size: 304, list_matches: 0, pid_t_exists: 0 },
    ...{ target_id: types.find("struct", "list_head")!, hash_exists: 1, hash_value: 123, missing_value_exists: 1 },
    ...{ enum_exists: 1 },
  });
  // Of a word that is loaded from there, shifting left and right leaves bits 138 to 142 of the struct.
  const first = bit_offset * 8 + 64 - bit_lshift - (64 - bit_rshift);
  assertEquals([first, 64 - bit_rshift, bit_size >= 1], [138, 5, true]);
});

kernelTest("BpfObject.load({ kernelBtf }) names what the types that are given have not", { needs: ["btf"] }, () => {
  using object = testObject("core");
  const types = movedTypes(["tgid"]);
  const error = assertThrows(() => object.load(rootToken(), { kernelBtf: types }));
  assertInstanceOf(error, VerifierError);
  assertEquals(error.hint?.includes("struct task_struct.tgid"), true, error.hint);
  assertEquals(object.loaded, false);
  // The running kernel has it.
  object.load(rootToken());
});
