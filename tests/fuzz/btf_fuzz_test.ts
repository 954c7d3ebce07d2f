import { assert, assertEquals, assertGreater } from "@std/assert";
import {
  Btf,
  BtfBuilder,
  type BtfType,
  codecFrom,
  encodeBtfExt,
  formatValue,
  parseBtfExt,
  printC,
  printTypeScript,
} from "../../btf/mod.ts";
import { everyKind, everyValue } from "../_btf_everything.ts";
import { type Random, random } from "../_random.ts";

/** Where the numbers start: `BTF_FUZZ_SEED` tries others. */
const SEED = Number(Deno.env.get("BTF_FUZZ_SEED") ?? 0xb7f);
const ROUNDS = Number(Deno.env.get("BTF_FUZZ_ROUNDS") ?? 2500);

const EDGES = [
  0,
  1,
  2,
  3,
  4,
  7,
  8,
  16,
  31,
  32,
  64,
  0xff,
  0xffff,
  0x10000,
  0xffffff,
  0x7fffffff,
  0x80000000,
  0xffffffff,
];

/** Changes some bytes or words of a copy. */
function mutate(next: Random, bytes: Uint8Array, from = 0): Uint8Array<ArrayBuffer> {
  const copy = bytes.slice();
  const view = new DataView(copy.buffer);
  for (let count = 1 + next(4); count > 0; count--) {
    const at = from + next(Math.max(copy.length - from, 1));
    const word = at & ~3;
    const choice = next(5);
    if (choice === 0) copy[at] = next(256);
    else if (choice === 1) copy[at] ^= 1 << next(8);
    else if (word + 4 <= copy.length) {
      const value = choice === 2 ? EDGES[next(EDGES.length)] : choice === 3 ? next(40) : next(40) << 24 | next(6);
      view.setUint32(word, value >>> 0, next(8) !== 0);
    }
  }
  return next(10) === 0 ? copy.slice(0, next(copy.length + 1)) : copy;
}

/** Whether something was done; malformed input is the only reason not to, with a place inside of the input. */
function tried(work: () => unknown, length: number, mayLack = false): boolean {
  try {
    work();
    return true;
  } catch (error) {
    if (mayLack && error instanceof TypeError && / (it has no values|there is no big-endian)/.test(error.message)) {
      return false;
    }
    assert(error instanceof SyntaxError, `${(error as Error).stack}`);
    const { offset } = error as SyntaxError & { offset: number };
    assert(Number.isInteger(offset) && offset >= 0 && offset <= length, `${error.message}: ${offset} of ${length}`);
    return false;
  }
}

function typesOf(btf: Btf): BtfType[] {
  return [...btf.types()].map(([, type]) => type);
}

/** Decodes, encodes and decodes again: both decoded ones are equal. */
function checkFixpoint(btf: Btf): void {
  const types = typesOf(btf);
  const builder = new BtfBuilder({ byteOrder: btf.byteOrder, base: btf.base });
  for (const type of types) builder.add(type);
  const bytes = builder.bytes();
  const again = Btf.parse(bytes, { base: btf.base });
  assertEquals(typesOf(again), types);
  assertEquals(again.byteOrder, btf.byteOrder);
  const once = new BtfBuilder({ byteOrder: btf.byteOrder, base: btf.base });
  for (const type of typesOf(again)) once.add(type);
  assertEquals(once.bytes(), bytes);
}

/** The size of a type; "refused" where it makes no sense. */
function sizeIn(btf: Btf, id: number): number | undefined | "refused" {
  let size: number | undefined | "refused" = "refused";
  tried(() => size = btf.sizeOf(id), 1 << 20);
  return size;
}

interface Counts {
  parsed: number;
  refused: number;
  printed: number;
  codecs: number;
  formatted: number;
}

