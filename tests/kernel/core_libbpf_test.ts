import { assert, assertEquals, assertGreater } from "@std/assert";
import { Btf, CoreResolver, parseBtfExt, patchCoreInsn } from "../../btf/mod.ts";
import { Elf } from "../../elf/mod.ts";
import { kernelTest } from "../_kernel_test.ts";
import { run } from "../_tools.ts";
import { notEmulated } from "../_kernel_test.ts";
import { random } from "../_random.ts";

const OPTIONS = {
  tools: ["clang-19", "cc"],
  needs: [notEmulated("compiling dozens of programs")],
} as const;

const SEED = Number(Deno.env.get("CORE_SEED") ?? 0xc0de);
const ROUNDS = Number(Deno.env.get("CORE_ROUNDS") ?? 24);

/** A folder with libbpf's answers in it. */
class Workshop implements AsyncDisposable {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async open(): Promise<Workshop> {
    const shop = new Workshop(await Deno.makeTempDir());
    const source = decodeURIComponent(new URL("core_libbpf.c", import.meta.url).pathname);
    await shop.#do("cc", "-O1", "-o", "oracle", source, "-lbpf");
    return shop;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.folder, { recursive: true });
  }

  async #do(command: string, ...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await run(command, args, { cwd: this.folder });
    assertEquals(code, 0, `${command} ${args.join(" ")}\n${stderr}`);
    return stdout;
  }

  /** Compiles C; undefined where the compiler ends over a bitfield that no instruction could load. */
  async compile(name: string, source: string): Promise<Elf | undefined> {
    await Deno.writeTextFile(`${this.folder}/${name}.c`, source);
    const flags = ["-target", "bpf", "-O2", "-g", "-Wno-everything", "-fno-crash-diagnostics"];
    const args = [...flags, "-c", `${name}.c`, "-o", `${name}.o`];
    const { code, stderr } = await run("clang-19", args, { cwd: this.folder });
    if (stderr.includes("cross alignment boundary")) return undefined;
    assertEquals(code, 0, stderr);
    return Elf.parse(await Deno.readFile(`${this.folder}/${name}.o`));
  }

  /** The instructions of each program after libbpf has adapted them; undefined where it could not. */
  async libbpf(): Promise<{ programs: Map<string, string>; texts: string[] } | undefined> {
    const text = await this.#do(`${this.folder}/oracle`, "local.o", "target.o");
    const lines = text.trim().split("\n");
    if (lines.at(-1) === "failed") return undefined;
    const programs = lines.filter((line) => !line.startsWith("#")).map((line) => line.split(" ") as [string, string]);
    return {
      programs: new Map(programs),
      texts: lines.filter((line) => line.startsWith("#")).map((line) => line.slice(2)),
    };
  }
}

const btfOf = (elf: Elf): Btf => Btf.parse(elf.section(".BTF")!.data);

/** The instructions of each program after we have adapted them. */
function ours(
  elf: Elf,
  kernel: Btf,
): { programs: Map<string, string>; relocations: number; poisoned: number; texts: string[] } {
  const local = btfOf(elf);
  const resolver = new CoreResolver(local, { kernel });
  const ext = parseBtfExt(elf.section(".BTF.ext")!.data, local);
  const programs = new Map<string, string>();
  const texts: string[] = [];
  let [relocations, poisoned] = [0, 0];
  for (const symbol of elf.symbols) {
    if (symbol.type !== "func") continue;
    const section = elf.sections[symbol.sectionIndex];
    const insns = section.data.slice(symbol.value, symbol.value + symbol.size);
    const records = ext.coreRelo.find((part) => part.section === section.name)?.records ?? [];
    for (const relo of records) {
      if (relo.insnOff < symbol.value || relo.insnOff >= symbol.value + symbol.size) continue;
      const result = resolver.resolve(relo);
      texts.push(result.text);
      if (patchCoreInsn(insns, (relo.insnOff - symbol.value) / 8, result)) poisoned++;
      relocations++;
    }
    programs.set(symbol.name, [...insns].map((byte) => byte.toString(16).padStart(2, "0")).join(""));
  }
  return { programs, relocations, poisoned, texts };
}

