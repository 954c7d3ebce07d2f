import { assert, assertEquals, assertGreater } from "@std/assert";
import { kernelSince, kernelTest, type KernelTestOptions } from "../_kernel_test.ts";
import { linkTypes, mapTypes, progTypes } from "../../uapi/enums.gen.ts";
import { rootToken } from "./_objects.ts";
import { type Zoo, zoo } from "./_zoo.ts";
import { ours, theirs } from "./_cli.ts";

/** bpftool 7 asks older kernels for a cgroup's programs in a way that they do not know. */
const ASKS_CGROUPS = kernelSince("6.1")() === undefined;

const OPTIONS: KernelTestOptions = {
  needs: ["btf", "bpffs", "cgroup", "netns"],
  tools: ["bpftool", "ip", "readelf"],
};

type Shown = unknown;

/** What newer bpftools show, or those that were built with skeletons: Debian's shows nothing of it. */
const NEWER: ReadonlySet<string> = new Set([
  "pids",
  "cookie",
  "ifindex",
  "devname",
  "attach_type",
  "pf",
  "hook",
  "prio",
  "flags",
  "retprobe",
  "path",
  "func_cnt",
  "funcs",
  "pid",
  "missed",
  "tid",
  "netfilter",
  "map_id",
]);

/** Types that Debian's bpftool has no name for yet: it shows numbers. */
function sameType(own: Shown, other: Shown): boolean {
  return typeof own === "string" && typeof other === "number" &&
    [mapTypes, progTypes, linkTypes].some((table) => (table as Readonly<Record<string, number>>)[own] === other);
}

/** Compares JSON, field for field; gives how many values were compared. */
function compare(own: Shown, other: Shown, path: string): number {
  if (Array.isArray(other)) {
    assert(Array.isArray(own), `${path} is no array`);
    // Users of BTF come in the order of a hash table.
    if (/\.(map|prog)_ids$/.test(path)) [own, other] = [[...own].sort(), [...other].sort()];
    assertEquals(
      (own as unknown[]).length,
      (other as unknown[]).length,
      `${path}: ${JSON.stringify(own)} instead of ${JSON.stringify(other)}`,
    );
    return (other as unknown[]).reduce<number>(
      (sum, one, index) => sum + compare((own as unknown[])[index], one, `${path}[${index}]`),
      0,
    );
  }
  if (typeof other !== "object" || other === null) {
    if (sameType(own, other)) return 1;
    // Seconds are rounded after different sums.
    if (path.endsWith(".loaded_at")) assert(Math.abs(Number(own) - Number(other)) <= 1);
    else assertEquals(own, other, path);
    return 1;
  }
  assert(typeof own === "object" && own !== null && !Array.isArray(own), `${path} is no object`);
  const [ownFields, otherFields] = [own as Record<string, Shown>, other as Record<string, Shown>];
  let compared = 0;
  for (const [name, value] of Object.entries(otherFields)) {
    // Maps without BTF are shown with that of the map before them: a mistake of this bpftool.
    if (name === "btf_id" && /^map show/.test(path) && ownFields[name] === undefined) continue;
    assert(name in ownFields, `${path} lacks ${name}`);
    compared += compare(ownFields[name], value, `${path}.${name}`);
  }
  for (const name of Object.keys(ownFields)) {
    assert(name in otherFields || NEWER.has(name), `${path} has ${name} besides`);
  }
  return compared;
}

const parse = (text: string): Shown => JSON.parse(text);

/** How often both are asked: what others make and close in between is seen by one of them only. */
const ATTEMPTS = 4;

async function both(...args: string[]): Promise<number> {
  const what = args.join(" ");
  for (let attempt = 1;; attempt++) {
    const [own, other] = [await ours("-j", ...args), await theirs("-j", ...args)];
    try {
      assertEquals(own.code, other.code, `${what}: ${own.out}${own.err} instead of ${other.out}`);
      return compare(parse(own.out), parse(other.out), what);
    } catch (error) {
      // What changes something is not asked twice.
      if (attempt === ATTEMPTS || !/show|tree|list|dump/.test(what)) throw error;
    }
  }
}

