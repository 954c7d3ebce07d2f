import { assert, assertEquals, assertGreater, assertMatch, assertStringIncludes } from "@std/assert";
import { asm } from "../../asm/mod.ts";
import { BtfBuilder } from "../../btf/mod.ts";
import type { JsonDocument } from "../../cli/json.ts";
import { mapCreate } from "../../cmds/map.ts";
import { objPin } from "../../cmds/obj.ts";
import { Program } from "../../progs/mod.ts";
import { kernelTest, type KernelTestOptions, SLOWNESS } from "../_kernel_test.ts";
import { hasTool, run } from "../_tools.ts";
import { hashMap, makeCgroup, place, returning, rootToken, simpleProg, veth } from "./_objects.ts";
import { attachesToFunctions } from "./_tracing.ts";
import { zoo } from "./_zoo.ts";
import { apart, MAIN, ours, ROOT } from "./_cli.ts";

const OPTIONS: KernelTestOptions = { needs: ["btf", "bpffs", "cgroup", "netns"] };

async function v1<K extends string>(...args: string[]): Promise<JsonDocument<K>> {
  const { out, code, err } = await ours("--json=v1", ...args);
  assertEquals(code, 0, err + out);
  return JSON.parse(out);
}

kernelTest("bpf --json=v1 has 64-bit numbers as text, and elements decoded by BTF", OPTIONS, async () => {
  await using animals = await zoo(rootToken());
  const progs = await v1<"prog.show">("prog", "show", "name", "counting");
  assertEquals([progs.version, progs.kind, progs.data.length], [1, "prog.show", 1]);
  assertEquals([progs.data[0].type, typeof progs.data[0].loadTime, progs.data[0].mapIds?.length], ["xdp", "string", 1]);
  const dumped = await v1<"map.dump">("map", "dump", "name", "typed");
  const element = dumped.data[0].elements.find(({ key }) => (key as { host: number }).host === 1);
  assertEquals(element?.key, { host: 1, port: 80 });
  const value = element?.value as Record<string, unknown>;
  assertEquals(
    [value.count, value.yes, value.whole],
    ["506097522914230528", true, undefined].map((one, at) => at === 2 ? value.whole : one),
  );
  assertEquals(typeof value.count, "string");
  const bytes = await v1<"map.dump">("map", "dump", "name", "m_hash");
  assertEquals(bytes.data[0].elements.find(({ key }) => key === "01000000")?.value, "0102030405060708");
  const links = await v1<"link.show">("link", "show");
  assertEquals(links.data.length, animals.links.length);
  const groups = await v1<"cgroup.show">("cgroup", "show", animals.cgroup);
  assertEquals(groups.data.map(({ attachType }) => attachType), ["cgroup_inet_egress", "cgroup_device"]);
  const net = await v1<"net.show">("net", "show");
  assert(net.data.some((one) => one.where === "interface" && one.hook === "xdp"));
});

