import { assertEquals, assertGreater, assertThrows } from "@std/assert";
import { Btf, BtfBuilder, type BtfType } from "../../../btf/mod.ts";
import { everyKind, everyValue } from "../../_btf_everything.ts";

function typesOf(btf: Btf): BtfType[] {
  return [...btf.types()].map(([, type]) => type);
}

Deno.test("BtfBuilder shares strings, and its bytes do not change by being asked for", () => {
  const builder = new BtfBuilder();
  builder.int("name", 4);
  builder.struct("name", 4, [{ name: "name", typeId: 1, bitsOffset: 0 }]);
  assertEquals(builder.string("name"), 1);
  assertEquals(builder.string(""), 0);
  assertEquals(builder.bytes(), builder.bytes());
  const text = new TextDecoder("latin1").decode(builder.bytes());
  assertEquals(text.split("name").length, 2);
});

Deno.test("BtfBuilder refuses what does not fit, naming the type", () => {
  const builder = new BtfBuilder();
  const cases: [work: () => unknown, reason: string][] = [
    [() => builder.int("x", 3), "3 is no size"],
    [() => builder.add({ kind: "int", name: "x", size: 1, bitsOffset: 4, nrBits: 5, encoding: "none" }), "do not fit"],
    [() => builder.float("x", 5), "5 is no size"],
    [() => builder.enum("x", [{ name: "A", val: 2 ** 32 }]), "is not between 0 and 4294967295"],
    [() => builder.enum("x", [{ name: "A", val: -1 }, { name: "B", val: 2 ** 31 }]), "is not between -2147483648"],
    [() => builder.enum("x", [], 3), "not 3"],
    [() => builder.enum64("x", [{ name: "A", val: 1n << 64n }]), "64 bits"],
    [() => builder.enum64("x", [{ name: "A", val: -1n }, { name: "B", val: 1n << 63n }]), "64 bits"],
    [() => builder.struct("x", -1, []), "is not between"],
    [() => builder.struct("x", 1, [{ name: "m", typeId: 1, bitsOffset: 0, bitfieldSize: 256 }]), "256 bits"],
    [() => builder.struct("x", 1, [{ name: "m", typeId: 1, bitsOffset: 1 << 24, bitfieldSize: 1 }]), "too far"],
    [() => builder.struct("x", 1, [{ name: "m", typeId: 1.5, bitsOffset: 0 }]), "1.5"],
    [() => builder.add({ kind: "void", name: "" }), "type 0"],
    [() => builder.declTag("x", 1, -2), "component -2"],
  ];
  for (const [work, reason] of cases) {
    const error = assertThrows(work, RangeError);
    assertEquals(error.message.includes(reason), true, error.message);
    assertEquals(/^Cannot encode \w+ "x?": /.test(error.message), true, error.message);
  }
  assertEquals(builder.nextId, 1);
  assertThrows(() => builder.typedef("a\0b", 0), TypeError, "NUL");
  builder.ptr(7);
  assertThrows(() => builder.bytes(), RangeError, 'ptr 1 "" names type 7, and the last is 1');
});

Deno.test("BtfBuilder.add() of all types gives the same BTF again", () => {
  for (const byteOrder of ["little", "big"] as const) {
    const bytes = everyValue(byteOrder).builder.bytes();
    const builder = new BtfBuilder({ byteOrder });
    for (const type of typesOf(Btf.parse(bytes))) builder.add(type);
    assertEquals(builder.bytes(), bytes);
  }
});

Deno.test("BtfBuilder.addAll() shares equal types, those that go in circles too", () => {
  const part = (extra: string, order: boolean): Btf => {
    const builder = new BtfBuilder();
    // The same types in another order, after one of its own.
    builder.typedef(extra, 0);
    const int = builder.int("int", 4, "signed");
    const first = builder.nextId;
    const [pointer, node] = order ? [first, first + 1] : [first + 1, first];
    const addPointer = (): number => builder.ptr(node);
    const addNode = (): number =>
      builder.struct("node", 16, [
        { name: "next", typeId: pointer, bitsOffset: 0 },
        { name: "value", typeId: int, bitsOffset: 64 },
      ]);
    if (order) addPointer(), addNode();
    else addNode(), addPointer();
    builder.func("walk", builder.funcProto(int, [{ name: "from", typeId: pointer }]));
    return Btf.parse(builder.bytes());
  };
  const [first, second] = [part("first", true), part("second", false)];
  const builder = new BtfBuilder();
  const firstIds = builder.addAll(first);
  assertEquals(builder.nextId, first.typeCount);
  const secondIds = builder.addAll(second);
  assertEquals(builder.nextId, first.typeCount + 1);
  for (const [kind, name] of [["int", "int"], ["struct", "node"], ["func", "walk"]] as const) {
    assertEquals(
      secondIds.get(second.find(kind, name) as number),
      firstIds.get(first.find(kind, name) as number),
      `${kind} ${name}`,
    );
  }
  const merged = Btf.parse(builder.bytes());
  assertEquals(merged.findAll("struct", "node").length, 1);
  assertEquals(merged.find("typedef", "second"), builder.nextId - 1);
});

