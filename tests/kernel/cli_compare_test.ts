import { assertEquals, assertStringIncludes } from "@std/assert";
import { mapUpdateElem } from "../../cmds/map_elem.ts";
import { mapCreate, type MapCreateOptions } from "../../cmds/map.ts";
import { possibleCpus } from "../../ffi/cpus.ts";
import { kernelTest, type KernelTestOptions } from "../_kernel_test.ts";
import { run } from "../_tools.ts";
import { hashMap, place, rootToken } from "./_objects.ts";
import { zoo } from "./_zoo.ts";
import { OBJECTS, ours, theirs } from "./_cli.ts";

const OPTIONS: KernelTestOptions = { needs: ["btf", "bpffs", "cgroup", "netns"], tools: ["bpftool"] };

/** The same output and exit code, letter for letter. */
async function same(...args: string[]): Promise<string> {
  const [own, other] = [await ours(...args), await theirs(...args)];
  assertEquals([own.code, own.out], [other.code, other.out], args.join(" "));
  return own.out;
}

kernelTest("bpf shows elements of any width in the lines that bpftool has for them", OPTIONS, async () => {
  const token = rootToken();
  const sizes = [[4, 8], [8, 16], [12, 16], [16, 16], [4, 20], [17, 4], [20, 4], [1, 1], [4, 17], [16, 8], [40, 40]];
  for (const type of ["hash", "percpu_hash"] as const) {
    for (const [keySize, valueSize] of sizes) {
      using map = mapCreate(token, { type, keySize, valueSize, maxEntries: 2, name: "widths" } as MapCreateOptions);
      const value = new Uint8Array(type === "hash" ? valueSize : Math.ceil(valueSize / 8) * 8 * possibleCpus()).fill(7);
      mapUpdateElem(token, map, { key: new Uint8Array(keySize).fill(1), value });
      await same("map", "dump", "name", "widths");
      await same("map", "lookup", "name", "widths", "key", ...Array(keySize).fill("1"));
    }
  }
  for (const valueSize of [8, 20]) {
    using queue = mapCreate(token, { type: "queue", keySize: 0, valueSize, maxEntries: 2, name: "widths" });
    mapUpdateElem(token, queue, { value: new Uint8Array(valueSize).fill(7) });
    await same("map", "peek", "name", "widths");
  }
  for (const type of ["cpumap", "devmap", "devmap_hash", "xskmap", "perf_event_array", "cgroup_array"] as const) {
    using _map = mapCreate(
      token,
      { type, keySize: 4, valueSize: 4, maxEntries: 2, name: "widths" } as MapCreateOptions,
    );
    await same("map", "dump", "name", "widths");
    await same("map", "lookup", "name", "widths", "key", "0", "0", "0", "0");
  }
});

kernelTest("bpf map dump of several maps of a name tells them apart as bpftool does", OPTIONS, async () => {
  using _first = hashMap(rootToken(), { name: "twins" });
  using second = hashMap(rootToken(), { name: "twins" });
  mapUpdateElem(rootToken(), second, { key: new Uint8Array(4), value: new Uint8Array(8).fill(1) });
  assertStringIncludes(await same("map", "dump", "name", "twins"), "Found 1 element");
  for (const json of ["-j", "-p"]) await same(json, "map", "dump", "name", "twins");
});

