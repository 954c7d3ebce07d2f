import { assert, assertGreater } from "@std/assert";
import { Elf } from "../../elf/mod.ts";
import { allocate } from "../../ffi/memory.ts";
import { random } from "../_random.ts";

/** Where the numbers start: `ELF_FUZZ_SEED` tries others, `ELF_FUZZ_ROUNDS` more. */
const SEED = Number(Deno.env.get("ELF_FUZZ_SEED") ?? 0xe1f);
const ROUNDS = Number(Deno.env.get("ELF_FUZZ_ROUNDS") ?? 4000);

/** A file with a few sections: names, strings, symbols, their numbers, relocations, versions, a note, compressed bytes. */
function sample(is64: boolean, littleEndian: boolean): Uint8Array<ArrayBuffer> {
  const names = [
    "",
    ".shstrtab",
    ".symtab",
    ".text",
    ".rel.text",
    ".note",
    ".shndx",
    ".zdebug",
    ".dynsym",
    ".versym",
    ".verdef",
    ".verneed",
  ];
  const bytes = allocate(2048);
  const view = new DataView(bytes.buffer);
  const put = (at: number, ...fields: readonly (readonly [size: number, value: number])[]): void => {
    for (const [size, value] of fields) {
      if (size === 2) view.setUint16(at, value, littleEndian);
      else if (size === 4) view.setUint32(at, value, littleEndian);
      else if (size === 8) view.setBigUint64(at, BigInt(value), littleEndian);
      else bytes[at] = value;
      at += size;
    }
  };
  const word = is64 ? 8 : 4;
  bytes.set([0x7f, 0x45, 0x4c, 0x46, is64 ? 2 : 1, littleEndian ? 1 : 2, 1]);
  const headerSize = is64 ? 64 : 52;
  const sectionSize = is64 ? 64 : 40;
  const sectionsAt = 1024;
  put(
    16,
    [2, 1],
    [2, 247],
    [4, 1],
    [word, 0],
    [word, 960],
    [word, sectionsAt],
    [4, 0],
    [2, headerSize],
    [2, is64 ? 56 : 32],
    [2, 1],
    [2, sectionSize],
    [2, names.length],
    [2, 1],
  );
  let at = 100;
  const nameAt = names.map((name) => {
    const place = at - 100;
    bytes.set(new TextEncoder().encode(name), at);
    at += name.length + 1;
    return place;
  });
  const symbolSize = is64 ? 24 : 16;
  const symbol = (place: number, name: number, section: number): void =>
    is64
      ? put(place, [4, name], [1, 0x12], [1, 0], [2, section], [8, 4], [8, 8])
      : put(place, [4, name], [4, 4], [4, 8], [1, 0x12], [1, 0], [2, section]);
  for (let index = 0; index < 3; index++) symbol(300 + index * symbolSize, nameAt[index], index === 2 ? 0xffff : index);
  put(400, [word, 4], is64 ? [8, 2] : [4, 0x201]);
  put(450, [4, 4], [4, 5], [4, 3]);
  bytes.set(new TextEncoder().encode("abc\0hello"), 462);
  put(480, [4, 0], [4, 0], [4, 3]);
  put(500, [2, 0], [2, 2]);
  put(520, [2, 1], [2, 0], [2, 2], [2, 1], [4, 0], [4, 20], [4, 0], [4, 1], [4, 0]);
  put(560, [2, 1], [2, 1], [4, 1], [4, 16], [4, 0], [4, 0], [2, 0], [2, 2], [4, 1], [4, 0]);
  is64 ? put(600, [4, 1], [4, 0], [8, 10], [8, 1]) : put(600, [4, 1], [4, 10], [4, 1]);
  is64
    ? put(960, [4, 1], [4, 5], [8, 0], [8, 0], [8, 0], [8, 900], [8, 900])
    : put(960, [4, 1], [4, 0], [4, 0], [4, 0], [4, 900], [4, 900], [4, 5]);
  const section = (
    index: number,
    type: number,
    offset: number,
    size: number,
    link = 0,
    info = 0,
    entrySize = 0,
    flags = 0,
  ): void =>
    put(
      sectionsAt + index * sectionSize,
      [4, nameAt[index]],
      [4, type],
      [word, flags],
      [word, 0],
      [word, offset],
      [word, size],
      [4, link],
      [4, info],
      [word, 4],
      [word, entrySize],
    );
  section(1, 3, 100, at - 100);
  section(2, 2, 300, 3 * symbolSize, 1, 0, symbolSize);
  section(3, 1, 700, 64);
  section(4, 9, 400, 2 * word, 2, 3, 2 * word);
  section(5, 7, 450, 26);
  section(6, 18, 480, 12, 2, 0, 4);
  section(7, 1, 600, 40, 0, 0, 0, 0x800);
  section(8, 11, 300, 2 * symbolSize, 1, 0, symbolSize);
  section(9, 0x6fffffff, 500, 4, 8);
  section(10, 0x6ffffffd, 520, 28, 1);
  section(11, 0x6ffffffe, 560, 32, 1);
  return bytes;
}

