import { assert, assertEquals, assertGreater } from "@std/assert";
import { Btf, printC } from "../../btf/mod.ts";
import { CPrinter } from "../../btf/_c_printer.ts";
import { BtfDump, type DumpedType } from "../_btf_dump.ts";
import { kernelTest, notEmulated, SLOWNESS } from "../_kernel_test.ts";
import { run } from "../_tools.ts";

const VMLINUX = "/sys/kernel/btf/vmlinux";

/** Compiles C for the bpf target. */
async function compile(source: string, options: readonly string[] = []): Promise<void> {
  const { code, stderr } = await run("clang-19", ["-target", "bpf", "-fsyntax-only", ...options, "-x", "c", "-"], {
    stdin: source,
    timeoutMs: 60_000 * SLOWNESS,
  });
  assertEquals(code, 0, stderr.slice(0, 4000));
}

/** Assertions about C types that say what bpftool read. */
class Assertions {
  readonly lines: string[] = [];
  members = 0;
  bitfields = 0;
  readonly #dump: BtfDump;

  constructor(dump: BtfDump) {
    this.#dump = dump;
  }

  ofType(name: string, type: DumpedType): void {
    this.lines.push(`_Static_assert(sizeof(${name}) == ${type.size}, "${type.id} size");`);
    this.#ofMembers(name, type, "", 0);
  }

  #ofMembers(name: string, type: DumpedType, path: string, base: number): void {
    for (const member of type.members) {
      const bit = base + member.bits_offset;
      const inner = this.#dump.behind(member.type_id);
      const isComposite = inner?.kind === "STRUCT" || inner?.kind === "UNION";
      if (member.bitfield_size) {
        this.bitfields++;
        continue;
      }
      if (member.name === "(anon)") {
        assert(isComposite && inner, `${name} has an anonymous member of type ${member.type_id}`);
        this.#ofMembers(name, inner, path, bit);
        continue;
      }
      const place = path + member.name;
      const size = this.#dump.size(member.type_id);
      this.members++;
      this.lines.push(
        `_Static_assert(__builtin_offsetof(${name}, ${place}) == ${bit / 8}, "${type.id} ${place}");`,
        `_Static_assert(sizeof(((${name} *)0)->${place}) == ${size}, "${type.id} ${place} size");`,
      );
      // A struct without a name is seen by its members alone.
      if (isComposite && inner?.name === "(anon)") this.#ofMembers(name, inner, `${place}.`, bit);
    }
  }
}

kernelTest(
  "printC() of vmlinux compiles for bpf, with the size and offsets that BTF tells of every struct",
  { needs: [notEmulated("compiling all of vmlinux"), "btf"], tools: ["bpftool", "clang-19"] },
  async () => {
    const btf = Btf.parse(await Deno.readFile(VMLINUX));
    const dump = await BtfDump.ask(["file", VMLINUX]);
    const header = printC(btf);
    const printer = new CPrinter(btf);
    printer.all();
    assert(header.includes(printer.text()));
    const assertions = new Assertions(dump);
    let types = 0;
    const names = new Set<string>();
    for (const type of dump.types) {
      const target = type.kind === "TYPEDEF" ? dump.behind(type.id) : type;
      if (type.name === "(anon)" || (target?.kind !== "STRUCT" && target?.kind !== "UNION")) continue;
      const name = printer.nameOf(type.id);
      assert(name !== undefined && !names.has(name), `${type.name} is ${name}`);
      names.add(name);
      if (type.kind !== "TYPEDEF" || target.name === "(anon)") assertions.ofType(name, target);
      types++;
    }
    for (const type of dump.types) {
      if (type.name === "(anon)" || !type.kind.startsWith("ENUM") || type.vlen === 0) continue;
      assertions.lines.push(`_Static_assert(sizeof(${printer.nameOf(type.id)}) == ${type.size}, "${type.id} enum");`);
    }
    assertGreater(types, 5000);
    assertGreater(assertions.members, 40_000);
    assertGreater(assertions.bitfields, 500);
    await compile(`${header}\n${assertions.lines.join("\n")}\n`);
  },
);