/** Does all that can be done with a BTF. */
function useAll(btf: Btf, next: Random, length: number, counts: Counts): void {
  if (tried(() => printC(btf), length)) counts.printed++;
  for (let id = 0; id < Math.min(btf.typeCount, 80); id++) {
    tried(() => btf.resolve(id), length);
    tried(() => btf.members(id), length);
    let size: number | undefined;
    tried(() => size = btf.sizeOf(id), length);
    tried(() => assert((btf.alignOf(id) ?? 1) > 0), length);
    tried(() => btf.isPacked(id), length);
    tried(() => printC(btf, [id]), length);
    if (next(4) === 0) tried(() => printTypeScript(btf, [id]), length, true);
    if (size === undefined || size > 4096) continue;
    const bytes = Uint8Array.from({ length: size }, () => next(256));
    for (const style of ["plain", "json"] as const) {
      if (tried(() => formatValue(btf, id, bytes, { style }), length, true)) counts.formatted++;
    }
    tried(
      () => {
        const codec = codecFrom(btf, id);
        codec.decode(new DataView(bytes.buffer), 0);
        counts.codecs++;
      },
      length,
      true,
    );
    const name = btf.nameOf(id);
    // What is no UTF-8 cannot be asked for.
    if (!name.includes("\ufffd")) assertEquals(btf.findAll(btf.kindOf(id), name).includes(id), name !== "");
  }
}

function counted(): Counts {
  return { parsed: 0, refused: 0, printed: 0, codecs: 0, formatted: 0 };
}

Deno.test(`Btf.parse() of changed BTF gives types that can be used, or a SyntaxError (seed ${SEED})`, () => {
  const next = random(SEED);
  const sources = [everyKind().bytes(), everyValue("little").builder.bytes(), everyValue("big").builder.bytes()];
  const counts = counted();
  for (let round = 0; round < ROUNDS; round++) {
    const bytes = mutate(next, sources[next(sources.length)], next(10) === 0 ? 0 : 24);
    let btf: Btf | undefined;
    if (!tried(() => btf = Btf.parse(bytes), bytes.length) || btf === undefined) {
      counts.refused++;
      continue;
    }
    counts.parsed++;
    checkFixpoint(btf);
    useAll(btf, next, bytes.length, counts);
  }
  assertGreater(counts.parsed, ROUNDS / 4);
  assertGreater(counts.refused, ROUNDS / 20);
  assertGreater(counts.printed, ROUNDS / 20);
  assertGreater(counts.codecs, ROUNDS);
  assertGreater(counts.formatted, ROUNDS);
});

Deno.test(`Btf.parse() of random types gives types that can be used, or a SyntaxError (seed ${SEED})`, () => {
  const next = random(SEED);
  const counts = counted();
  const once = [0, 1, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0];
  const each = [0, 0, 0, 0, 3, 3, 2, 0, 0, 0, 0, 0, 0, 2, 0, 3, 0, 0, 0, 3];
  const strings = new TextEncoder().encode("\0int\0a\0b\0struct\0x y\0é\0long unsigned int\0");
  for (let round = 0; round < ROUNDS; round++) {
    const count = 1 + next(12);
    const words: number[] = [];
    for (let type = 0; type < count; type++) {
      const kind = 1 + next(19);
      const vlen = kind === 12 ? next(3) : each[kind] > 0 ? next(4) : 0;
      const size = [1, 2, 4, 8, 16][next(5)];
      const isSized = [1, 4, 5, 6, 15, 16, 19].includes(kind);
      words.push(
        next(strings.length),
        (next(4) === 0 ? 0x80000000 : 0) | kind << 24 | vlen,
        isSized ? size : next(count + 1),
      );
      if (kind === 1) words.push([0, 1, 2, 4][next(4)] << 24 | 8 * size);
      else if (kind === 14) words.push(next(3));
      else for (let index = 0; index < once[kind]; index++) words.push(next(count + 1));
      for (let index = 0; index < vlen * each[kind]; index++) {
        const part = index % each[kind];
        words.push(part === 0 && kind !== 15 ? next(strings.length) : part < 2 ? next(count + 1) : 8 * next(5));
      }
    }
    const bytes = new Uint8Array(24 + 4 * words.length + strings.length);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, 0x0001eb9f, true);
    [24, 0, 4 * words.length, 4 * words.length, strings.length].forEach((word, index) =>
      view.setUint32(4 + 4 * index, word, true)
    );
    words.forEach((word, index) => view.setUint32(24 + 4 * index, word >>> 0, true));
    bytes.set(strings, 24 + 4 * words.length);
    let btf: Btf | undefined;
    if (!tried(() => btf = Btf.parse(bytes), bytes.length) || btf === undefined) {
      counts.refused++;
      continue;
    }
    counts.parsed++;
    checkFixpoint(btf);
    useAll(btf, next, bytes.length, counts);
    // Adding it to others, and to itself, keeps what it says.
    const builder = new BtfBuilder();
    const ids = builder.addAll(btf);
    const added = builder.nextId;
    assertEquals(builder.addAll(btf), ids);
    assertEquals(builder.nextId, added);
    const merged = Btf.parse(builder.bytes());
    for (const [id, newId] of ids) {
      assertEquals([merged.kindOf(newId), merged.nameOf(newId)], [btf.kindOf(id), btf.nameOf(id)]);
      assertEquals(sizeIn(merged, newId), sizeIn(btf, id));
    }
  }
  assertGreater(counts.parsed, ROUNDS / 4);
  assertGreater(counts.printed, ROUNDS / 100);
  assertGreater(counts.codecs, ROUNDS / 10);
});

