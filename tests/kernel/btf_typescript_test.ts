import { assert, assertEquals, assertGreater } from "@std/assert";
import { Btf, codecFrom, formatValue } from "../../btf/mod.ts";
import { compare, made, patterns } from "../_btf_typescript.ts";
import { kernelTest, notEmulated } from "../_kernel_test.ts";

kernelTest(
  "printTypeScript() of the kernel's structs makes codecs that do what codecFrom() does",
  { needs: [notEmulated("checking types"), "btf"] },
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