kernelTest("bpf shows programs and types of compiled objects as bpftool does", OPTIONS, async () => {
  const folder = `${place("BPFFS")}/compared`;
  Deno.mkdirSync(folder);
  try {
    for (const object of ["calls", "globals"]) {
      const { code, err } = await ours(
        ...[
          "prog",
          "loadall",
          `${OBJECTS}${object}.bpf.o`,
          `${folder}/${object}`,
          "pinmaps",
          `${folder}/${object}_maps`,
        ],
      );
      assertEquals(code, 0, err);
      for (const { name } of Deno.readDirSync(`${folder}/${object}`)) {
        const prog = ["pinned", `${folder}/${object}/${name}`];
        await same("prog", "dump", "xlated", ...prog, "linum");
        await same("-p", "prog", "dump", "xlated", ...prog, "linum");
        await same("-j", "prog", "dump", "xlated", ...prog, "opcodes");
        // Later bpftools name what is called here, too.
        const graph = (await ours("prog", "dump", "xlated", ...prog, "visual")).out.replace(/#bpf_prog_\w+/g, "");
        // This one takes a call at a block's end for a jump, too, and draws two edges.
        const { out } = await theirs("prog", "dump", "xlated", ...prog, "visual");
        assertEquals(graph, out.replace(/^(.* -> .*\n)\1/gm, "$1"));
        await same("btf", "dump", "prog", ...prog);
        await same("btf", "dump", "prog", ...prog, "format", "c");
      }
      for (const { name } of Deno.readDirSync(`${folder}/${object}_maps`)) {
        const map = ["map", "pinned", `${folder}/${object}_maps/${name}`];
        await same("btf", "dump", ...map);
        await same("btf", "dump", ...map, "format", "c");
        if (object !== "globals") continue;
        for (const what of ["key", "value", "kv", "all"]) await same("-j", "btf", "dump", ...map, what);
      }
    }
    const lines = (await ours("prog", "dump", "xlated", "pinned", `${folder}/calls/looping`, "visual", "linum")).out;
    assertStringIncludes(lines, "; int looping(struct __sk_buff *skb) \\{ [./calls.bpf.c:35]\\l");
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

kernelTest("bpf btf dump format c is a header that C compilers take, guarded once", {
  ...OPTIONS,
  tools: ["bpftool", "clang-19"],
}, async () => {
  const { out } = await ours("btf", "dump", "file", `${OBJECTS}core.bpf.o`, "format", "c");
  assertEquals(out.match(/#ifndef __VMLINUX_H__/g)?.length, 1);
  const struct = /^struct (\w+) \{/m.exec(out)?.[1];
  const { code, stderr } = await run("clang-19", ["-target", "bpf", "-fsyntax-only", "-x", "c", "-"], {
    stdin: `${out}\nint size = sizeof(struct ${struct});\n`,
  });
  assertEquals(code, 0, stderr);
});

kernelTest("bpf shows cgroups, types, batches and errors in the form that bpftool gives them", OPTIONS, async () => {
  await using animals = await zoo(rootToken());
  using _map = hashMap(rootToken(), { name: "batched" });
  assertStringIncludes(await same("cgroup", "tree", animals.cgroup), "CgroupPath\n");
  const parent = animals.cgroup.slice(0, animals.cgroup.lastIndexOf("/"));
  assertStringIncludes(await same("cgroup", "tree", parent), "\n    ");
  await same("cgroup", "tree", `${parent}/`);
  await same("-j", "btf", "show", "id", "1");
  await same("-p", "map", "show", "id", "999999999");
  const file = await Deno.makeTempFile();
  try {
    const commands = ["map show name batched", "map lookup name batched key 1 0 0 0", "map show"];
    await Deno.writeTextFile(file, `${commands.join("\n")}\n`);
    for (const json of ["-j", "-p"]) await same(json, "batch", "file", file);
  } finally {
    await Deno.remove(file);
  }
  const cases = [
    ["btf", "show", "id", "999999999"],
    ["btf", "dump", "map", "name", "m_hash"],
    ["net", "attach", "xdp", "name", "counting", "dev", "nowhere"],
    ["net", "attach", "frob", "name", "counting", "dev", "lo"],
    ["prog", "attach", "name", "counting", "nope", "name", "m_sockmap"],
    ["prog", "pin", "name", "counting", `${animals.folder}/no/counting`],
    ["map", "create", `${animals.folder}/x`, "type", "hash", "key", "4", "value", "8", "entries", "0", "name", "x"],
    ["map", "lookup", "name", "m_perf_event_ar", "key", "0", "0", "0", "0"],
    ["map", "peek", "name", "m_hash"],
  ];
  for (const args of cases) {
    assertEquals((await ours(...args)).code, (await theirs(...args)).code, args.join(" "));
  }
});