/** Types and accesses made up: what a program was compiled with, and what the kernel has instead. */
function makeUp(next: (below: number) => number): { local: string; target: string } {
  const pick = <T>(list: readonly T[]): T => list[next(list.length)];
  const chance = (percent: number): boolean => next(100) < percent;
  const scalars = [
    "char",
    "unsigned char",
    "short",
    "unsigned short",
    "int",
    "unsigned int",
    "long",
    "unsigned long",
    "_Bool",
  ];
  const kinds = 4;
  const head = `
typedef int number; typedef const volatile unsigned long word;
enum color { RED = 1, GREEN = ${next(100)}, BLUE = -5 };
enum big { HUGE = 0x1${next(1000)}00000000ULL, SMALL = 7 };
`;
  interface Field {
    name: string;
    /** The declaration, with % where the name goes. */
    type: string;
    bits: number;
    inner?: Field[];
    isUnion?: boolean;
  }
  let names = 0;
  const fields = (depth: number): Field[] =>
    Array.from({ length: 1 + next(5) }, (): Field => {
      const name = `m${names++}`;
      if (depth < 2 && chance(15)) {
        return { name: chance(50) ? "" : name, type: "", bits: 0, inner: fields(depth + 1), isUnion: chance(40) };
      }
      if (chance(15)) {
        return {
          name,
          type: pick(["int %", "unsigned int %", "unsigned long %", "enum color %", "unsigned char %"]),
          bits: 1 + next(8),
        };
      }
      return {
        name,
        type: pick([
          ...scalars.map((scalar) => `${scalar} %`),
          "void *%",
          "struct other *%",
          "number %",
          "word %",
          "enum color %",
          "enum big %",
          "int (*%)(int, long)",
          `${pick(scalars)} %[${1 + next(6)}]`,
          `struct point %`,
          `struct point %[${1 + next(3)}]`,
          `int %[2][3]`,
        ]),
        bits: 0,
      };
    });
  const declare = (list: readonly Field[]): string =>
    list.map(({ name, type, bits, inner, isUnion }) =>
      inner === undefined
        ? `${type.replace("%", name)}${bits > 0 ? `:${bits}` : ""};`
        : `${isUnion ? "union" : "struct"} { ${declare(inner)} } ${name};`
    ).join(" ");
  /** As another kernel has it: in another order, larger, smaller, gone, or one struct deeper. */
  const change = (list: readonly Field[]): Field[] => {
    const changed = list.filter(() => chance(92)).map((field): Field => {
      if (field.inner !== undefined) return { ...field, inner: change(field.inner) };
      if (field.bits > 0) return chance(30) ? { ...field, bits: 1 + next(8) } : field;
      if (chance(75)) return field;
      if (/^(unsigned )?(char|short|int|long) %$/.test(field.type)) return { ...field, type: `${pick(scalars)} %` };
      const array = /^(.*%)\[(\d)\]$/.exec(field.type);
      if (array !== null) return { ...field, type: `${array[1]}[${pick([0, 1, Number(array[2]) + 2])}]` };
      return chance(50) ? { ...field, type: "struct point %" } : field;
    });
    for (let index = changed.length - 1; index > 0; index--) {
      if (chance(40)) {
        const other = next(index + 1);
        [changed[index], changed[other]] = [changed[other], changed[index]];
      }
    }
    if (chance(40)) {
      changed.unshift({ name: `added${next(1000)}`, type: pick(["long %", "char %[3]", "void *%"]), bits: 0 });
    }
    return chance(25)
      ? [{
        name: "",
        type: "",
        bits: 0,
        inner: changed.length > 0 ? changed : [{ name: "x", type: "int %", bits: 0 }],
        isUnion: false,
      }]
      : changed;
  };
  /** Every way to a field, and whether what is there can be loaded. */
  const ways = (list: readonly Field[], prefix: string): { path: string; field: Field; loads: boolean }[] =>
    list.flatMap((field) => {
      const path = field.name === "" ? prefix : `${prefix}.${field.name}`;
      if (field.inner !== undefined) return ways(field.inner, path);
      const { type, bits } = field;
      const dimensions = [...type.matchAll(/\[(\d)\]/g)].map(([, count]) => Number(count));
      const indexed = path + dimensions.map((count) => `[${next(Math.max(count, 1))}]`).join("");
      const isStruct = /^struct point %/.test(type);
      const whole = isStruct ? `${indexed}.${pick(["x", "y"])}` : indexed;
      return [
        { path: whole, field, loads: bits === 0 },
        ...(dimensions.length > 0 && chance(40) ? [{ path, field, loads: false }] : []),
      ];
    });
  let local = head;
  let target = head.replace("BLUE = -5", pick(["BLUE = -5", "BLUE = 9, WHITE = 3", "WHITE"])).replace(
    "SMALL = 7",
    pick(["SMALL = 7", "TINY = 1"]),
  );
  const flavored = chance(40);
  local += `struct point { ${pick(["int x, y;", "long y; int x;"])} };\n`;
  target += `struct point { ${pick(["int x, y;", "char z; short y; int x;", "int x;", "unsigned x; char y[2];"])} };\n`;
  const uses: string[] = [];
  const programs: string[] = [];
  for (let index = 0; index < kinds; index++) {
    const list = fields(0);
    const name = `s${index}`;
    const localName = flavored ? `${name}___local` : name;
    const tag = chance(20) ? "union" : "struct";
    local += `typedef ${tag} ${localName} { ${declare(list)} } t${index};\n`;
    const other = chance(10) ? (tag === "struct" ? "union" : "struct") : tag;
    if (chance(92)) target += `typedef ${other} ${name} { ${declare(change(list))} } t${index};\n`;
    if (chance(15)) target += `${tag} ${name}___flavor { ${declare(list)} };\n`;
    uses.push(`${tag} ${localName}`);
    const lines: string[] = [];
    for (const { path, field, loads } of ways(list, "")) {
      const place = `p->${path.slice(1)}`;
      for (let info = 0; info <= 5; info++) {
        // The compiler has signedness and shifts of numbers only.
        if (chance(60)) continue;
        if (info >= 3 && field.bits === 0 && !/^(unsigned )?(char|short|int|long) %$/.test(field.type)) continue;
        lines.push(`sum += __builtin_preserve_field_info(${place}, ${info});`);
      }
      if (loads && chance(50)) lines.push(`sum += (unsigned long)${place};`);
    }
    const typed = chance(30) ? `t${index}` : `${tag} ${localName}`;
    for (const info of [0, 1, 2]) {
      if (chance(50)) lines.push(`sum += __builtin_preserve_type_info(*(${typed} *)0, ${info});`);
    }
    for (const info of [0, 1]) if (chance(50)) lines.push(`sum += __builtin_btf_type_id(*(${typed} *)0, ${info});`);
    for (
      const [type, value] of [["color", "RED"], ["color", "GREEN"], ["color", "BLUE"], ["big", "HUGE"], [
        "big",
        "SMALL",
      ]]
    ) {
      for (const info of [0, 1]) {
        if (chance(25)) lines.push(`sum += __builtin_preserve_enum_value(*(typeof(enum ${type}) *)${value}, ${info});`);
      }
    }
    programs.push(`SEC int prog${index}(${typed} *p) { unsigned long sum = 0; ${lines.join("\n  ")} return sum; }`);
  }
  const attribute = "#pragma clang attribute push (__attribute__((preserve_access_index)), apply_to = record)\n";
  local = `#define SEC __attribute__((section("raw_tp/x"), used))\n${attribute}${local}#pragma clang attribute pop\n${
    programs.join("\n")
  }\nchar gpl[] __attribute__((section("license"))) = "GPL";\n`;
  target += Array.from(
    { length: kinds },
    (_, index) => `${target.includes(`} t${index};`) ? `t${index} *use${index};` : ""}`,
  ).join("\n");
  target += [...target.matchAll(/(struct|union) s\d___flavor/g)].map(([type], index) => `\n${type} *flavor${index};`)
    .join("");
  target += "\nenum color one; enum big two;\n";
  return { local, target };
}

