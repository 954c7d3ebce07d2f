import { assert, assertEquals, assertGreater, assertThrows } from "@std/assert";
import { Btf, BtfBuilder } from "../../../btf/mod.ts";
import { BtfEditor } from "../../../object/_btf_editor.ts";
import { BpfObject, type MapSpec, sectionMeaning } from "../../../object/mod.ts";
import { parseObject } from "../../../object/parse.ts";

const FOLDER = new URL("../../testdata/objects/", import.meta.url);
const names = [...Deno.readDirSync(FOLDER)].map(({ name }) => name).filter((name) => name.endsWith(".o")).sort();

function bytesOf(name: string): Uint8Array<ArrayBuffer> {
  return Deno.readFileSync(new URL(`${name}.bpf.o`, FOLDER));
}

function parse(name: string): BpfObject {
  return BpfObject.parse(bytesOf(name), { name, legacyMaps: true });
}

function definition({ type, keySize, valueSize, maxEntries, flags }: MapSpec): unknown[] {
  return [type, keySize, valueSize, maxEntries, flags];
}

Deno.test("BpfObject.parse() describes the programs of an object", () => {
  const { spec } = parse("latency");
  assertEquals([spec.name, spec.license, spec.kernelVersion, spec.byteOrder], ["latency", "GPL", 0, "little"]);
  const { on_wakeup_new, on_switch } = spec.programs;
  assertEquals([on_wakeup_new.section, on_wakeup_new.autoload], ["tp_btf/sched_wakeup_new", false]);
  assertEquals(
    [on_switch.type, on_switch.expectedAttachType, on_switch.target, on_switch.attachTo, on_switch.autoload],
    ["tracing", "trace_raw_tp", "sched_switch", { name: "sched_switch" }, true],
  );
  assertEquals(parse("tcp").spec.license, "Dual BSD/GPL");
  assertEquals(Object.keys(parse("calls").spec.programs), ["looping", "one", "two", "three"]);
  assertEquals(parse("calls").spec.functions.filter(({ hidden }) => hidden).map(({ name }) => name), ["secret"]);
});

Deno.test("BpfObject.parse() describes maps, with what stands in them from the start", () => {
  const { maps } = parse("maps").spec;
  assertEquals(definition(maps.sized), ["hash", 6, 24, 100, 1]);
  assertEquals(definition(maps.pinned), ["array", 4, 8, 8, 1024]);
  assertEquals([maps.pinned.pinByName, maps.sized.pinByName], [true, false]);
  assertEquals(maps.outer.slots, [{ index: 1, name: "first" }, { index: 4, name: "second" }]);
  assertEquals([maps.outer.inner?.type, maps.outer.inner?.maxEntries], ["array", 4]);
  assertEquals(maps.tails.slots, [{ index: 2, name: "tail_one" }]);
  assertEquals(maps.empty_outer.inner?.type, "hash");
  const globals = parse("globals").spec.maps;
  assertEquals(Object.values(globals).map(({ name, kernelName }) => [name, kernelName]), [
    [".rodata", "globals.rodata"],
    [".rodata.named", ".rodata.named"],
    [".data", "globals.data"],
    [".data.custom", ".data.custom"],
    [".bss", "globals.bss"],
    [".bss.custom", ".bss.custom"],
  ]);
  const legacy = parse("legacy").spec.maps;
  assertEquals(definition(legacy.old_hash), ["hash", 4, 8, 32, 1]);
  assertThrows(() => BpfObject.parse(bytesOf("legacy")), SyntaxError, "pass { legacyMaps: true }");
});

Deno.test("BpfObject.needs tells capabilities, releases, helpers and functions", () => {
  const { capabilities, since, kernelBtf, programs } = parse("opens").needs;
  assertEquals([capabilities, since, kernelBtf], [["CAP_BPF", "CAP_PERFMON"], "5.8", true]);
  assertEquals(programs.enter_openat.helpers, ["get_current_pid_tgid", "map_update_elem"]);
  assertEquals(programs.exit_openat.maps.toSorted(), [".bss", ".rodata", "events", "start"]);
  const kfuncs = parse("kfuncs").needs;
  assertEquals(kfuncs.programs.hold.kfuncs, ["bpf_task_acquire", "bpf_task_release"]);
  assertEquals(kfuncs.externs, ["bpf_rcu_read_lock", "bpf_task_acquire", "bpf_task_release"]);
  assertEquals(parse("maps").needs.capabilities, ["CAP_BPF", "CAP_NET_ADMIN"]);
  assertEquals(parse("arena").needs.since, "6.9");
});