/** Looks at everything that a file has. */
function readAll(bytes: Uint8Array): number {
  const elf = Elf.parse(bytes);
  let seen = elf.segments.length;
  const looks: (() => unknown)[] = [
    () => elf.symbols,
    () => elf.dynamicSymbols,
    () => elf.notes(),
    ...elf.sections.flatMap((section) => [() => section.data, () => elf.relocations(section)]),
  ];
  for (const look of looks) {
    try {
      look();
      seen++;
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
    }
  }
  return seen;
}

Deno.test("Elf.parse() reads a file of either class and byte order, and only SyntaxError escapes where it is damaged", () => {
  const next = random(SEED);
  let [read, refused] = [0, 0];
  const start = performance.now();
  for (const is64 of [true, false]) {
    for (const littleEndian of [true, false]) {
      const original = sample(is64, littleEndian);
      const whole = Elf.parse(original);
      assert(whole.symbols.length === 3 && whole.dynamicSymbols[1].version !== undefined && whole.notes().length === 1);
      assert(whole.relocations(whole.sections[3]).length === 1);
      for (let round = 0; round < ROUNDS / 4; round++) {
        const bytes = original.slice(0, next(8) === 0 ? next(original.length) : original.length);
        for (let change = next(6); change >= 0 && bytes.length > 16; change--) {
          // Mostly where something is: the header, the tables, the sections' headers.
          const at = 7 + next(bytes.length - 7);
          bytes[at] = [0, 1, 0xff, next(256)][next(4)];
        }
        try {
          if (readAll(bytes) > 0) read++;
        } catch (error) {
          if (!(error instanceof SyntaxError)) throw error;
          refused++;
        }
      }
    }
  }
  assertGreater(read, 100);
  assertGreater(refused, 100);
  assert(performance.now() - start < 60_000);
});

Deno.test("Elf.parse() does not make endless names of few bytes", () => {
  const bytes = sample(true, true);
  const strings = 1 << 20;
  const symbols = 4000;
  const large = allocate(2048 + strings + symbols * 24);
  large.set(bytes);
  large.fill(0x61, 2048, 2048 + strings - 1);
  const view = new DataView(large.buffer);
  const header = 1024 + 64;
  // The strings of symbols become one long name, and every symbol has it.
  view.setBigUint64(header + 64 + 24, BigInt(2048 + strings), true);
  view.setBigUint64(header + 64 + 32, BigInt(symbols * 24), true);
  view.setUint32(header + 64 + 40, 3, true);
  view.setBigUint64(header + 2 * 64 + 24, 2048n, true);
  view.setBigUint64(header + 2 * 64 + 32, BigInt(strings), true);
  const elf = Elf.parse(large);
  let message = "";
  try {
    elf.symbols;
  } catch (error) {
    message = (error as Error).message;
  }
  assert(message.includes("names are far longer than all strings"), message);
});