/** The named members of a struct, those of types without a name included: name, place and width of bitfields. */
function flattened(dump: BtfDump, type: DumpedType, path = "", base = 0): string[] {
  return type.members.flatMap((member) => {
    const bit = base + member.bits_offset;
    const inner = dump.behind(member.type_id);
    if (/^__btf_pad\d+$/.test(member.name)) return [];
    const name = member.name === "(anon)" ? path : `${path}${member.name}.`;
    const own = member.name === "(anon)" ? [] : [`${name} ${bit} ${member.bitfield_size ?? 0}`];
    const isOpen = (inner?.kind === "STRUCT" || inner?.kind === "UNION") &&
      (inner.name === "(anon)" || member.name === "(anon)");
    return isOpen ? [...own, ...flattened(dump, inner, name, bit)] : own;
  });
}

kernelTest(
  "printC() of vmlinux has every bitfield where BTF says, by the BTF that clang makes of it",
  { needs: ["btf"], tools: ["bpftool", "clang-19"] },
  async () => {
    const btf = Btf.parse(await Deno.readFile(VMLINUX));
    const dump = await BtfDump.ask(["file", VMLINUX]);
    const printer = new CPrinter(btf);
    const ids = new Map<string, number>();
    let uses = "";
    for (const type of dump.types) {
      if ((type.kind !== "STRUCT" && type.kind !== "UNION") || type.name === "(anon)") continue;
      if (!flattened(dump, type).some((member) => !member.endsWith(" 0"))) continue;
      printer.one(type.id);
      const name = printer.nameOf(type.id) as string;
      ids.set(name, type.id);
      uses += `${name} *used_${type.id};\n`;
    }
    const folder = await Deno.makeTempDir();
    try {
      await Deno.writeTextFile(`${folder}/used.c`, printer.text() + uses);
      const options = ["-target", "bpf", "-g", "-c", `${folder}/used.c`, "-o", `${folder}/used.o`];
      const { code, stderr } = await run("clang-19", options, { timeoutMs: 120_000 * SLOWNESS });
      assertEquals(code, 0, stderr.slice(0, 4000));
      const made = await BtfDump.ask(["file", `${folder}/used.o`]);
      let [structs, bitfields] = [0, 0];
      for (const type of made.types) {
        const id = ids.get(`${type.kind.toLowerCase()} ${type.name}`);
        if (id === undefined) continue;
        const [theirs, ours] = [flattened(dump, dump.get(id)), flattened(made, type)];
        assertEquals(ours, theirs, type.name);
        assertEquals(type.size, dump.get(id).size, type.name);
        structs++;
        bitfields += theirs.filter((member) => !member.endsWith(" 0")).length;
      }
      assertEquals(structs, ids.size);
      assertGreater(structs, 200);
      assertGreater(bitfields, 1000);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);

kernelTest(
  "printC() of one type prints what it needs, and clang takes it alone",
  { needs: ["btf"], tools: ["clang-19"] },
  async () => {
    const btf = Btf.parse(await Deno.readFile(VMLINUX));
    const names = ["task_struct", "sk_buff", "file", "bpf_prog", "net_device", "inode", "mm_struct", "page"];
    for (const name of names) {
      const id = btf.find("struct", name) as number;
      const text = printC(btf, [id]);
      assert(text.length < 400_000, `${name}: ${text.length} characters`);
      await compile(`${text}\n_Static_assert(sizeof(struct ${name}) == ${btf.sizeOf(id)}, "size");\n`);
    }
    const functions = ["vfs_read", "tcp_v4_connect", "bpf_prog_put"].map((name) => btf.find("func", name) as number);
    const text = printC(btf, functions);
    await compile(`${text}\nint test(void) { return vfs_read == 0 && tcp_v4_connect == 0; }\n`);
  },
);
