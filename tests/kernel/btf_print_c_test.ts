import { assert, assertEquals, assertGreater } from "@std/assert";
import { Btf, printC } from "../../btf/mod.ts";
import { CPrinter } from "../../btf/_c_printer.ts";
import { BtfDump, type DumpedType } from "../_btf_dump.ts";
import { kernelTest, SLOWNESS } from "../_kernel_test.ts";
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
  { needs: ["btf"], tools: ["bpftool", "clang-19"] },
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