Deno.test("BpfObject.parse() reads objects of the other byte order, without BTF, and with compressed sections", () => {
  const [little, big, bare] = ["calls", "calls_big", "calls_bare"].map((name) => parse(name).spec);
  assertEquals([big.byteOrder, bare.btf], ["big", undefined]);
  const shape = (spec: typeof little): unknown =>
    spec.functions.filter(({ name }) => name !== "looping" && name !== "each").map(({ name, section, insns }) => [
      name,
      section,
      insns.length,
    ]);
  assertEquals(shape(big), shape(little));
  assertEquals(shape(bare), shape(little));
  assertEquals(
    big.functions.flatMap(({ relocations }) => relocations.map(({ kind }) => kind)).filter((kind) => kind === "call")
      .length,
    9,
  );
  const strip = ({ functions, programs }: typeof little): unknown => [
    functions.map((one) => ({ ...one, sectionIndex: 0 })),
    Object.keys(programs),
  ];
  assertEquals(strip(parse("opens_compressed").spec), strip(parse("opens").spec));
});

Deno.test("BpfObject.parse() says where malformed objects are malformed", () => {
  const bytes = bytesOf("maps");
  const error = assertThrows(() => BpfObject.parse(bytes.subarray(0, 1000)), SyntaxError) as SyntaxError & {
    offset: number;
  };
  assertEquals(typeof error.offset, "number");
  assertThrows(() => BpfObject.parse(new Uint8Array(100)), SyntaxError, "Cannot read ELF");
  const machine = bytes.slice();
  machine[18] = 62;
  assertThrows(() => BpfObject.parse(machine), SyntaxError, "machine 62");

  /** The section's header field, changed. */
  const changed = (name: string, change: (view: DataView, data: number) => void): Uint8Array => {
    const copy = bytes.slice();
    const view = new DataView(copy.buffer);
    const at = Number(view.getBigUint64(40, true));
    const { sections } = sectionsOf(bytes);
    const index = sections.indexOf(name);
    assertGreater(index, 0);
    change(view, Number(view.getBigUint64(at + 64 * index + 24, true)));
    return copy;
  };
  const cases: readonly (readonly [string, Uint8Array, string])[] = [
    ["a relocation past the end", changed(".relxdp", (view, data) => view.setBigUint64(data, 1n << 40n, true)), "xdp"],
    ["BTF without a magic number", changed(".BTF", (view, data) => view.setUint16(data, 0, true)), ".BTF"],
    [
      "BTF.ext of wild size",
      changed(".BTF.ext", (view, data) => view.setUint32(data + 4, 0x7fffffff, true)),
      ".BTF.ext",
    ],
  ];
  for (const [what, tampered, section] of cases) {
    const found = assertThrows(() => BpfObject.parse(tampered), SyntaxError, undefined, what) as SyntaxError & {
      offset: number;
      section: string;
    };
    assert(found.section.includes(section), `${what}: ${found.message}`);
    assertGreater(found.offset, 0);
  }
});

/** The names of an object's sections, as a test reads them. */
function sectionsOf(bytes: Uint8Array<ArrayBuffer>): { sections: string[] } {
  const view = new DataView(bytes.buffer);
  const at = Number(view.getBigUint64(40, true));
  const [count, names] = [view.getUint16(60, true), view.getUint16(62, true)];
  const table = Number(view.getBigUint64(at + 64 * names + 24, true));
  const sections = Array.from({ length: count }, (_, index) => {
    const start = table + view.getUint32(at + 64 * index, true);
    return new TextDecoder().decode(bytes.subarray(start, bytes.indexOf(0, start)));
  });
  return { sections };
}

