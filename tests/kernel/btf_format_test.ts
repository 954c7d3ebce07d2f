import { assertEquals, assertGreater, assertStringIncludes } from "@std/assert";
import { Btf, BtfBuilder, formatValue } from "../../btf/mod.ts";
import { btfLoad } from "../../cmds/btf.ts";
import { mapCreate } from "../../cmds/map.ts";
import { mapUpdateElem } from "../../cmds/map_elem.ts";
import { objGetInfoByFd } from "../../cmds/obj.ts";
import { everyValue, someValue } from "../_btf_everything.ts";
import { kernelSince, kernelTest } from "../_kernel_test.ts";
import { run } from "../_tools.ts";
import { rootToken } from "./_objects.ts";

/** What bpftool prints for an array map with the values, whose types are in a BTF. */
async function dumped(
  bytes: Uint8Array<ArrayBuffer>,
  keyTypeId: number,
  valueTypeId: number,
  values: Uint8Array<ArrayBuffer>[],
): Promise<{ plain: string; json: string }> {
  const token = rootToken();
  using btf = btfLoad(token, bytes);
  using map = mapCreate(token, {
    type: "array",
    keySize: 4,
    valueSize: values[0].length,
    maxEntries: values.length,
    name: "formatted",
    btf: { fd: btf, keyTypeId, valueTypeId },
  });
  values.forEach((value, index) => mapUpdateElem(token, map, { key: new Uint8Array([index, 0, 0, 0]), value }));
  const { id } = objGetInfoByFd(token, map, { kind: "map" });
  const plain = await run("bpftool", ["map", "dump", "id", `${id}`]);
  const json = await run("bpftool", ["-j", "map", "dump", "id", `${id}`]);
  assertEquals([plain.code, json.code], [0, 0]);
  return { plain: plain.stdout, json: json.stdout };
}

/** The same from formatValue(). */
function formatted(
  btf: Btf,
  typeId: number,
  values: readonly Uint8Array[],
  hasKey = true,
): { plain: string; json: string[] } {
  const entries = values.map((value, index) =>
    `{\n${hasKey ? `        "key": ${index},\n` : ""}        "value": ${
      formatValue(btf, typeId, value, { depth: 2 })
    }\n    }`
  );
  const json = values.map((value, index) =>
    `"formatted":{"key":${index},"value":${formatValue(btf, typeId, value, { style: "json" })}}`
  );
  return { plain: `[${entries.join(",")}\n]\n`, json };
}

kernelTest(
  "formatValue() writes what bpftool map dump does, for every kind of value",
  { needs: [kernelSince("6.0")], tools: ["bpftool"] },
  async () => {
    const everything = everyValue();
    const bytes = everything.builder.bytes();
    const values = [someValue(everything), new Uint8Array(everything.size), new Uint8Array(everything.size).fill(0xff)];
    // Random bytes, of which each pattern of bits comes by sooner or later.
    let state = 1;
    for (let round = 0; round < 20; round++) {
      values.push(Uint8Array.from({ length: everything.size }, () => {
        state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
        const byte = (state >>> 16) & 0xff;
        // bpftool writes a backslash wrongly, a quotation mark as a single character, too.
        return byte === 0x5c || byte === 0x22 ? 0 : byte;
      }));
    }
    const theirs = await dumped(bytes, everything.u32, everything.struct, values);
    const ours = formatted(Btf.parse(bytes), everything.struct, values);
    assertEquals(ours.plain, theirs.plain);
    assertGreater(ours.plain.length, 10_000);
    for (const text of ours.json) assertStringIncludes(theirs.json, text);
  },
);

kernelTest("formatValue() writes a section of variables as bpftool does", { tools: ["bpftool"] }, async () => {
  const builder = new BtfBuilder();
  const int = builder.int("int", 4, "signed");
  const u32 = builder.int("unsigned int", 4);
  const first = builder.var("first", int);
  const second = builder.var("second", builder.array(u32, 2, u32));
  const section = builder.datasec(".data", 12, [
    { typeId: first, offset: 0, size: 4 },
    { typeId: second, offset: 4, size: 8 },
  ]);
  const bytes = builder.bytes();
  const values = [new Uint8Array([255, 255, 255, 255, 1, 0, 0, 0, 2, 0, 0, 0])];
  const theirs = await dumped(bytes, 0, section, values);
  const btf = Btf.parse(bytes);
  assertEquals(formatted(btf, section, values, false).plain, theirs.plain);
  assertStringIncludes(theirs.json, formatValue(btf, section, values[0], { style: "json" }));
});

kernelTest("formatValue() writes values of single types as bpftool does", { tools: ["bpftool"] }, async () => {
  const builder = new BtfBuilder();
  const u32 = builder.int("unsigned int", 4);
  const u64 = builder.int("unsigned long", 8);
  const table = builder.array(builder.typedef("counter_t", u64), 3, u32);
  const flags = builder.enum("flags", [{ name: "ON", val: 1 }]);
  const bytes = builder.bytes();
  const btf = Btf.parse(bytes);
  for (const [id, size] of [[u64, 8], [table, 24], [flags, 4]]) {
    const values = [new Uint8Array(size).fill(1, 0, 1), new Uint8Array(size).fill(0xab)];
    const theirs = await dumped(bytes, u32, id, values);
    assertEquals(formatted(btf, id, values).plain, theirs.plain);
  }
});
