import { assertEquals, assertThrows } from "@std/assert";
import { Btf, BtfBuilder } from "../../../btf/mod.ts";
import { parseFunction, parsePattern, parseUprobe, parseUsdt } from "../../../object/_attach_targets.ts";
import { parseConfig } from "../../../features/kernel_config.ts";
import { ConfigWriter } from "../../../object/_kernel_config.ts";
import type { ExternSpec } from "../../../object/mod.ts";

/** Externs of all types that a configuration can have, one after the other. */
function externs(): {
  btf: Btf;
  bool: ExternSpec;
  char: ExternSpec;
  tri: ExternSpec;
  s16: ExternSpec;
  u64: ExternSpec;
  text: ExternSpec;
} {
  const builder = new BtfBuilder();
  const [bool, char] = [builder.int("_Bool", 1, "bool"), builder.int("char", 1, "signed")];
  const index = builder.int("index", 4);
  const tri = builder.enum("libbpf_tristate", ["TRI_NO", "TRI_YES", "TRI_MODULE"].map((name, val) => ({ name, val })));
  const [s16, u64] = [builder.int("short", 2, "signed"), builder.int("long long", 8)];
  const text = builder.array(char, 6, index);
  const extern = (name: string, typeId: number, size: number, offset: number): ExternSpec => ({
    ...{ name, kind: "kconfig", weak: false, btfId: 0, typeId, size, offset },
  });
  return {
    btf: Btf.parse(builder.bytes()),
    bool: extern("BOOL", bool, 1, 0),
    char: extern("CHAR", char, 1, 1),
    s16: extern("S16", s16, 2, 2),
    tri: extern("TRI", tri, 4, 4),
    u64: extern("U64", u64, 8, 8),
    text: extern("TEXT", text, 6, 16),
  };
}

Deno.test("ConfigWriter writes values as the types of externs say", () => {
  const { btf, bool, char, tri, s16, u64, text } = externs();
  const data = new Uint8Array(24);
  const writer = new ConfigWriter(btf, data);
  const view = new DataView(data.buffer);
  writer.write(bool, "y");
  writer.write(char, "m");
  writer.write(tri, "m");
  writer.write(s16, "-3");
  writer.write(u64, "0xfedcba9876543210");
  writer.write(text, '"hello world"');
  assertEquals([data[0], data[1], view.getInt16(2, true), data[4]], [1, 0x6d, -3, 2]);
  assertEquals(view.getBigUint64(8, true), 0xfedcba9876543210n);
  assertEquals(new TextDecoder().decode(data.subarray(16, 22)), "hello\0");
  assertThrows(
    () => writer.write(bool, "m"),
    TypeError,
    "extern BOOL: the configuration says m, and a bool cannot be m",
  );
  assertThrows(() => writer.write(bool, "2"), TypeError, "a bool is 0 or 1");
  assertThrows(() => writer.write(s16, "40000"), TypeError, "it has 16 bits");
  assertThrows(() => writer.write(s16, "y"), TypeError, "neither a bool");
  assertThrows(() => writer.write(tri, "3"), TypeError, "it is no integer");
  assertThrows(() => writer.write(text, "3"), TypeError, "it is no integer");
  assertThrows(() => writer.write(u64, '"x"'), TypeError, "no array of char");
  assertThrows(() => writer.write(u64, "12abc"), TypeError, "that is no number");
});

Deno.test("parseConfig() reads what is set, and passes over the rest", () => {
  const text = '# CONFIG_A is not set\nCONFIG_B=y\n\nCONFIG_C="a b"\n  CONFIG_D=m\nCONFIG_E=0x10\n#CONFIG_F=y\n';
  assertEquals([...parseConfig(text)], [["CONFIG_B", "y"], ["CONFIG_C", '"a b"'], ["CONFIG_E", "0x10"]]);
});

Deno.test("targets of sections are read as libbpf reads them", () => {
  assertEquals(parseFunction("kprobe/f", "do_open"), { name: "do_open", offset: 0 });
  assertEquals(parseFunction("kprobe/f+8", "f.isra.0+0x10"), { name: "f.isra.0", offset: 16 });
  assertThrows(() => parseFunction("kprobe/f g", "f g"), TypeError, 'section "kprobe/f g"');
  const uprobe = "uprobe//bin/sh:main";
  assertEquals(parseUprobe(uprobe, "/bin/sh:main"), { path: "/bin/sh", symbol: "main", offset: 0 });
  assertEquals(parseUprobe(uprobe, "libc.so.6:malloc@GLIBC_2.2+4"), {
    path: "libc.so.6",
    symbol: "malloc@GLIBC_2.2",
    offset: 4,
  });
  assertEquals(parseUprobe(uprobe, "/bin/sh:0x40"), { path: "/bin/sh", symbol: undefined, offset: 64 });
  assertThrows(() => parseUprobe("uprobe/x", "x"), TypeError, "path:function");
  assertEquals(parsePattern("uprobe.multi", "/bin/sh:f*"), { path: "/bin/sh", pattern: "f*" });
  assertEquals(parseUsdt("usdt", "libc.so.6:libc:setjmp"), { path: "libc.so.6", provider: "libc", name: "setjmp" });
  assertThrows(() => parseUsdt("usdt/a:b", "a:b"), TypeError, "path:provider:name");
});