Deno.test("parseObject() takes names that JavaScript gives a meaning", () => {
  const bytes = bytesOf("struct_ops");
  const [from, to] = ["threshold", "__proto__"].map((text) => new TextEncoder().encode(text));
  let renamed = 0;
  for (let at = 0; at + from.length < bytes.length; at++) {
    if (!from.every((byte, index) => bytes[at + index] === byte)) continue;
    bytes.set(to, at);
    renamed++;
  }
  assertGreater(renamed, 1);
  const { spec } = parseObject(bytes);
  assertEquals(Object.keys(spec.programs).sort(), ["__proto__", "avoid", "state", "undo"]);
  assertEquals(spec.programs["__proto__"].name, "__proto__");
  assertEquals("toString" in spec.programs, false);
});

Deno.test("Variables refuse what does not fit, and change nothing then", () => {
  const object = parse("globals");
  const before = object.rodata.bytes.slice();
  assertThrows(() => object.rodata.set({ table: [1, 2] }), RangeError);
  assertThrows(() => object.rodata.set({ color: "BLUE", table: [9, 9, 9, 9] }), Error);
  assertEquals(object.rodata.bytes, before);
  object.rodata.set({ color: "RED" });
  assertEquals(object.rodata.get("color"), "RED");
  assertThrows(() => object.rodata.get("none"), TypeError, "has only config, table, color");
  assertThrows(() => object.variables(".no"), TypeError, "no section .no");
  assertEquals(object.bss.variables.find(({ name }) => name === "hidden_calls")?.static, true);
});

Deno.test("sectionMeaning() takes targets only where libbpf does", () => {
  assertEquals(sectionMeaning("kprobe/a/b"), { def: sectionMeaning("kprobe")!.def, target: "a/b" });
  assertEquals(sectionMeaning("uprobe.multi.s//bin/sh:f*")?.target, "/bin/sh:f*");
  assertEquals(sectionMeaning("fexit.s/mod:func")?.def.flags, ["sleepable"]);
  assertEquals(sectionMeaning("xdp.frags/devmap")?.def.flags, ["xdp_has_frags"]);
  for (const name of ["xdp/x", "kprobex", "tp_btf.x/y", "", "/", "Xdp"]) assertEquals(sectionMeaning(name), undefined);
});

Deno.test("BtfEditor changes types in place, and adds at the end", () => {
  const builder = new BtfBuilder();
  const int = builder.int("int", 4, "signed");
  const first = builder.var("first", int, "global");
  const second = builder.var("second", int, "static");
  const section = builder.datasec(".data", 0, [
    { typeId: first, offset: 4, size: 4 },
    { typeId: second, offset: 0, size: 4 },
  ]);
  for (const byteOrder of ["little", "big"] as const) {
    const other = new BtfBuilder({ byteOrder });
    for (const [, type] of Btf.parse(builder.bytes()).types()) other.add(type);
    const editor = new BtfEditor(other.bytes());
    assertEquals([editor.nextId, editor.kind(section), editor.count(section), editor.name(first)], [
      5,
      "datasec",
      2,
      "first",
    ]);
    editor.setWord(section, 2, 8);
    editor.sortMembers(section, 1);
    editor.setWord(second, 3, 1);
    const added = editor.addType([editor.addString("added"), 1 << 24, 1, 8]);
    const btf = Btf.parse(editor.bytes());
    assertEquals(btf.byteOrder, byteOrder);
    assertEquals(btf.type(section), {
      ...{ kind: "datasec", name: ".data", size: 8 },
      vars: [{ typeId: second, offset: 0, size: 4 }, { typeId: first, offset: 4, size: 4 }],
    });
    assertEquals(btf.type(second), { kind: "var", name: "second", typeId: int, linkage: "global" });
    assertEquals(btf.type(added), { kind: "int", name: "added", size: 1, bitsOffset: 0, nrBits: 8, encoding: "none" });
  }
});

Deno.test("BpfObject.parse() reads every test object", () => {
  assertGreater(names.length, 15);
  for (const name of names) {
    const object = parse(name.replace(/\.bpf\.o$/, ""));
    assertEquals([object.loaded, object.closed], [false, false]);
    assertThrows(() => object.maps, TypeError, "the object is not loaded: call load()");
    object.close();
  }
});