kernelTest("bpf says in one line what cannot be done, and ends with bpftool's code", OPTIONS, async () => {
  const token = rootToken();
  using map = hashMap(token, { name: "hostile" });
  using _queue = mapCreate(token, { type: "queue", keySize: 0, valueSize: 4, maxEntries: 4, name: "hostile_queue" });
  using _events = mapCreate(token, {
    type: "perf_event_array",
    keySize: 4,
    valueSize: 4,
    maxEntries: 64,
    name: "hostile_events",
  });
  const hash = ["name", "hostile"];
  const events = ["name", "hostile_events"];
  assert(map.fd > 2);
  const cases: readonly (readonly [args: readonly string[], code: number, words: RegExp])[] = [
    [["prog", "show", "id", "4294967295"], 255, /get by id \(4294967295\): No such file or directory/],
    [["prog", "show", "id", "-1"], 255, /can't parse -1 as ID/],
    [["prog", "show", "id", "1e3"], 255, /can't parse 1e3 as ID/],
    [["prog", "show", "id"], 255, /expected ID, got nothing/],
    [["prog", "show", "tag", "xyz"], 255, /can't parse tag/],
    [["prog", "show", "name", "a".repeat(16)], 255, /can't parse name/],
    [["prog", "show", "name", "nobody"], 255, /no program matches/],
    [["prog", "show", "pinned", "/nowhere"], 255, /bpf obj get \(\/nowhere\): No such file or directory/],
    [["prog", "show", "frob", "1"], 255, /expected 'id', 'tag', 'name' or 'pinned', got: 'frob'\?/],
    [["map", "lookup", ...hash, "key", "1", "2"], 255, /expected 4 bytes of key got 2/],
    [["map", "lookup", ...hash, "key", "1", "2", "3", "256"], 255, /error parsing byte: 256 is not from 0 to 255/],
    [["map", "lookup", ...hash, "key", "1", "2", "3", "x"], 255, /error parsing byte: x/],
    [["map", "lookup", ...hash, "key", "1", "2", "3", "4", "5"], 255, /unexpected argument '5'/],
    [["map", "update", ...hash, "key", "1", "2", "3", "4"], 255, /did not find value/],
    [["map", "update", ...hash, "value", ...Array(8).fill("1")], 255, /did not find key/],
    [
      ["map", "update", ...hash, "key", "1", "2", "3", "4", "value", ...Array(8).fill("1"), "exist"],
      254,
      /update failed: No such file/,
    ],
    [["map", "delete", ...hash, "key", "9", "9", "9", "9"], 254, /delete failed: No such file or directory/],
    [["map", "create", "/x", "type", "nothing"], 255, /unrecognized map type: nothing/],
    [
      ["map", "create", "/x", "type", "hash", "key", "4", "value", "4", "entries", "1", "name", "x"],
      255,
      /can't pin|pin/,
    ],
    [["map", "event_pipe", ...hash], 255, /map is not a perf event array or a ring buffer/],
    [["map", "event_pipe", ...events, "cpu", "0"], 255, /cpu and index must be specified together/],
    [["map", "event_pipe", ...events, "index", "0"], 255, /cpu and index must be specified together/],
    [["map", "event_pipe", ...events, "frob"], 255, /unknown arg frob/],
    [["map", "show", "id", "999999999"], 255, /get map by id \(999999999\): No such file or directory/],
    [["link", "show", "id", "999999999"], 254, /failed to get link with ID 999999999: No such file or directory/],
    [["link", "show", "name", "x"], 255, /expected 'id' or 'pinned', got: 'name'\?/],
    [["btf", "dump", "id", "999999999"], 255, /can't get BTF object by id \(999999999\)/],
    [["btf", "dump", "file", "/nowhere"], 255, /No such file/],
    [["btf", "dump", "file", MAIN], 255, /Cannot read BTF at byte 0/],
    [["cgroup", "show", "/nowhere"], 255, /can't open cgroup \/nowhere: No such file or directory/],
    [["cgroup", "show", "/"], 247, /Bad file descriptor/],
    [["net", "show", "dev", "nowhere"], 255, /there is no "nowhere"/],
    [["prog", "run", "id", "999999999", "data_in", "/nowhere"], 255, /get by id/],
    [["prog", "load", "/nowhere", "/x"], 255, /No such file/],
    [["prog", "load", MAIN, "/x"], 255, /does not begin with/],
    [["struct_ops", "unregister", "name", "nobody"], 255, /no struct_ops found for nobody/],
    [["feature", "list_builtins", "nothing"], 255, /failed to get builtins for 'nothing'/],
    [["explain", "nothing"], 255, /nothing known of 'nothing'/],
    [["batch", "file", "/nowhere"], 255, /No such file/],
    [["top", "--seconds", "never"], 255, /--seconds takes a number/],
    [["completion", "fish"], 255, /expected 'bash' or 'zsh'/],
  ];
  for (const [args, code, words] of cases) {
    const said = await ours(...args);
    assertEquals([said.out, said.err.split("\n").length], ["", 2], `${args.join(" ")}: ${said.out}${said.err}`);
    assertMatch(said.err, /^Error: /);
    assertMatch(said.err, words, args.join(" "));
    assertEquals(said.code, code, `${args.join(" ")}: ${said.err}`);
    const json = await ours("-j", ...args);
    assertEquals([json.code, json.err], [code, ""], args.join(" "));
    assertMatch(String(JSON.parse(json.out).error), words);
  }
  for (const args of [["frob"], ["prog", "frob"], ["--frob"]]) {
    const said = await ours(...args);
    assertEquals([said.code, said.out], [255, ""]);
    assertStringIncludes(said.err, "Usage: bpf");
  }
  for (const args of [["help"], ["prog", "help"], ["map", "help"], ["-h"]]) assertEquals((await ours(...args)).code, 0);
});

kernelTest("bpf shows names of any bytes without what would change a terminal", OPTIONS, async () => {
  const token = rootToken();
  using named = Program.load(token, { type: "socket_filter", license: "GPL", insns: returning(0), name: "plain" });
  const path = `${place("BPFFS")}/odd\x1b[31m`;
  objPin(token, named.descriptor, { path });
  try {
    const { out } = await ours("-f", "prog", "show", "name", "plain");
    assertStringIncludes(out, "odd?[31m");
    assert(!out.includes("\x1b"));
    const json = JSON.parse((await ours("-j", "-f", "prog", "show", "name", "plain")).out) as { pinned: string[] };
    assertEquals(json.pinned, [path]);
  } finally {
    Deno.removeSync(path);
  }
});

kernelTest("bpf batch does what a file says, and stops where one line fails", OPTIONS, async () => {
  using _map = hashMap(rootToken(), { name: "batched" });
  const folder = await Deno.makeTempDir();
  try {
    const file = `${folder}/commands`;
    const update = (key: number): string => `map update name batched key ${key} 0 0 0 value 1 2 3 4 5 6 7 8`;
    await Deno.writeTextFile(
      file,
      `# elements\n${update(1)}\n\n${update(2)} # two\nmap lookup name batched \\\n  key 2 0 0 0\n`,
    );
    const { code, out, err } = await ours("batch", "file", file);
    assertEquals([code, err], [0, ""]);
    assertEquals(out, "key: 02 00 00 00  value: 01 02 03 04 05 06 07 08\nprocessed 3 commands\n");
    const json = JSON.parse((await ours("-j", "batch", "file", file)).out) as { command: string[]; output: unknown }[];
    assertEquals(json.map(({ command }) => command.slice(0, 2).join(" ")), ["map update", "map update", "map lookup"]);
    assertEquals((json[2].output as { key: string[] }).key, ["0x02", "0x00", "0x00", "0x00"]);
    await Deno.writeTextFile(file, `${update(3)}\nmap delete name batched key 9 9 9 9\n${update(4)}\n`);
    const failed = await ours("batch", "file", file);
    assertEquals([failed.code, failed.err], [
      254,
      "Error: delete failed: No such file or directory\nCommand failed: line 2\n",
    ]);
    assertEquals((await ours("map", "lookup", "name", "batched", "key", "4", "0", "0", "0")).code, 254);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

kernelTest("bpf tells who holds what, and perf show what processes hold, from another process", {
  ...OPTIONS,
  tools: ["bpftool"],
}, async () => {
  await using _animals = await zoo(rootToken());
  const { out, err } = await apart("-j", "prog", "show", "name", "counting");
  const { pids } = JSON.parse(out) as { pids: { pid: number; comm: string }[] };
  assertEquals(pids.map(({ pid }) => pid), [Deno.pid], err);
  const maps = JSON.parse((await apart("-j", "map", "show", "name", "typed")).out) as { pids: { pid: number }[] };
  assertEquals(maps.pids.map(({ pid }) => pid), [Deno.pid]);
  const events = JSON.parse((await apart("-j", "perf", "show")).out) as unknown[];
  const { stdout } = await run("bpftool", ["-j", "perf", "show"]);
  assertEquals(events, JSON.parse(stdout));
  assertGreater(events.length, 0);
});

kernelTest("bpf trace shows the calls of a command; explain what it needs", OPTIONS, async () => {
  using _map = hashMap(rootToken(), { name: "traced" });
  const traced = await ours("trace", "map", "lookup", "name", "traced", "key", "1", "0", "0", "0");
  assertEquals(traced.code, 254);
  assertMatch(traced.err, /^bpf\(BPF_MAP_GET_NEXT_ID, .*\) = 0$/m);
  assertMatch(traced.err, /^bpf\(BPF_MAP_LOOKUP_ELEM, .*\) = -1 ENOENT \(No such file or directory\)$/m);
  const explained = await ours("explain", "prog", "load", "type", "xdp");
  assertStringIncludes(explained.out, "BPF_PROG_LOAD xdp: needs CAP_BPF and CAP_NET_ADMIN; allowed");
  const [one] = JSON.parse((await ours("-j", "explain", "map_create", "hash")).out) as {
    command: string;
    allowed: boolean;
  }[];
  assertEquals([one.command, one.allowed], ["map_create", true]);
  for (const group of ["prog", "map", "link", "btf", "cgroup", "net", "perf", "struct_ops"]) {
    assertEquals((await ours("explain", group, "show")).code, 0, group);
  }
});

kernelTest("bpf graph draws programs, maps and what they hang at", OPTIONS, async () => {
  await using animals = await zoo(rootToken());
  const dot = await ours("graph", "dot");
  assertEquals(dot.code, 0, dot.err);
  for (const name of ["counting", "m_array", "typed", animals.veth.names[0], animals.cgroup]) {
    assertStringIncludes(dot.out, name);
  }
  assertMatch(dot.out, /"prog \d+" -> "map \d+";/);
  const svg = await ours("graph");
  assertMatch(svg.out, /<svg [^]*counting[^]*<\/svg>/);
});

kernelTest("bpf top counts the runs of programs while they run", OPTIONS, async () => {
  using prog = Program.load(rootToken(), {
    type: "socket_filter",
    license: "GPL",
    insns: returning(0),
    name: "busy_filter",
  });
  let isOver = false;
  const watched = ours("-j", "top", "--seconds", "0.5", "--interval", "0.5", "--top", "50").finally(() =>
    isOver = true
  );
  while (!isOver) {
    prog.run({ data: new Uint8Array(64), repeat: 100_000 });
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  const { out, code } = await watched;
  assertEquals(code, 0);
  const rows = JSON.parse(out.split("\n")[0]) as { name: string; rate: number; cpu: number }[];
  const row = rows.find(({ name }) => name === "busy_filter");
  assertGreater(row?.rate ?? 0, 1000);
  assertGreater(row?.cpu ?? 0, 0);
});

kernelTest("bpf completion is what bash and zsh can read", OPTIONS, async () => {
  for (const shell of ["bash", "zsh"]) {
    const { out, code } = await ours("completion", shell);
    assertEquals(code, 0);
    for (const word of ["loadall", "event_pipe", "struct_ops", "min_core_btf"]) assertStringIncludes(out, word);
    if (!hasTool(shell)) continue;
    const script = `${out}\nCOMP_WORDS=(bpf map du); COMP_CWORD=2; _bpf; echo "\${COMPREPLY[@]}"`;
    const { stdout, code: shellCode, stderr } = shell === "bash"
      ? await run("bash", ["-c", script])
      : await run("zsh", ["-n", "/dev/stdin"], { stdin: out });
    assertEquals(shellCode, 0, stderr);
    if (shell === "bash") assertEquals(stdout, "dump\n");
  }
});

kernelTest("bpf prog run gives what the program leaves, in files and on the screen", OPTIONS, async () => {
  using _prog = Program.load(rootToken(), {
    type: "xdp",
    license: "GPL",
    name: "ran",
    insns: asm`
      r2 = *(u32 *)(r1 +0)
      r3 = *(u32 *)(r1 +4)
      r4 = r2
      r4 += 14
      r0 = 1
      if r4 > r3 goto out
      *(u8 *)(r2 +0) = 170
      r0 = 2
    out:
      exit
    `,
  });
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeFile(`${folder}/in`, new Uint8Array(20).fill(1));
    const { out, err } = await ours("prog", "run", "name", "ran", "data_in", `${folder}/in`);
    assertMatch(out, /^Data:\n0000000 aa01 0101|^Data:\n0000000 aa 01 01/m, err);
    assertMatch(out, /Return value: 2, duration: \d+ns\n$/);
    const json = JSON.parse(
      (await ours("-j", "prog", "run", "name", "ran", "data_in", `${folder}/in`, "repeat", "10")).out,
    );
    assertEquals([json.retval, json.data_out[0], json.data_out.length], [2, "0xaa", 20]);
    await ours("prog", "run", "name", "ran", "data_in", `${folder}/in`, "data_out", `${folder}/out`);
    assertEquals((await Deno.readFile(`${folder}/out`))[0], 0xaa);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

kernelTest("bpf cgroup attach and detach, net attach and detach do what they say", {
  ...OPTIONS,
  tools: ["bpftool", "ip"],
}, async () => {
  const token = rootToken();
  using group = makeCgroup("attached");
  using _device = simpleProg(token, "cgroup_device", { value: 1, name: "for_cgroup" });
  const attach = await ours("cgroup", "attach", group.path, "cgroup_device", "name", "for_cgroup", "multi");
  assertEquals([attach.code, attach.err], [0, ""]);
  const shown = JSON.parse((await ours("-j", "cgroup", "show", group.path)).out) as { attach_flags: string }[];
  assertEquals(shown.map(({ attach_flags }) => attach_flags), ["multi"]);
  assertEquals((await ours("cgroup", "detach", group.path, "device", "name", "for_cgroup")).code, 0);
  assertEquals((await ours("cgroup", "show", group.path)).out, "");
  await using pair = await veth();
  using _xdp = Program.load(token, { type: "xdp", license: "GPL", insns: returning(2), name: "for_net" });
  assertEquals((await ours("net", "attach", "xdpgeneric", "name", "for_net", "dev", pair.names[0])).err, "");
  const again = await ours("net", "attach", "xdpgeneric", "name", "for_net", "dev", pair.names[0]);
  assertEquals(again.code, 240);
  assertEquals(
    (await ours("net", "attach", "xdpgeneric", "name", "for_net", "dev", pair.names[0], "overwrite")).code,
    0,
  );
  const own = JSON.parse((await ours("-j", "net", "show", "dev", pair.names[0])).out) as { xdp: unknown[] }[];
  const { stdout } = await run("bpftool", ["-j", "net", "show", "dev", pair.names[0]]);
  assertEquals(own[0].xdp, JSON.parse(stdout)[0].xdp);
  assertEquals((await ours("net", "detach", "xdpgeneric", "dev", pair.names[0])).code, 0);
  assertEquals(JSON.parse((await ours("-j", "net", "show", "dev", pair.names[0])).out)[0].xdp, []);
});

kernelTest("bpf ends quietly where nobody reads, and says so where the disk is full", OPTIONS, async () => {
  await using _animals = await zoo(rootToken());
  const script = (rest: string): string => `"${Deno.execPath()}" run --no-lock --allow-ffi "${MAIN}" map show ${rest}`;
  const closed = await run("bash", ["-c", `set -o pipefail; ${script("| head -n 1")}`], {
    cwd: ROOT,
    timeoutMs: 30_000 * SLOWNESS,
  });
  assertEquals([closed.code, closed.stderr, closed.stdout.split("\n").length], [0, "", 2]);
  const full = await run("bash", ["-c", script("> /dev/full")], { cwd: ROOT, timeoutMs: 30_000 * SLOWNESS });
  assertEquals(full.code, 255, full.stderr);
  assertMatch(full.stderr, /^Error: .*[Nn]o space left on device/);
  assertEquals(full.stderr.split("\n").length, 2);
});

kernelTest("bpf feature probe finds what the features tell, and bpftool where it can be trusted", {
  ...OPTIONS,
  tools: ["bpftool"],
}, async () => {
  const own = JSON.parse((await ours("-j", "feature", "probe", "kernel")).out) as Record<
    string,
    Record<string, unknown>
  >;
  const { stdout } = await run("bpftool", ["-j", "feature", "probe", "kernel"], { timeoutMs: 120_000 * SLOWNESS });
  const other = JSON.parse(stdout) as Record<string, Record<string, unknown>>;
  for (const part of ["syscall_config", "map_types", "system_config", "misc"]) {
    for (const [name, value] of Object.entries(other[part])) assertEquals(own[part][name], value, name);
  }
  for (const [name, value] of Object.entries(other.program_types)) {
    // This bpftool asks for a target of these that newer kernels do not have, and takes that for a no.
    if (/tracing|ext|lsm/.test(name)) continue;
    assertEquals(own.program_types[name], value, name);
  }
  // It takes every helper for one of every type since 6.x, whose verifier words its refusal otherwise.
  const xdp = own.helpers.xdp_available_helpers as string[];
  assert(xdp.includes("bpf_redirect_map") && !xdp.includes("bpf_skb_store_bytes"));
  const builtins = await ours("feature", "list_builtins", "helpers");
  assertStringIncludes(builtins.out, "bpf_map_lookup_elem\n");
});

kernelTest("bpf prog profile counts what the runs of a program cost", {
  ...OPTIONS,
  needs: [...OPTIONS.needs!, attachesToFunctions],
}, async () => {
  const builder = new BtfBuilder();
  const int = builder.int("int", 4, "signed");
  const func = builder.func("profiled", builder.funcProto(int, [{ name: "ctx", typeId: builder.ptr(0) }]));
  using prog = Program.load(rootToken(), {
    type: "xdp",
    license: "GPL",
    name: "profiled",
    insns: returning(2),
    btf: { types: builder, funcInfo: [{ insnOff: 0, typeId: func }] },
  });
  const watched = ours("-j", "prog", "profile", "name", "profiled", "duration", "2", "cpu_clock");
  for (let round = 0; round < 20; round++) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    prog.run({ data: new Uint8Array(64), repeat: 10 });
  }
  const { out, code } = await watched;
  assertEquals(code, 0, out);
  const [{ metric, run_cnt, value }] = JSON.parse(out) as { metric: string; run_cnt: number; value: number }[];
  assertEquals(metric, "cpu_clock");
  assertGreater(run_cnt, 10);
  assertGreater(value, 0);
});
