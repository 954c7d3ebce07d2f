import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { mapCreate } from "../../cmds/map.ts";
import { mapLookupElem } from "../../cmds/map_elem.ts";
import { objGetInfoByFd } from "../../cmds/obj.ts";
import { asm } from "../../asm/mod.ts";
import { progLoad } from "../../cmds/prog.ts";
import { progTestRun } from "../../cmds/prog_run.ts";
import { onlineCpus } from "../../ffi/cpus.ts";
import { Program } from "../../progs/mod.ts";
import { BPF_F_TEST_RUN_ON_CPU } from "../../uapi/constants.gen.ts";
import { kernelSince, kernelTest, type KernelTestOptions, SLOWNESS } from "../_kernel_test.ts";
import { run } from "../_tools.ts";
import { hashMap, place, rootToken, u32s } from "./_objects.ts";
import { zoo } from "./_zoo.ts";
import { MAIN, OBJECTS, ours, ROOT } from "./_cli.ts";

const OPTIONS: KernelTestOptions = { needs: ["btf", "bpffs", "tracefs", "cgroup", "netns"] };

/** Does a command that has to work; gives what it prints. */
async function works(line: string): Promise<string> {
  const { code, out, err } = await ours(...line.split(" "));
  assertEquals([code, err], [0, ""], line);
  return out;
}

kernelTest("bpf does the examples of bpftool's pages on programs", OPTIONS, async () => {
  await using animals = await zoo(rootToken());
  const fs = animals.folder;
  const { id, tag } = objGetInfoByFd(rootToken(), animals.progs.get("counting")!, { kind: "prog" });
  assertStringIncludes(await works("prog show"), "name counting  tag");
  assertStringIncludes(await works("--json --pretty prog show"), '\n        "name": "counting",');
  const file = await Deno.makeTempFile();
  try {
    await works(`prog dump xlated id ${id} file ${file}`);
    assertEquals((await Deno.stat(file)).size % 8, 0);
    assertMatch(await works(`prog dump jited tag ${tag}`), /counting:\n {3}0:\t[a-z]/);
    assertMatch(await works(`prog dump jited pinned ${fs}/counting opcodes`), /:\t[a-z].*\n\t[0-9a-f]{2} /);
  } finally {
    await Deno.remove(file);
  }
  await works(`prog pin id ${id} ${fs}/prog`);
  await works(`prog load ${OBJECTS}execs.bpf.o ${fs}/prog2`);
  assertEquals([...Deno.readDirSync(fs)].map(({ name }) => name).sort(), [
    "again",
    "counting",
    "prog",
    "prog2",
    "typed",
  ]);
  await works(`prog load ${OBJECTS}execs.bpf.o ${fs}/execs map name execs pinned ${fs}/execs_map`).then(
    () => assert(false, "there is no such map"),
    () => {},
  );
  await works(`prog show pinned ${fs}/counting`);
  assertStringIncludes(await works(`prog --bpffs`), `pinned ${fs}/counting`);
});

kernelTest("bpf does the examples of bpftool's pages on maps", OPTIONS, async () => {
  await using animals = await zoo(rootToken());
  const token = rootToken();
  using map = mapCreate(token, { type: "hash", keySize: 4, valueSize: 8, maxEntries: 16, name: "some_map" });
  const { id } = objGetInfoByFd(token, map, { kind: "map" });
  assertStringIncludes(
    await works("map show"),
    `${id}: hash  name some_map  flags 0x0\n\tkey 4B  value 8B  max_entries 16`,
  );
  const value = [0x0f, 0xff, 0xff, 0xab, 0x01, 0x02, 0x03, 0x4c];
  for (
    const line of [
      `map update id ${id} key hex 20 c4 b7 00 value hex 0f ff ff ab 01 02 03 4c`,
      `map update id ${id} key 0x20 0xc4 0xb7 0x00 value 0x0f 0xff 0xff 0xab 0x01 0x02 0x03 0x4c`,
      `map update id ${id} key 32 196 183 0 value 15 255 255 171 1 2 3 76`,
    ]
  ) {
    await works(line);
    assertEquals([...mapLookupElem(token, map, { key: new Uint8Array([32, 196, 183, 0]) })!], value);
    await works(`map delete id ${id} key 32 196 183 0`);
  }
  await works(`map update id ${id} key 0 1 2 3 value 0 1 2 3 4 5 6 7`);
  assertEquals(await works(`map lookup id ${id} key 0 1 2 3`), "key: 00 01 02 03  value: 00 01 02 03 04 05 06 07\n");
  await works(`map update id ${id} key 13 00 07 00 value 2 0 0 0 1 2 3 4`);
  assertStringIncludes(await works(`map dump id ${id}`), "Found 2 elements");
  assertMatch(await works(`map getnext id ${id} key 0 1 2 3`).catch(() => "next key:\n"), /next key:/);
  await works(`map pin id ${id} ${animals.folder}/map`);
  await works(`map del pinned ${animals.folder}/map key 13 00 07 00`);
  // The page of this repository's own task: text in a value.
  await works(`map update name some_map key 0x2 0 0 0 value hex 48 65 6c 6c 6f 20 32 0`);
  assertEquals(new TextDecoder().decode(mapLookupElem(token, map, { key: u32s(2) })!), "Hello 2\0");
});