kernelTest("CoreResolver and patchCoreInsn() make of made-up types what libbpf makes", OPTIONS, async () => {
  await using shop = await Workshop.open();
  const next = random(SEED);
  let [relocations, poisoned, refused, compared] = [0, 0, 0, 0];
  for (let round = 0; round < ROUNDS; round++) {
    const { local, target } = makeUp(next);
    const object = await shop.compile("local", local);
    if (object === undefined) continue;
    const kernel = btfOf((await shop.compile("target", target))!);
    const expected = await shop.libbpf();
    let own;
    try {
      own = ours(object, kernel);
    } catch (error) {
      assertEquals(expected, undefined, `round ${round}: only we refuse: ${error}\n${local}\n${target}`);
      refused++;
      continue;
    }
    assert(expected !== undefined, `round ${round}: only libbpf refuses\n${local}\n${target}`);
    assertEquals(own.texts.sort(), expected.texts.sort());
    for (const [name, insns] of expected.programs) {
      assertEquals(own.programs.get(name), insns, `round ${round}, ${name}\n${local}\n${target}`);
      compared++;
    }
    relocations += own.relocations;
    poisoned += own.poisoned;
  }
  assertGreater(compared, ROUNDS);
  assertGreater(relocations, 20 * ROUNDS);
  assertGreater(poisoned, ROUNDS);
  assertGreater(refused, 0);
});
