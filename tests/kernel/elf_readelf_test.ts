import { assert, assertEquals, assertGreater, assertStringIncludes } from "@std/assert";
import { Elf } from "../../elf/mod.ts";
import { kernelTest } from "../_kernel_test.ts";
import { run } from "../_tools.ts";

const OPTIONS = { root: false, tools: ["clang-19", "readelf"] } as const;

const SOURCE = `
struct pair { int a; long b; };
static __attribute__((noinline)) int twice(struct pair *p) { return p->a * 2; }
__attribute__((section("one"), used)) int first(struct pair *p) { return twice(p) + 1; }
__attribute__((section("two"), used, weak, visibility("hidden"))) int second(struct pair *p) { return first(p) + twice(p); }
int data = 7; const char *text = "text"; long zero[32]; extern int elsewhere; int *far = &elsewhere;
`;

async function build(args: readonly string[], source = SOURCE): Promise<{ elf: Elf; path: string } & AsyncDisposable> {
  const folder = await Deno.makeTempDir();
  const dispose = (): Promise<void> => Deno.remove(folder, { recursive: true });
  try {
    await Deno.writeTextFile(`${folder}/source.c`, source);
    await Deno.writeTextFile(`${folder}/versions`, "V_1 { global: fn; use; local: *; }; V_2 { global: fn; } V_1;\n");
    const { code, stderr } = await run("clang-19", [...args, "source.c", "-o", "out"], { cwd: folder });
    assertEquals(code, 0, stderr);
    const path = `${folder}/out`;
    return { elf: Elf.parse(await Deno.readFile(path)), path, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

async function readelf(...args: string[]): Promise<string[]> {
  const { code, stdout, stderr } = await run("readelf", ["--wide", ...args], { env: { LC_ALL: "C" } });
  assertEquals(code, 0, stderr);
  return stdout.split("\n");
}

const hex = (number: number, digits = 0): string => number.toString(16).padStart(digits, "0");

/** What readelf prints of sections, symbols and segments, made of what was read. */
async function compare(elf: Elf, path: string): Promise<{ sections: number; symbols: number }> {
  const headers = await readelf("-S", path);
  const sections = headers.flatMap((line) => {
    const [, index, rest] = /^ {2}\[ *(\d+)\] (.*)$/.exec(line) ?? [];
    return index === undefined || index === "0" ? [] : [{ index: Number(index), rest }];
  });
  assertEquals(sections.length, elf.sections.length - 1);
  for (const { index, rest } of sections) {
    const { name, address, offset, size, entrySize, link, info, alignment } = elf.sections[index];
    const fields = rest.slice(name.length).trim().split(/ +/);
    assertEquals(rest.slice(0, name.length), name);
    const digits = elf.is64 ? 16 : 8;
    assertEquals(fields.slice(1, 5), [hex(address, digits), hex(offset, 6), hex(size, 6), hex(entrySize, 2)]);
    assertEquals(fields.slice(-3), [link, info, alignment].map(String));
  }
  let symbols = 0;
  for (const [option, own] of [["--syms", elf.symbols], ["--dyn-syms", elf.dynamicSymbols]] as const) {
    const lines = (await readelf(option, path)).filter((line) => /^ +\d+: /.test(line));
    // Without --dyn-syms both tables may be printed: ours come last.
    const table = lines.slice(option === "--syms" ? lines.length - own.length : 0);
    assertEquals(table.length, own.length);
    for (const [index, line] of table.entries()) {
      const [, value, size, type, binding, visibility, section, name = ""] = line.trim().split(/ +/);
      const symbol = own[index];
      const { version } = symbol;
      assertEquals(hex(symbol.value, elf.is64 ? 16 : 8), value);
      assertEquals(symbol.size, Number(size));
      const types: Record<string, string> = { IFUNC: "gnu_ifunc" };
      assertEquals(String(symbol.type), types[type] ?? type.toLowerCase());
      assertEquals(String(symbol.binding), binding.toLowerCase());
      assertEquals(symbol.visibility, visibility.toLowerCase());
      const numbers: Record<string, number> = { UND: 0, ABS: 0xfff1, COM: 0xfff2 };
      assertEquals(symbol.sectionIndex, numbers[section] ?? Number(section));
      if (symbol.type === "section") assert(symbol.name === "" || symbol.name === name);
      else {
        // The symbol of a version itself is shown without one.
        const shown = version === undefined || (symbol.sectionIndex === 0xfff1 && symbol.name === version.name)
          ? symbol.name
          : `${symbol.name}${version.isDefault && symbol.sectionIndex !== 0 ? "@@" : "@"}${version.name}`;
        assertEquals(shown, name.replace(/ \(\d+\)$/, ""));
      }
      symbols++;
    }
  }
  return { sections: sections.length, symbols };
}

for (
  const [name, args] of Object.entries({
    "an object for bpf": ["-target", "bpf", "-O2", "-g", "-c"],
    "an object for big-endian bpf": ["-target", "bpfeb", "-O2", "-g", "-c"],
    "a 32-bit object": ["-m32", "-O1", "-c"],
    "an object with compressed debug sections": ["-O1", "-g", "-gz=zlib", "-c"],
    "a program's object of big-endian 32 bits": ["-target", "powerpc-linux-gnu", "-O1", "-c"],
  })
) {
  kernelTest(`Elf.parse() reads ${name} as readelf does`, OPTIONS, async () => {
    await using built = await build(args);
    const { elf, path } = built;
    const { sections, symbols } = await compare(elf, path);
    assertGreater(sections, 5);
    assertGreater(symbols, 5);
    const lines = (await readelf("-r", path)).filter((line) => /^[0-9a-f]{8}/.test(line));
    const relocations = elf.sections.filter((section) => section.size > 0).flatMap((section) =>
      elf.sections.some(({ type, info }) => (type === 4 || type === 9) && info === section.index)
        ? elf.relocations(section).map((relocation) => ({ ...relocation, section: section.index }))
        : []
    );
    assertEquals(relocations.length, lines.length);
    // readelf goes by the tables' order.
    const tables = elf.sections.filter(({ type }) => type === 4 || type === 9);
    const ordered = tables.flatMap(({ info }) => relocations.filter(({ section }) => section === info));
    for (const [index, line] of lines.entries()) {
      const [offset, info, , value = "", ...rest] = line.split(/ +/);
      const { offset: at, symbol, type, addend } = ordered[index];
      assertEquals(at, parseInt(offset, 16));
      const number = BigInt(`0x${info}`);
      assertEquals(
        [BigInt(symbol), BigInt(type)],
        elf.is64 ? [number >> 32n, number & 0xffffffffn] : [number >> 8n, number & 0xffn],
      );
      if (value !== "") assertEquals(elf.symbols[symbol].value, parseInt(value, 16));
      if (addend === undefined) assert(!line.includes(" + "));
      else assertEquals(Math.abs(addend), parseInt(rest.at(-1) ?? "0", 16));
    }
  });
}

kernelTest("Elf.parse() reads libraries with versions, notes and segments as readelf does", OPTIONS, async () => {
  const source = `
    int old(void) { return 1; } int new(void) { return 2; }
    __asm__(".symver old, fn@V_1"); __asm__(".symver new, fn@@V_2");
    __asm__(".pushsection .note.testers,\\"\\",@note\\n.balign 4\\n.4byte 8, 5, 3\\n.asciz \\"testers\\"\\n"
            ".ascii \\"hello\\"\\n.balign 4\\n.popsection");
    extern int puts(const char *); int use(void) { return puts("x"); }
  `;
  await using built = await build(
    ["-shared", "-fPIC", "-O1", "-Wl,--build-id=sha1", "-Wl,--version-script=versions"],
    source,
  );
  const { elf, path } = built;
  await compare(elf, path);
  const versions = elf.dynamicSymbols.filter(({ name }) => name === "fn").map(({ version }) => version);
  assertEquals(versions.sort((one, other) => one!.name < other!.name ? -1 : 1), [
    { name: "V_1", isDefault: false },
    { name: "V_2", isDefault: true },
  ]);
  const notes = elf.notes();
  assertEquals(notes.map(({ name, type }) => [name, type]).filter(([name]) => name === "testers"), [["testers", 3]]);
  assertEquals(new TextDecoder().decode(notes.find(({ name }) => name === "testers")?.data), "hello");
  const id = [...notes.find(({ name, type }) => name === "GNU" && type === 3)!.data].map((byte) => hex(byte, 2)).join(
    "",
  );
  assertStringIncludes((await readelf("-n", path)).join("\n"), id);
  const loads = (await readelf("-l", path)).flatMap((line) =>
    /^ +LOAD +(\S+) (\S+) \S+ (\S+)/.exec(line)?.slice(1) ?? []
  );
  const segments = elf.segments.filter(({ type }) => type === 1);
  assertEquals(loads.map(Number), segments.flatMap(({ offset, address, fileSize }) => [offset, address, fileSize]));
  const use = elf.symbols.find(({ name }) => name === "use")!;
  const text = elf.sections[use.sectionIndex];
  assertEquals(elf.fileOffset(use.value), use.value - text.address + text.offset);
  assertEquals(elf.fileOffset(2 ** 40), undefined);
});

kernelTest("Elf.parse() reads the C library's symbols and their versions as readelf does", OPTIONS, async () => {
  const maps = await Deno.readTextFile("/proc/self/maps");
  const path = /\S+\/libc\.so\.6$/m.exec(maps)![0];
  const elf = Elf.parse(await Deno.readFile(path));
  const { symbols } = await compare(elf, path);
  assertGreater(symbols, 2000);
});

kernelTest("Elf.parse() decompresses sections", OPTIONS, async () => {
  await using plain = await build(["-O1", "-g", "-c"]);
  await using packed = await build(["-O1", "-g", "-gz=zlib", "-c"]);
  const compressed = packed.elf.sections.filter(({ flags }) => (flags & 0x800) !== 0);
  assertGreater(compressed.length, 0);
  for (const section of compressed) assertEquals(section.data, plain.elf.section(section.name)!.data);
});