Deno.test("BtfBuilder.addAll() keeps apart what differs only far away", () => {
  const chain = (name: string): Btf => {
    const builder = new BtfBuilder();
    let id = builder.int(name, 4);
    for (let level = 0; level < 50; level++) id = builder.ptr(id);
    builder.struct("holder", 8, [{ name: "deep", typeId: id, bitsOffset: 0 }]);
    return Btf.parse(builder.bytes());
  };
  const builder = new BtfBuilder();
  builder.addAll(chain("one"));
  builder.addAll(chain("two"));
  assertEquals(builder.nextId, 2 * 52 + 1);
  builder.addAll(chain("one"));
  assertEquals(builder.nextId, 2 * 52 + 1);
  // In a circle: nodes that are alike but for where the circle has its mark.
  const circle = (size: number): Btf => {
    const ring = new BtfBuilder();
    for (let index = 0; index < size; index++) ring.ptr(index === size - 1 ? size + 1 : index + 2);
    ring.typedef("mark", 1);
    return Btf.parse(ring.bytes());
  };
  const rings = new BtfBuilder();
  for (const size of [5, 6, 5, 6]) rings.addAll(circle(size));
  assertEquals(rings.nextId, 6 + 7 + 1);
});

Deno.test("BtfBuilder.addAll() leaves apart what takes too long to tell apart", () => {
  const size = 2200;
  const ring = new BtfBuilder();
  for (let index = 0; index < size; index++) ring.ptr(index === size - 1 ? size + 1 : index + 2);
  const mark = ring.typedef("mark", 1);
  const int = ring.int("int", 4);
  const btf = Btf.parse(ring.bytes());
  const builder = new BtfBuilder();
  builder.addAll(btf);
  const ids = builder.addAll(btf);
  const merged = Btf.parse(builder.bytes());
  assertEquals(ids.get(int), merged.find("int", "int"));
  assertEquals(merged.findAll("int", "int").length, 1);
  const again = ids.get(mark) as number;
  assertEquals([merged.kindOf(again), merged.nameOf(again)], ["typedef", "mark"]);
  assertEquals(merged.findAll("typedef", "mark").length, 2);
});

Deno.test("BtfBuilder.addAll() of equal types in one BTF, and of plain circles, adds one", () => {
  const builder = new BtfBuilder();
  for (let index = 0; index < 3; index++) builder.int("int", 4, "signed");
  for (let index = 0; index < 3; index++) builder.ptr(index + 1);
  const once = new BtfBuilder();
  const ids = once.addAll(Btf.parse(builder.bytes()));
  assertEquals([...ids.values()], [0, 1, 1, 1, 2, 2, 2]);
  assertEquals(once.nextId, 3);
});

Deno.test("BtfBuilder.addAll() of some ids adds what they are made of and no more", () => {
  const other = Btf.parse(everyKind().bytes());
  const builder = new BtfBuilder();
  const node = other.find("struct", "node") as number;
  const ids = builder.addAll(other, [node]);
  const names = typesOf(Btf.parse(builder.bytes())).map((type) => `${type.kind} ${type.name}`);
  assertEquals(names, ["int int", "int unsigned int", "ptr ", "struct node", "array "]);
  assertEquals(Btf.parse(builder.bytes()).members(ids.get(node) as number).length, 4);
  assertThrows(() => builder.addAll(other, [other.typeCount]), RangeError);
  assertGreater(builder.addAll(other, []).size, 0);
});

Deno.test("BtfBuilder.addAll() shares what the base has", () => {
  const base = Btf.parse(everyKind().bytes());
  const split = new BtfBuilder({ base });
  assertEquals(split.nextId, base.typeCount);
  const extra = everyKind();
  const more = extra.typedef("more", 3);
  const ids = split.addAll(Btf.parse(extra.bytes()));
  assertEquals(split.nextId, base.typeCount + 1);
  assertEquals(ids.get(more), base.typeCount);
  for (const [id] of base.types()) assertEquals(ids.get(id), id);
});
