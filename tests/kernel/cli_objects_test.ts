import { assert, assertEquals, assertGreater, assertStringIncludes } from "@std/assert";
import { kernelSince, kernelTest, type KernelTestOptions, SLOWNESS } from "../_kernel_test.ts";
import { place } from "./_objects.ts";
import { OBJECTS, ours, type Result, theirs } from "./_cli.ts";

const OPTIONS: KernelTestOptions = { needs: ["btf", "bpffs", "cgroup", "netns"], tools: ["bpftool"] };

const OURS: Tool = (...args) => ours(...args);
const THEIRS: Tool = (...args) => theirs(...args);
type Tool = (...args: string[]) => Promise<Result>;

/** All files below a folder. */
function tree(folder: string, prefix = ""): string[] {
  return [...Deno.readDirSync(`${folder}/${prefix}`)].flatMap(({ name, isDirectory }) =>
    isDirectory ? [`${prefix}${name}/`, ...tree(folder, `${prefix}${name}/`)] : [`${prefix}${name}`]
  ).sort();
}

/** What both tools make of the same, in a folder each. */
async function inBoth<T>(fn: (tool: Tool, folder: string) => Promise<T>): Promise<[T, T]> {
  const results: T[] = [];
  for (const [name, tool] of [["ours", OURS], ["theirs", THEIRS]] as const) {
    const folder = `${place("BPFFS")}/${name}`;
    Deno.mkdirSync(folder);
    try {
      results.push(await fn(tool, folder));
    } finally {
      Deno.removeSync(folder, { recursive: true });
    }
  }
  return [results[0], results[1]];
}

/** What is the same of a program or a map, whoever loaded it. */
function lasting(shown: unknown): unknown {
  if (Array.isArray(shown)) return shown.map(lasting);
  if (typeof shown !== "object" || shown === null) return shown;
  // This libbpf maps sections that have nothing for user space, too: later ones do not, and neither do we.
  if ("name" in shown && "flags" in shown && String(shown.name).endsWith(".rodata")) {
    shown = { ...shown, flags: Number(shown.flags) & ~0x400 };
  }
  const changing = ["id", "loaded_at", "btf_id", "map_ids", "pids", "bytes_memlock", "bytes_jited", "error", "tag"];
  return Object.fromEntries(
    Object.entries(shown as object).filter(([name]) => !changing.includes(name)).map((
      [name, value],
    ) => [name, lasting(value)]),
  );
}

for (const object of ["opens", "execs", "core", "calls", "tcp"]) {
  kernelTest(`bpf prog loadall makes of ${object}.bpf.o what bpftool prog loadall makes`, OPTIONS, async () => {
    const [own, other] = await inBoth(async (tool, folder) => {
      const { code, err, out } = await tool(
        "prog",
        "loadall",
        `${OBJECTS}${object}.bpf.o`,
        `${folder}/progs`,
        "pinmaps",
        `${folder}/maps`,
      );
      if (code !== 0) return { code, pinned: [], shown: [] as unknown[], said: err + out };
      const pinned = tree(folder);
      const shown: unknown[] = [];
      // Both are looked at by bpftool, so that only what was made differs.
      for (const path of pinned.filter((one) => !one.endsWith("/"))) {
        const kind = path.startsWith("progs") ? "prog" : "map";
        const show = await theirs("-j", kind, "show", "pinned", `${folder}/${path}`);
        assertEquals(show.code, 0, show.err);
        shown.push(lasting(JSON.parse(show.out)));
        if (kind === "prog") continue;
        const [dump, ownDump] = await Promise.all([
          theirs("-j", "map", "dump", "pinned", `${folder}/${path}`),
          ours("-j", "map", "dump", "pinned", `${folder}/${path}`),
        ]);
        // This bpftool writes "(unsupported)" for floating-point numbers, which is no JSON.
        if (dump.code !== 0 || dump.out.includes("(unsupport")) continue;
        assertEquals(lasting(JSON.parse(ownDump.out)), lasting(JSON.parse(dump.out)), path);
      }
      return { code, pinned, shown, said: "" };
    });
    // What this libbpf cannot load on another kernel, ours may; what it loads, ours has to load the same.
    if (other.code !== 0 && SLOWNESS > 1) return;
    assertEquals(other.code, 0, other.said);
    assertEquals(own.code, 0, own.said);
    assertEquals(own.pinned, other.pinned);
    assertGreater(own.pinned.length, 1);
    assertEquals(own.shown, other.shown);
  });
}

kernelTest("bpf prog load pins the first program, and takes a type and maps that exist", OPTIONS, async () => {
  const folder = `${place("BPFFS")}/first`;
  Deno.mkdirSync(folder);
  try {
    assertEquals((await ours("prog", "load", `${OBJECTS}opens.bpf.o`, `${folder}/one`)).err, "");
    assertEquals(tree(folder), ["one"]);
    const again = await ours("prog", "load", `${OBJECTS}opens.bpf.o`, `${folder}/one`);
    assertEquals([again.code, tree(folder)], [239, ["one"]]);
    assertStringIncludes(again.err, "File exists");
    const unknown = await ours("prog", "load", `${OBJECTS}opens.bpf.o`, `${folder}/two`, "type", "nothing");
    assertEquals([unknown.code, unknown.err, tree(folder)], [255, "Error: unknown program type 'nothing'\n", ["one"]]);
    const absent = await ours(
      "prog",
      "load",
      `${OBJECTS}opens.bpf.o`,
      `${folder}/two`,
      "map",
      "name",
      "absent",
      "name",
      "absent",
    );
    assertEquals([absent.code, tree(folder)], [255, ["one"]]);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

kernelTest("bpf gen min_core_btf keeps the types that bpftool keeps", OPTIONS, async () => {
  const folder = await Deno.makeTempDir();
  try {
    const objects = ["opens", "core", "execs", "tcp"].map((name) => `${OBJECTS}${name}.bpf.o`);
    for (const [tool, file] of [[ours, "a"], [theirs, "b"]] as const) {
      const { code, err } = await tool(
        "gen",
        "min_core_btf",
        "/sys/kernel/btf/vmlinux",
        `${folder}/${file}`,
        ...objects,
      );
      assertEquals(code, 0, err);
    }
    const [own, other] = [
      await theirs("btf", "dump", "file", `${folder}/a`),
      await theirs("btf", "dump", "file", `${folder}/b`),
    ];
    assertEquals(own.out, other.out);
    assertGreater(own.out.split("\n").length, 30);
    const shown = await ours("btf", "dump", "file", `${folder}/a`);
    assertEquals(shown.out, own.out);
    const json = await ours("-j", "btf", "dump", "file", `${folder}/a`);
    assertEquals(JSON.parse(json.out), JSON.parse((await theirs("-j", "btf", "dump", "file", `${folder}/a`)).out));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

kernelTest(
  "bpf struct_ops register and unregister register and unregister",
  { ...OPTIONS, needs: [...OPTIONS.needs ?? [], kernelSince("6.4")] },
  async () => {
    const folder = `${place("BPFFS")}/iters`;
    Deno.mkdirSync(folder);
    try {
      const registered = await ours("struct_ops", "register", `${OBJECTS}struct_ops.bpf.o`, folder);
      assertEquals(registered.code, 0, registered.err);
      assertStringIncludes(registered.out, "Registered tcp_congestion_ops");
      const names = JSON.parse((await theirs("-j", "struct_ops", "show")).out) as { name: string }[];
      assert(names.length > 0);
      for (const { name } of names) await ours("struct_ops", "unregister", "name", name);
    } finally {
      Deno.removeSync(folder, { recursive: true });
    }
  },
);
