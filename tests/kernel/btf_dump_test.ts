import { assert, assertEquals, assertGreater } from "@std/assert";
import { Btf, type BtfType } from "../../btf/mod.ts";
import { BtfOracle } from "../_btf_oracle.ts";
import { BtfDump } from "../_btf_dump.ts";
import { kernelTest, SLOWNESS } from "../_kernel_test.ts";
import { run } from "../_tools.ts";
import { asBpftool } from "./_btf_words.ts";

const VMLINUX = "/sys/kernel/btf/vmlinux";

kernelTest(
  "Btf.parse() reads every type of vmlinux as bpftool does",
  { needs: ["btf"], tools: ["bpftool"] },
  async () => {
    const btf = Btf.parse(await Deno.readFile(VMLINUX));
    const dump = await BtfDump.ask(["file", VMLINUX]);
    assertEquals(btf.typeCount, dump.types.length + 1);
    const kinds = new Map<string, number>();
    let parts = 0;
    for (const [id, type] of btf.types()) {
      const theirs = dump.get(id);
      const ours = asBpftool(id, type);
      // Comparing text is faster than comparing values, which says more where they differ.
      if (JSON.stringify(ours) !== JSON.stringify(theirs)) assertEquals(ours, theirs as unknown as typeof ours);
      assertEquals(btf.kindOf(id), type.kind);
      assertEquals(btf.nameOf(id), type.name);
      kinds.set(type.kind, (kinds.get(type.kind) ?? 0) + 1);
      parts += theirs.vlen ?? 0;
    }
    assertGreater(kinds.get("struct") ?? 0, 4000);
    assertGreater(kinds.get("func") ?? 0, 10_000);
    assertGreater(kinds.size, 12);
    assertGreater(parts, 100_000);
  },
);

kernelTest(
  "Btf.type() gives the values of every enum of vmlinux exactly",
  { needs: ["btf"], tools: ["bpftool"] },
  async () => {
    const btf = Btf.parse(await Deno.readFile(VMLINUX));
    const { stdout } = await run("bpftool", ["btf", "dump", "file", VMLINUX, "format", "raw"], {
      timeoutMs: 30_000 * SLOWNESS,
    });
    const theirs = [...stdout.matchAll(/^\t'([^']*)' val=(-?\d+)(?:U?LL)?$/gm)].map(([, name, val]) =>
      `${name} ${val}`
    );
    const ours: string[] = [];
    for (const [, type] of btf.types()) {
      if (type.kind === "enum" || type.kind === "enum64") {
        for (const { name, val } of type.values) {
          ours.push(`${name} ${val}`);
        }
      }
    }
    assertGreater(ours.length, 10_000);
    assertEquals(ours.join("\n"), theirs.join("\n"));
  },
);

kernelTest("Btf.find() finds every name of vmlinux", { needs: ["btf"], tools: ["bpftool"] }, async () => {
  const btf = Btf.parse(await Deno.readFile(VMLINUX));
  const dump = await BtfDump.ask(["file", VMLINUX]);
  const ids = new Map<string, number[]>();
  for (const { id, kind, name } of dump.types) {
    if (name === "(anon)") continue;
    const key = `${kind.toLowerCase()} ${name}`;
    const same = ids.get(key);
    if (same === undefined) ids.set(key, [id]);
    else same.push(id);
  }
  for (const [key, expected] of ids) {
    const space = key.indexOf(" ");
    const [kind, name] = [key.slice(0, space) as BtfType["kind"], key.slice(space + 1)];
    assertEquals(btf.find(kind, name), expected[0], key);
    if (expected.length > 1) assertEquals(btf.findAll(kind, name), expected, key);
  }
  assertGreater(ids.size, 40_000);
  assertEquals(btf.find("struct", "no_such_struct"), undefined);
  assertEquals(btf.find("union", "task_struct"), undefined);
  assertEquals(btf.findAll("struct", ""), []);
});

kernelTest("Btf.sizeOf() gives what bpftool's types add up to, for every type of vmlinux", {
  needs: ["btf"],
  tools: ["bpftool"],
}, async () => {
  const btf = Btf.parse(await Deno.readFile(VMLINUX));
  const dump = await BtfDump.ask(["file", VMLINUX]);
  const sized = new Set(["INT", "PTR", "ARRAY", "STRUCT", "UNION", "ENUM", "ENUM64", "FLOAT"]);
  let count = 0;
  for (const { id, kind } of dump.types) {
    if (["DATASEC", "VAR"].includes(kind)) continue;
    const behind = dump.behind(id);
    if (behind === undefined || !sized.has(behind.kind)) {
      assertEquals(btf.sizeOf(id), undefined, `${kind} ${id}`);
      continue;
    }
    assertEquals(btf.sizeOf(id), dump.size(id), `${kind} ${id}`);
    assertEquals(btf.resolve(id), behind.id);
    count++;
  }
  assertGreater(count, 20_000);
});

kernelTest("Btf.members() are where the tests' own reader finds them", { needs: ["btf"] }, async () => {
  const bytes = await Deno.readFile(VMLINUX);
  const [btf, oracle] = [Btf.parse(bytes), new BtfOracle(bytes)];
  let count = 0;
  for (const name of ["task_struct", "sk_buff", "bpf_attr", "net_device", "tcp_sock"]) {
    const id = btf.find("struct", name) ?? btf.find("union", name) as number;
    const fields = oracle.fieldsOf(name);
    assert(fields !== undefined);
    assertEquals(btf.sizeOf(id), oracle.sizeOf(name));
    for (const member of btf.members(id)) {
      if (member.name === "") continue;
      const field = fields.get(member.name);
      assertEquals(member.bitsOffset, field?.bit, member.name);
      assertEquals(member.bitfieldSize > 0, field?.isBitfield, member.name);
      count++;
    }
    for (const [path, field] of fields) {
      const member = btf.member(id, path);
      assertEquals([member?.bitsOffset, (member?.bitfieldSize ?? 0) > 0], [field.bit, field.isBitfield], path);
    }
  }
  assertGreater(count, 400);
});