/** What a person would see, but for what is newer. */
async function bothText(...args: string[]): Promise<void> {
  const [own, other] = [await ours(...args), await theirs(...args)];
  assertEquals(own.code, other.code, args.join(" "));
  // Seconds are rounded after different sums.
  const lasting = (text: string): string => text.replace(/loaded_at \S+/g, "loaded_at …");
  assertEquals(lasting(own.out), lasting(other.out), args.join(" "));
}

async function withZoo(fn: (animals: Zoo) => Promise<void>): Promise<void> {
  await using animals = await zoo(rootToken());
  await fn(animals);
}

kernelTest("bpf -j shows programs, maps, links, BTF, cgroups and events as bpftool -j does", OPTIONS, async () => {
  await withZoo(async ({ cgroup, folder, links, progs, maps }) => {
    assertGreater(progs.size, 20);
    assertGreater(maps.size, 25);
    assertGreater(links.length, 5);
    assertGreater(await both("prog", "show"), 300);
    assertGreater(await both("map", "show"), 250);
    assertGreater(await both("link", "show"), 25);
    assertGreater(await both("btf", "show"), 10);
    if (ASKS_CGROUPS) {
      assertGreater(await both("cgroup", "show", cgroup), 10);
      assertGreater(await both("cgroup", "tree", cgroup), 10);
      await both("cgroup", "tree", cgroup, "effective");
      await both("cgroup", "show", cgroup, "effective");
    }
    const structOps = await both("struct_ops", "show");
    if (maps.has("struct_ops")) assertGreater(structOps, 2);
    for (const name of ["counting", "p_xdp", "p_cgroup_device"]) await both("prog", "show", "name", name);
    for (const name of ["typed", "m_array", "frozen"]) await both("map", "show", "name", name);
    await both("prog", "show", "pinned", `${folder}/counting`);
    await both("map", "show", "pinned", `${folder}/typed`);
    const [pinned] = [parse((await ours("-j", "-f", "prog", "show", "name", "counting")).out) as { pinned: string[] }];
    assertEquals(pinned.pinned.sort(), [`${folder}/again`, `${folder}/counting`]);
    const { tag } = parse((await ours("-j", "prog", "show", "name", "counting")).out) as { tag: string };
    await both("prog", "show", "tag", tag);
    await both("-f", "map", "show", "name", "typed");
  });
});

kernelTest("bpf shows the same text as bpftool, where nobody else holds what is shown", OPTIONS, async () => {
  await withZoo(async ({ cgroup }) => {
    for (const name of ["counting", "p_tracepoint", "p_sk_msg"]) await bothText("prog", "show", "name", name);
    for (const name of ["m_hash", "typed", "frozen", "m_lpm_trie"]) await bothText("map", "show", "name", name);
    for (const name of ["m_hash", "m_array", "m_percpu_array", "m_queue", "m_lpm_trie", "typed", "m_prog_array"]) {
      await bothText("map", "dump", "name", name);
    }
    await bothText("map", "lookup", "name", "typed", "key", "1", "0", "0", "0", "80", "0", "0", "0");
    await bothText("map", "lookup", "name", "m_hash", "key", "1", "0", "0", "0");
    await bothText("map", "lookup", "name", "m_hash", "key", "9", "0", "0", "0");
    await bothText("map", "lookup", "name", "m_percpu_array", "key", "1", "0", "0", "0");
    await bothText("map", "getnext", "name", "m_array");
    await bothText("map", "getnext", "name", "m_array", "key", "1", "0", "0", "0");
    await bothText("map", "peek", "name", "m_queue");
    await bothText("prog", "dump", "xlated", "name", "counting");
    await bothText("prog", "dump", "xlated", "name", "counting", "opcodes");
    await bothText("prog", "dump", "xlated", "name", "counting", "visual");
    if (ASKS_CGROUPS) {
      await bothText("cgroup", "show", cgroup);
      await bothText("cgroup", "tree", cgroup);
    }
    await bothText("struct_ops", "show");
    for (const pretty of [["-p", "map", "dump", "name", "typed"], ["-p", "map", "dump", "name", "m_hash"]]) {
      await bothText(...pretty);
    }
  });
});