kernelTest("bpf does the examples of bpftool's pages on tail calls, by bpffs alone", {
  // An object has loops of bpf_loop().
  needs: [...OPTIONS.needs ?? [], kernelSince("5.17")],
}, async () => {
  await using animals = await zoo(rootToken());
  const fs = animals.folder;
  await works(`prog loadall ${OBJECTS}calls.bpf.o ${fs}/foo`);
  const pinned = [...Deno.readDirSync(`${fs}/foo`)].map(({ name }) => name).sort();
  assert(pinned.length > 1);
  const { id } = objGetInfoByFd(rootToken(), animals.maps.get("prog_array")!, { kind: "map" });
  await works(`map pin id ${id} ${fs}/bar`);
  assertEquals(await works(`map dump pinned ${fs}/bar`), "Found 0 elements\n");
  await works(`map update pinned ${fs}/bar key 0 0 0 0 value pinned ${fs}/foo/${pinned[0]}`);
  const shown = await works(`map dump pinned ${fs}/bar`);
  assertMatch(shown, /^key: 00 00 00 00 {2}value: ([0-9a-f]{2} ?){4}\nFound 1 element\n$/);
  assertStringIncludes(await works(`map show pinned ${fs}/bar`), "owner_prog_type ");
});

kernelTest("bpf does the examples of bpftool's pages on links, types, cgroups and interfaces", OPTIONS, async () => {
  await using animals = await zoo(rootToken());
  const fs = animals.folder;
  assertStringIncludes(await works("link show"), "raw_tracepoint  prog ");
  const links = JSON.parse(await works("--json --pretty link show")) as { id: number; type: string; prog_id: number }[];
  const link = links.find(({ type }) => type === "cgroup")!;
  await works(`link pin id ${link.id} ${fs}/link`);
  assertStringIncludes(await works(`link show pinned ${fs}/link`), `${link.id}: cgroup`);
  await works(`link detach pinned ${fs}/link`);
  const { btfId, id } = objGetInfoByFd(rootToken(), animals.typed, { kind: "map" });
  assertMatch(
    await works(`btf dump id ${btfId}`),
    /^\[1\] INT 'int' size=4 bits_offset=0 nr_bits=32 encoding=SIGNED\n/,
  );
  assertStringIncludes(await works(`btf dump file ${OBJECTS}execs.bpf.o`), "] STRUCT 'event' ");
  assertStringIncludes(await works(`btf dump map id ${id} key`), "STRUCT 'key'");
  assertStringIncludes(await works(`btf dump map id ${id} value`), "STRUCT 'value'");
  assertEquals((await works(`btf dump map id ${id} kv`)).match(/^\[/gm)?.length, 2);
  assertEquals(await works(`btf dump map id ${id} kv`), await works(`btf dump map id ${id}`));
  assertEquals(await works(`btf dump map id ${id} all`), await works(`btf dump id ${btfId}`));
  assertStringIncludes(
    await works(`btf dump map pinned ${fs}/typed format c`),
    "struct value {\n\tunsigned long count;",
  );
  await works(`prog load ${OBJECTS}execs.bpf.o ${fs}/typed_prog`);
  assertStringIncludes(await works(`btf dump prog pinned ${fs}/typed_prog`), "STRUCT 'event'");
  assertMatch(
    await works("btf dump file /sys/kernel/btf/vmlinux format c"),
    /^#ifndef __VMLINUX_H__[^]*\nstruct task_struct \{/,
  );
  const device = objGetInfoByFd(rootToken(), animals.progs.get("cgroup_sysctl")!, { kind: "prog" }).id;
  await works(`cgroup attach ${animals.cgroup}/ sysctl id ${device} allow_multi`);
  assertStringIncludes(await works(`cgroup list ${animals.cgroup}/`), `${device}`);
  await works(`cgroup detach ${animals.cgroup}/ sysctl id ${device}`);
  const xdp = objGetInfoByFd(rootToken(), animals.progs.get("xdp")!, { kind: "prog" }).id;
  const peer = animals.veth.names[1];
  assertStringIncludes(await works("net"), `${animals.veth.names[0]}(${animals.veth.ifindexes[0]}) generic id`);
  assertMatch(await works("-jp net"), /^\[\{\n {8}"xdp": \[\{/);
  await works(`net attach xdpdrv id ${xdp} dev ${peer}`);
  assertStringIncludes(await works("net"), `${peer}(${animals.veth.ifindexes[1]}) driver id ${xdp}`);
  await works(`net attach xdpdrv id ${xdp} dev ${peer} overwrite`);
  await works(`net detach xdpdrv dev ${peer}`);
  assert(!(await works("net")).includes("driver"));
  await works("perf");
  await works("-j perf");
  assertStringIncludes(await works("struct_ops show"), "tcp_congestion_ops");
});

kernelTest("bpf iter pin makes what cat reads", { ...OPTIONS, tools: ["clang-19"] }, async () => {
  const folder = `${place("BPFFS")}/iter`;
  const build = await Deno.makeTempDir();
  Deno.mkdirSync(folder);
  try {
    const source = `
      struct seq_file; struct bpf_iter_meta { struct seq_file *seq; } __attribute__((preserve_access_index));
      struct bpf_map { unsigned id; } __attribute__((preserve_access_index));
      struct bpf_iter__bpf_map { struct bpf_iter_meta *meta; struct bpf_map *map; } __attribute__((preserve_access_index));
      static long (*seq_write)(struct seq_file *, const void *, unsigned) = (void *)127;
      __attribute__((section("iter/bpf_map"), used)) int maps(struct bpf_iter__bpf_map *ctx) {
        if (ctx->map) seq_write(ctx->meta->seq, "map\\n", 4);
        return 0;
      }
      char LICENSE[] __attribute__((section("license"), used)) = "GPL";
    `;
    await Deno.writeTextFile(`${build}/iter.c`, source);
    const compiled = await run("clang-19", ["-target", "bpf", "-O2", "-g", "-c", "iter.c", "-o", "iter.bpf.o"], {
      cwd: build,
    });
    assertEquals(compiled.code, 0, compiled.stderr);
    using _one = hashMap(rootToken(), { name: "iterated" });
    await works(`iter pin ${build}/iter.bpf.o ${folder}/maps`);
    const { stdout, code } = await run("cat", [`${folder}/maps`]);
    assertEquals(code, 0);
    assertMatch(stdout, /^(map\n)+$/);
  } finally {
    Deno.removeSync(folder, { recursive: true });
    Deno.removeSync(build, { recursive: true });
  }
});

/** The first of the samples that `map event_pipe` showed, the time of text taken out. */
function firstSample(text: string): string {
  return text.replaceAll(/== @\d+\.\d+/g, "== @T").split(/(?<=\n)(?===)|\},\s*\{|\}\s*\]/)[0];
}

/** Starts a command in a process of its own, until it has printed something; then ends it by Ctrl-C. */
async function follow(
  args: readonly string[],
  provoke: () => void,
  tool: "bpf" | "bpftool" = "bpf",
): Promise<{ out: string; err: string; code: number }> {
  const [command, own] = tool === "bpf" ? [Deno.execPath(), ["run", "--no-lock", "--allow-ffi", MAIN]] : [tool, []];
  const child = new Deno.Command(command, {
    args: [...own, ...args],
    cwd: ROOT,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let out = "";
  const timer = setInterval(provoke, 50);
  let later: ReturnType<typeof setTimeout> | undefined;
  const end = setTimeout(() => child.kill("SIGKILL"), 20_000 * SLOWNESS);
  try {
    let isStopped = false;
    const stop = (): void => {
      clearInterval(timer);
      if (!isStopped) child.kill("SIGINT");
      isStopped = true;
    };
    // bpftool keeps to itself what it prints, until it ends.
    if (tool === "bpftool") later = setTimeout(stop, 1000 * SLOWNESS);
    for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
      out += text;
      if (out.length > 20) stop();
    }
    const [{ code }, err] = await Promise.all([child.status, new Response(child.stderr).text()]);
    return { out, err, code };
  } finally {
    clearInterval(timer);
    clearTimeout(end);
    clearTimeout(later);
  }
}

kernelTest("bpf map event_pipe shows samples, prog tracelog what programs print, until Ctrl-C", {
  ...OPTIONS,
  tools: ["bpftool"],
}, async () => {
  const token = rootToken();
  using events = mapCreate(token, {
    type: "perf_event_array",
    keySize: 4,
    valueSize: 4,
    maxEntries: 64,
    name: "piped",
  });
  using ring = mapCreate(token, { type: "ringbuf", keySize: 0, valueSize: 0, maxEntries: 4096, name: "ringed" });
  using sender = Program.load(token, {
    type: "xdp",
    license: "GPL",
    name: "sender",
    insns: asm`
      r6 = r1
      *(u64 *)(r10 -8) = 42
      r2 = map_fd ${events} ll
      r3 = 4294967295 ll
      r4 = r10
      r4 += -8
      r5 = 8
      call perf_event_output
      r1 = map_fd ${ring} ll
      r2 = r10
      r2 += -8
      r3 = 8
      r4 = 0
      call ringbuf_output
      r1 = 26984 ll ; "hi"
      *(u64 *)(r10 -16) = r1
      r1 = r10
      r1 += -16
      r2 = 3
      call trace_printk
      r0 = 2
      exit
    `,
  });
  using slots = mapCreate(token, {
    type: "perf_event_array",
    keySize: 4,
    valueSize: 4,
    maxEntries: 64,
    name: "slotted",
  });
  using slotted = progLoad(token, {
    type: "raw_tracepoint",
    license: "GPL",
    insns: asm`
      *(u64 *)(r10 -8) = 42
      r2 = map_fd ${slots} ll
      r3 = 63
      r4 = r10
      r4 += -8
      r5 = 8
      call perf_event_output
      r0 = 0
      exit
    `,
  });
  const provoke = (): void => void sender.run({ data: new Uint8Array(64) });
  for (const options of [[], ["-j"], ["-p"]]) {
    const words = [...options, "map", "event_pipe", "name", "piped"];
    const piped = await follow(words, provoke);
    assertEquals([piped.code, piped.err], [0, ""]);
    // What changes from one sample to the next: its time, and where the kernel ran the program.
    const plain = (text: string): string =>
      firstSample(text).replace(/(CPU: |index: |"cpu": ?|"index": ?|timestamp": ?)\d+/g, "$1N");
    assertMatch(
      piped.out,
      options.length > 0 ? /^\[\{\s*"type"/ : /^== @\d+\.\d{9} CPU: \d+ index: \d+ =====\n2a 00 00 00/,
    );
    const theirs = await follow(words, provoke, "bpftool");
    assertEquals([plain(piped.out), piped.out.slice(-8)], [plain(theirs.out), theirs.out.slice(-8)]);
    if (options.length > 0) assertEquals(Object.keys(JSON.parse(piped.out)[0]), Object.keys(JSON.parse(theirs.out)[0]));
  }
  const [cpu] = onlineCpus();
  const slot = await follow(["-j", "map", "event_pipe", "name", "slotted", "cpu", `${cpu}`, "index", "63"], () => {
    progTestRun(token, slotted, { ctx: new Uint8Array(8), cpu, flags: BPF_F_TEST_RUN_ON_CPU });
  });
  const [{ cpu: from, index }] = JSON.parse(slot.out);
  assertEquals([from, index, slot.err], [cpu, 63, ""]);
  const ringed = await follow(["map", "event_pipe", "name", "ringed"], provoke);
  assertMatch(ringed.out, /^== =====\n2a 00 00 00 00 00 00 00/);
  const traced = await follow(["prog", "tracelog"], provoke);
  assertStringIncludes(traced.out, "bpf_trace_printk");
});