Deno.test(`Btf.parse() of changed split BTF gives types that can be used, or a SyntaxError (seed ${SEED})`, () => {
  const next = random(SEED);
  const base = Btf.parse(everyKind().bytes());
  const builder = new BtfBuilder({ base });
  const int = base.find("int", "int") as number;
  builder.ptr(builder.nextId + 1);
  builder.struct("split", 16, [
    { name: "own", typeId: base.typeCount, bitsOffset: 0 },
    { name: "low", typeId: int, bitsOffset: 64, bitfieldSize: 3 },
    { name: "", typeId: builder.nextId + 1, bitsOffset: 96 },
  ]);
  builder.union("", 4, [{ name: "a", typeId: int, bitsOffset: 0 }, { name: "b", typeId: int, bitsOffset: 0 }]);
  builder.typedef("node_t", base.find("struct", "node") as number);
  const source = builder.bytes();
  const counts = counted();
  // Places in the base are places in another file.
  const length = Math.max(source.length, everyKind().bytes().length);
  for (let round = 0; round < ROUNDS; round++) {
    const bytes = mutate(next, source, next(10) === 0 ? 0 : 24);
    let btf: Btf | undefined;
    if (!tried(() => btf = Btf.parse(bytes, { base }), bytes.length) || btf === undefined) {
      counts.refused++;
      continue;
    }
    counts.parsed++;
    checkFixpoint(btf);
    useAll(btf, next, length, counts);
  }
  assertGreater(counts.parsed, ROUNDS / 4);
  assertGreater(counts.refused, ROUNDS / 20);
  assertGreater(counts.codecs, ROUNDS);
});

Deno.test(`parseBtfExt() of changed bytes gives what encodeBtfExt() gives back, or a SyntaxError (seed ${SEED})`, () => {
  const next = random(SEED);
  for (const byteOrder of ["little", "big"] as const) {
    const { builder } = everyValue(byteOrder);
    const source = encodeBtfExt({
      funcInfo: [{ section: "xdp", records: [{ insnOff: 0, typeId: 3 }, { insnOff: 8, typeId: 4 }] }],
      lineInfo: [{ section: "tc", records: [{ insnOff: 0, file: "a.c", text: "int x;", line: 77, column: 5 }] }],
      coreRelo: [{ section: "xdp", records: [{ insnOff: 16, typeId: 2, access: "0:1", kind: "type_size" }] }],
    }, builder);
    const btf = Btf.parse(builder.bytes());
    let [parsed, refused] = [0, 0];
    for (let round = 0; round < ROUNDS; round++) {
      const bytes = mutate(next, source, next(3) === 0 ? 0 : 32);
      if (!tried(() => parseBtfExt(bytes, btf), bytes.length)) {
        refused++;
        continue;
      }
      parsed++;
      const ext = parseBtfExt(bytes, btf);
      const again = encodeBtfExt(ext, builder);
      const whole = Btf.parse(builder.bytes());
      assertEquals(parseBtfExt(again, whole), ext);
      assertEquals(encodeBtfExt(parseBtfExt(again, whole), builder), again);
    }
    assertGreater(parsed, ROUNDS / 20);
    assertGreater(refused, ROUNDS / 20);
  }
});