kernelTest("bpf -j map … reads and writes elements as bpftool -j does", OPTIONS, async () => {
  await withZoo(async ({ maps }) => {
    let compared = 0;
    for (const type of maps.keys()) {
      const name = type === "typed" || type === "frozen" ? type : `m_${type}`.slice(0, 15);
      // What this bpftool does not know it cannot dump by name alone either.
      compared += await both("map", "dump", "name", name);
    }
    assertGreater(compared, 500);
    const hash = ["name", "m_hash"];
    await both("map", "lookup", ...hash, "key", "1", "0", "0", "0");
    await both("map", "lookup", ...hash, "key", "hex", "1", "0", "0", "0");
    await both("map", "lookup", ...hash, "key", "9", "0", "0", "0");
    await both("map", "lookup", "name", "typed", "key", "1", "0", "0", "0", "80", "0", "0", "0");
    await both("map", "lookup", "name", "m_percpu_array", "key", "0", "0", "0", "0");
    await both("map", "getnext", ...hash);
    await both("map", "getnext", "name", "m_array", "key", "15", "0", "0", "0");
    await both("map", "peek", "name", "m_queue");
    await both(
      "map",
      "update",
      ...hash,
      "key",
      "0x7",
      "0",
      "0",
      "0",
      "value",
      "hex",
      "1",
      "2",
      "3",
      "4",
      "5",
      "6",
      "7",
      "8",
    );
    await both(
      "map",
      "update",
      ...hash,
      "key",
      "0x7",
      "0",
      "0",
      "0",
      "value",
      "1",
      "2",
      "3",
      "4",
      "5",
      "6",
      "7",
      "8",
      "noexist",
    );
    await both("map", "lookup", ...hash, "key", "7", "0", "0", "0");
    await both("map", "update", "name", "m_percpu_array", "key", "1", "0", "0", "0", "value", ...Array(12).fill("3"));
    await both("map", "lookup", "name", "m_percpu_array", "key", "1", "0", "0", "0");
    await both("map", "delete", ...hash, "key", "0", "0", "0", "9");
    assertEquals(await ours("map", "delete", ...hash, "key", "7", "0", "0", "0"), { code: 0, out: "", err: "" });
    await both("map", "delete", ...hash, "key", "7", "0", "0", "0");
    for (const command of ["pop", "dequeue"]) assertEquals((await ours("map", command, "name", "m_stack")).code, 0);
    await both("map", "push", "name", "m_stack", "value", ...Array(8).fill("5"));
    assertEquals((await ours("map", "enqueue", "name", "m_stack", "value", ...Array(8).fill("6"))).code, 0);
    // It holds four, and is full now.
    await both("map", "enqueue", "name", "m_stack", "value", ...Array(8).fill("7"));
    await both("map", "peek", "name", "m_stack");
    await both("map", "update", "name", "m_prog_array", "key", "1", "0", "0", "0", "value", "name", "p_socket_filter");
    await both("map", "dump", "name", "m_prog_array");
    await both("map", "show", "name", "m_prog_array");
    assertEquals(await ours("map", "freeze", "name", "m_lru_hash"), { code: 0, out: "", err: "" });
    assertEquals(
      (parse((await theirs("-j", "map", "show", "name", "m_lru_hash")).out) as { frozen: number }).frozen,
      1,
    );
  });
});

kernelTest("bpf -j prog dump shows instructions as bpftool -j does", OPTIONS, async () => {
  await withZoo(async () => {
    assertGreater(await both("prog", "dump", "xlated", "name", "counting"), 10);
    assertGreater(await both("prog", "dump", "xlated", "name", "counting", "opcodes"), 50);
    const folder = await Deno.makeTempDir();
    try {
      await ours("prog", "dump", "xlated", "name", "counting", "file", `${folder}/a`);
      await theirs("prog", "dump", "xlated", "name", "counting", "file", `${folder}/b`);
      assertEquals(await Deno.readFile(`${folder}/a`), await Deno.readFile(`${folder}/b`));
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
});
