import { assertEquals, assertGreater, assertInstanceOf, assertThrows } from "@std/assert";
import { Btf, BtfBuilder, btfKinds } from "../../btf/mod.ts";
import { btfLoad } from "../../cmds/btf.ts";
import { objGetInfoByFd } from "../../cmds/obj.ts";
import { VerifierError } from "../../errors.ts";
import { BtfDump } from "../_btf_dump.ts";
import { everyKind } from "../_btf_everything.ts";
import { kernelSince, kernelTest, SLOWNESS } from "../_kernel_test.ts";
import { run } from "../_tools.ts";
import { asBpftool } from "./_btf_words.ts";
import { rootToken } from "./_objects.ts";

kernelTest(
  "BtfBuilder.bytes() with every kind are taken by btfLoad(), and bpftool shows what was built",
  { needs: [kernelSince("6.0")], tools: ["bpftool"] },
  async () => {
    const token = rootToken();
    const builder = everyKind();
    const bytes = builder.bytes();
    using loaded = btfLoad(token, bytes);
    const { id } = objGetInfoByFd(token, loaded, { kind: "btf" });
    const dump = await BtfDump.ask(["id", `${id}`]);
    const btf = Btf.parse(bytes);
    const kinds = new Set(["void"]);
    for (const [typeId, type] of btf.types()) {
      assertEquals(asBpftool(typeId, type), dump.get(typeId) as unknown as Record<string, unknown>);
      kinds.add(type.kind);
    }
    assertEquals(dump.types.length, btf.typeCount - 1);
    assertEquals([...kinds].sort(), [...btfKinds].sort());
  },
);

kernelTest("BtfBuilder.bytes() that make no sense are refused by the kernel, whose log names the type", {}, () => {
  const builder = new BtfBuilder();
  const int = builder.int("int", 4, "signed");
  builder.struct("too_small", 4, [{ name: "past", typeId: int, bitsOffset: 32 }]);
  const error = assertThrows(() => btfLoad(rootToken(), builder.bytes()).close());
  assertInstanceOf(error, VerifierError);
  assertEquals(error.log.includes("too_small"), true);
});

kernelTest(
  "BtfBuilder.addAll() of kernel types gives what the kernel takes and bpftool shows",
  { needs: ["btf"], tools: ["bpftool"] },
  async () => {
    const token = rootToken();
    const vmlinux = Btf.parse(await Deno.readFile("/sys/kernel/btf/vmlinux"));
    const wanted = ["task_struct", "sk_buff"].map((name) => vmlinux.find("struct", name) as number);
    const builder = new BtfBuilder();
    const ids = builder.addAll(vmlinux, wanted);
    const count = builder.nextId;
    assertGreater(count, 2000);
    // All of it is there already.
    assertEquals(builder.addAll(vmlinux, wanted), ids);
    assertEquals(builder.addAll(Btf.parse(builder.bytes())).size, count);
    assertEquals(builder.nextId, count);
    const bytes = builder.bytes();
    const file = await Deno.makeTempFile();
    try {
      await Deno.writeFile(file, bytes);
      const dump = await BtfDump.ask(["file", file]);
      const btf = Btf.parse(bytes);
      assertEquals(dump.types.length + 1, btf.typeCount);
      for (const [id, type] of btf.types()) {
        assertEquals(asBpftool(id, type), dump.get(id) as unknown as Record<string, unknown>);
      }
      const [taskId] = wanted;
      const members = btf.members(ids.get(taskId) as number);
      assertEquals(
        members.map(({ name, bitsOffset }) => [name, bitsOffset]),
        vmlinux.members(taskId).map((m) => [m.name, m.bitsOffset]),
      );
    } finally {
      await Deno.remove(file);
    }
    using _loaded = btfLoad(token, bytes);
  },
);

kernelTest(
  "Btf.parse() of split BTF goes on where vmlinux ends, as bpftool sees it",
  { needs: ["btf"], tools: ["bpftool"] },
  async () => {
    const base = Btf.parse(await Deno.readFile("/sys/kernel/btf/vmlinux"));
    const builder = new BtfBuilder({ base });
    assertEquals(builder.nextId, base.typeCount);
    const task = base.find("struct", "task_struct") as number;
    const pointer = builder.ptr(task);
    const mine = builder.struct("module_state", 16, [
      { name: "task", typeId: pointer, bitsOffset: 0 },
      { name: "self", typeId: builder.nextId + 1, bitsOffset: 64 },
    ]);
    builder.ptr(mine);
    builder.typedef("task_struct", mine);
    const bytes = builder.bytes();
    const split = Btf.parse(bytes, { base });
    const file = await Deno.makeTempFile();
    try {
      await Deno.writeFile(file, bytes);
      const { stdout, stderr } = await run("bpftool", [
        ...["-j", "-B", "/sys/kernel/btf/vmlinux", "btf", "dump", "file", file],
      ], { timeoutMs: 30_000 * SLOWNESS });
      assertEquals(stderr, "");
      const dump = new BtfDump(JSON.parse(stdout).types);
      assertEquals(dump.types.length, 4);
      for (const [id, type] of split.types()) {
        assertEquals(asBpftool(id, type), dump.get(id) as unknown as Record<string, unknown>);
      }
    } finally {
      await Deno.remove(file);
    }
    assertEquals(split.find("struct", "task_struct"), task);
    assertEquals(split.find("typedef", "task_struct"), builder.nextId - 1);
    assertEquals(split.find("struct", "module_state"), mine);
    assertEquals(split.sizeOf(task), base.sizeOf(task));
    assertEquals(split.sizeOf(mine), 16);
    assertEquals(split.type(task), base.type(task));
    // Types that the base has are shared with it: the pointer to task_struct, too.
    const other = new BtfBuilder();
    const ids = other.addAll(split, [mine]);
    assertGreater(ids.size, 1000);
    const again = new BtfBuilder({ base });
    const back = again.addAll(Btf.parse(other.bytes()));
    assertEquals(again.nextId, base.typeCount + 2);
    assertEquals(back.get(ids.get(task) as number), task);
  },
);

const MODULES = "/sys/kernel/btf";

function modulesWithBtf(): string[] {
  return [...Deno.readDirSync(MODULES)].map(({ name }) => name).filter((name) => name !== "vmlinux");
}

kernelTest(
  "Btf.parse() reads the split BTF of the modules that are loaded as bpftool does",
  {
    needs: ["btf", () => modulesWithBtf().length > 0 ? undefined : "no module with BTF is loaded"],
    tools: ["bpftool"],
  },
  async () => {
    const base = Btf.parse(await Deno.readFile(`${MODULES}/vmlinux`));
    for (const name of modulesWithBtf().slice(0, 8)) {
      const split = Btf.parse(await Deno.readFile(`${MODULES}/${name}`), { base });
      const dump = await BtfDump.ask(["file", `${MODULES}/${name}`]);
      assertEquals(split.typeCount - base.typeCount, dump.types.length);
      for (const [id, type] of split.types()) {
        assertEquals(asBpftool(id, type), dump.get(id) as unknown as Record<string, unknown>);
      }
    }
  },
);
