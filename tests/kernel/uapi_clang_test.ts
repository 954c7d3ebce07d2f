import { assertEquals, assertGreaterOrEqual, assertStringIncludes } from "@std/assert";
import { attrLayouts } from "../../uapi/attr.gen.ts";
import { structLayouts } from "../../uapi/structs.gen.ts";
import { BtfOracle } from "../_btf_oracle.ts";
import { kernelSince, kernelTest, type KernelTestOptions } from "../_kernel_test.ts";
import { listedFields } from "../_layouts.ts";
import { hasTool, run, type RunResult } from "../_tools.ts";

const CLANG = hasTool("clang-19") ? "clang-19" : "clang";
const OPTIONS: KernelTestOptions = { root: false, needs: ["btf", kernelSince("6.1")], tools: ["bpftool", CLANG] };

/** The types of uapi/ that are unions in C. */
const UNIONS: ReadonlySet<string> = new Set(["bpf_attr", "bpf_iter_link_info"]);

/** How C names a type. */
function cName(type: string): string {
  return `${UNIONS.has(type) ? "union" : "struct"} ${type}`;
}

function offsetIs(type: string, path: string, offset: number): string {
  return `_Static_assert(__builtin_offsetof(${cName(type)}, ${path}) == ${offset}, "offset of ${type}.${path}");`;
}

function sizeIs(type: string, path: string, size: number): string {
  return `_Static_assert(sizeof(((${cName(type)} *)0)->${path}) == ${size}, "size of ${type}.${path}");`;
}

/**
 * Each offset, size and whole struct as a line of C. Which fields there are is asked of the kernel's BTF; bitfields,
 * which offsetof does not take, and arrays without a size stay with the comparison with BTF.
 */
function assertions(types: BtfOracle): Set<string> {
  const lines = new Set<string>();
  for (const { type, path, place } of listedFields()) {
    if (types.fieldsOf(type)?.has(path) !== true || place.bits !== undefined) continue;
    lines.add(offsetIs(type, path, place.offset));
    if (place.size > 0) lines.add(sizeIs(type, path, place.size));
  }
  for (const [name, { size, fields }] of Object.entries(structLayouts)) {
    const known = types.fieldsOf(name);
    if (known === undefined || Object.keys(fields).some((field) => !known.has(field))) continue;
    lines.add(`_Static_assert(sizeof(${cName(name)}) == ${size}, "size of ${name}");`);
  }
  return lines;
}

/** Compiles lines of C behind the running kernel's own types. */
async function compile(lines: Iterable<string>): Promise<RunResult> {
  const folder = await Deno.makeTempDir();
  try {
    const header = await run("bpftool", ["btf", "dump", "file", "/sys/kernel/btf/vmlinux", "format", "c"]);
    assertEquals(header.code, 0, header.stderr);
    await Deno.writeTextFile(`${folder}/vmlinux.h`, header.stdout);
    const stdin = `#include "vmlinux.h"\n${[...lines].join("\n")}\n`;
    return await run(CLANG, ["-target", "bpf", "-fsyntax-only", "-ferror-limit=0", "-I", folder, "-x", "c", "-"], {
      stdin,
      timeoutMs: 60_000,
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function kernelTypes(): BtfOracle {
  return new BtfOracle(Deno.readFileSync("/sys/kernel/btf/vmlinux"));
}

kernelTest("attrLayouts and structLayouts agree with the C compiler over the kernel's header", OPTIONS, async () => {
  const lines = assertions(kernelTypes());
  const { code, stderr } = await compile(lines);
  const errors = stderr.split("\n").filter((line) => line.includes("error:"));
  console.log(`${lines.size} assertions compiled for kernel ${Deno.osRelease()}`);
  assertEquals(errors, []);
  assertEquals(code, 0, stderr);
  assertGreaterOrEqual(lines.size, 600);
});

kernelTest("the C compiler refuses a wrong offset, a wrong size and an unknown member", OPTIONS, async () => {
  const { link_create: { member, fields } } = attrLayouts;
  const path = `${member}.attach_type`;
  const { code, stderr } = await compile([
    offsetIs("bpf_attr", path, fields.attach_type.offset + 4),
    sizeIs("bpf_attr", path, fields.attach_type.size * 2),
    offsetIs("bpf_attr", `${member}.no_such_field`, 0),
  ]);
  assertEquals(code, 1);
  assertStringIncludes(stderr, `offset of bpf_attr.${path}`);
  assertStringIncludes(stderr, `size of bpf_attr.${path}`);
  assertStringIncludes(stderr, "no_such_field");
  assertEquals(stderr.split("\n").filter((line) => line.includes("error:")).length, 3);
});
