import { assert, assertEquals, assertGreater, assertThrows } from "@std/assert";
import { Btf, type Codec, codecFrom, formatValue, printTypeScript } from "../../btf/mod.ts";
import { everyValue } from "../_btf_everything.ts";
import { kernelTest, SLOWNESS } from "../_kernel_test.ts";
import { run } from "../_tools.ts";

const CODEC = new URL("../../codec.ts", import.meta.url).href;

/** The module that printTypeScript() makes: its types are checked, and it is imported. */
async function made(btf: Btf, ids: readonly number[], uses: string): Promise<Record<string, Codec<unknown>>> {
  const folder = await Deno.makeTempDir();
  try {
    const file = `${folder}/types.ts`;
    await Deno.writeTextFile(file, printTypeScript(btf, ids, { from: CODEC }) + uses);
    const config = new URL("../../deno.json", import.meta.url).pathname;
    const { code, stderr } = await run(Deno.execPath(), ["check", "--no-lock", "--config", config, file], {
      timeoutMs: 60_000 * SLOWNESS,
    });
    assertEquals(code, 0, stderr);
    return await import(`file://${file}`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Reads the same bytes by both codecs, and writes what was read. */
function compare(ours: Codec<unknown>, theirs: Codec<unknown>, bytes: Uint8Array<ArrayBuffer>): void {
  assertEquals([ours.name, ours.size, ours.alignment], [theirs.name, theirs.size, theirs.alignment]);
  const view = new DataView(bytes.buffer);
  assertEquals(JSON.stringify(ours.decode(view, 0), bigints), JSON.stringify(theirs.decode(view, 0), bigints));
}

function bigints(_: string, value: unknown): unknown {
  return typeof value === "bigint" ? `${value}n` : value;
}

function patterns(size: number): Uint8Array<ArrayBuffer>[] {
  return [0, 0xff, 0x5a].map((byte) => new Uint8Array(size).fill(byte))
    .concat(Uint8Array.from({ length: size }, (_, index) => (index * 37 + 11) & 0x7f));
}

Deno.test("printTypeScript() makes codecs that do what codecFrom() does, with types that fit", async () => {
  const everything = everyValue();
  const btf = Btf.parse(everything.builder.bytes());
  const module = await made(
    btf,
    [everything.struct],
    `
const some: Partial<Everything> = { i: 1, ul: 2n, yes: true, text: "hi", color: "RED", points: [{ x: 1, y: 2 }], word: 3n };
export const wrong: Codec<Everything>["encode"] = (view, offset, value) => everything.encode(view, offset, { ...value, ...some });
// @ts-expect-error a name that the enum has not
export const none: Color = "GREEN";
`,
  );
  const theirs = codecFrom(btf, everything.struct);
  for (const bytes of patterns(everything.size)) compare(module.everything, theirs, bytes);
  assertThrows(() => printTypeScript(btf, [0]), TypeError);
});

kernelTest(
  "printTypeScript() of the kernel's structs makes codecs that do what codecFrom() does",
  { needs: ["btf"] },
  async () => {
    const btf = Btf.parse(await Deno.readFile("/sys/kernel/btf/vmlinux"));
    const names = [
      "bpf_attr",
      "list_head",
      "sk_buff",
      "iphdr",
      "tcphdr",
      "timespec64",
      "ethtool_link_ksettings",
      "task_struct",
    ];
    const ids = names.map((name) => btf.find("struct", name) ?? btf.find("union", name) as number);
    const module = await made(btf, [...ids, btf.find("typedef", "sockptr_t") as number], "");
    const constants = [
      "bpfAttr",
      "listHead",
      "skBuff",
      "iphdr",
      "tcphdr",
      "timespec64",
      "ethtoolLinkKsettings",
      "taskStruct",
    ];
    for (const [index, constant] of constants.entries()) {
      const theirs = codecFrom(btf, ids[index]);
      for (const bytes of patterns(theirs.size)) compare(module[constant], theirs, bytes);
    }
    assert("sockptrT" in module);
  },
);

kernelTest("codecFrom() and formatValue() take every struct of vmlinux", { needs: ["btf"] }, async () => {
  const btf = Btf.parse(await Deno.readFile("/sys/kernel/btf/vmlinux"));
  let count = 0;
  for (let id = 1; id < btf.typeCount; id++) {
    const kind = btf.kindOf(id);
    if (kind !== "struct" && kind !== "union") continue;
    const codec = codecFrom(btf, id);
    assertEquals(codec.size, btf.sizeOf(id));
    assertEquals(codec.alignment, btf.alignOf(id));
    count++;
    // Large ones take long, and say nothing new.
    if (codec.size > 4096) continue;
    const bytes = new Uint8Array(codec.size).fill(0x21);
    codec.decode(new DataView(bytes.buffer), 0);
    JSON.parse(formatValue(btf, id, bytes, { style: "json" }));
  }
  assertGreater(count, 5000);
});
