import { readKernelConfig } from "../../features/kernel_config.ts";
import { assert, assertEquals, assertGreater } from "@std/assert";
import { attachTypes, mapTypes, progTypes } from "../../uapi/enums.gen.ts";
import { BpfObject, sectionDefs, sectionMeaning } from "../../object/mod.ts";
import type { MapHandle } from "../../maps/mod.ts";
import { kernelSince, kernelTest } from "../_kernel_test.ts";
import { run } from "../_tools.ts";
import { rootToken } from "./_objects.ts";
import { objectBytes, objectPath, ProgramSpy } from "./_object_files.ts";

const OPTIONS = { needs: ["btf", "bpffs", kernelSince("6.1")], tools: ["cc"] } as const;

/** Those that libbpf 1.1 loads; the others have what came later. */
const OBJECTS = ["opens", "execs", "latency", "tcp", "maps", "externs", "calls", "core", "opens_compressed"] as const;

const LD_IMM64 = 0x18;
const CALL = 0x85;

/** The oracle, compiled once. */
async function oracle(folder: string): Promise<string> {
  const source = decodeURIComponent(new URL("object_libbpf.c", import.meta.url).pathname);
  const { code, stderr } = await run("cc", ["-O1", "-o", `${folder}/oracle`, source, "-lbpf"]);
  assertEquals(code, 0, stderr);
  return `${folder}/oracle`;
}

/** Instructions in hexadecimal, descriptors of maps replaced by the maps' numbers. */
function normalized(insns: Uint8Array, numberOf: (fd: number) => number): string {
  const copy = insns.slice();
  const view = new DataView(copy.buffer);
  for (let at = 0; at < copy.length; at += 8) {
    // Functions that the kernel has not: libbpf 1.3 and later call a helper that there is not, as we do; 1.1 and 1.2
    // function 0 of the kernel, to the same end.
    const isMissing = copy[at] === CALL && Math.floor(view.getInt32(at + 4, true) / 1e6) === 2002;
    if (isMissing) copy.set([CALL, 0x20, 0, 0, 0, 0, 0, 0], at);
    if (copy[at] !== LD_IMM64) continue;
    const source = copy[at + 1] >> 4;
    if (source === 1 || source === 2) view.setInt32(at + 4, numberOf(view.getInt32(at + 4, true)), true);
    at += 8;
  }
  return copy.toHex();
}

/** What we make of an object, in the oracle's words. */
function ours(bytes: Uint8Array, name: string, pinFolder: string): string[] {
  using spy = new ProgramSpy();
  using object = BpfObject.parse(bytes, { name, pinFolder });
  object.load(rootToken());
  const maps = Object.values(object.maps) as unknown as MapHandle[];
  const names = Object.keys(object.maps);
  const lines = maps.map(({ info, type }, index) => {
    const number = typeof type === "string" ? mapTypes[type] : type;
    const typed = [info.btfKeyTypeId, info.btfValueTypeId].map((id) => id === 0 ? 0 : 1);
    const sizes = [number, info.keySize, info.valueSize, info.maxEntries, info.flags];
    return ["map", kernelMapName(names[index], info.name), ...sizes, info.name, ...typed].join(" ");
  });
  const fds = maps.map(({ fd }) => fd);
  for (const [program, { info }] of Object.entries(object.progs)) {
    const sent = spy.of(program)!;
    const insns = normalized(sent.insns, (fd) => fds.indexOf(fd));
    const counts = [sent.type, sent.expectedAttachType, info.nrFuncInfo, info.nrLineInfo];
    lines.push(["prog", program, ...counts, insns].join(" "));
  }
  return lines;
}

/** libbpf names maps of variables as the kernel does. */
function kernelMapName(name: string, kernelName: string): string {
  return name.startsWith(".") ? kernelName : name;
}

async function compare(folder: string, name: string, path: string): Promise<number> {
  const pins = Deno.env.get("BPF_TEST_BPFFS")!;
  const theirs = await run(`${folder}/oracle`, [path, pins]);
  await Deno.remove(`${pins}/pinned`).catch(() => {});
  assertEquals(theirs.code, 0, `${name}: ${theirs.stderr}`);
  const mine = ours(await Deno.readFile(path), name, pins);
  await Deno.remove(`${pins}/pinned`).catch(() => {});
  assertEquals(mine, theirs.stdout.trim().split("\n"), name);
  return mine.length;
}

kernelTest("BpfObject.load() makes the maps and instructions that libbpf makes", OPTIONS, async () => {
  const folder = await Deno.makeTempDir();
  try {
    await oracle(folder);
    let lines = 0;
    // libbpf wants the kernel's configuration for externs, and takes no other.
    const names = OBJECTS.filter((name) => name !== "externs" || readKernelConfig() !== undefined);
    for (const name of names) lines += await compare(folder, name, objectPath(name));
    assertGreater(lines, 50);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

kernelTest("sectionMeaning() says of sections what libbpf says, as far as it knows them", {
  root: false,
  tools: OPTIONS.tools,
}, async () => {
  const folder = await Deno.makeTempDir();
  try {
    const program = await oracle(folder);
    const names = sectionDefs.map(({ name }) => name.replace("+", "/target"));
    const wrong = ["xdp/other", "tc/other", "kprobes/x", "cgroup/bind5", "", "fentry.x/y"];
    const { code, stdout } = await run(program, ["--sections", ...names, ...wrong]);
    assertEquals(code, 0);
    let known = 0;
    for (const line of stdout.trimEnd().split("\n")) {
      const [, name, said] = /^(.*?) (unknown|\d+ \d+)$/.exec(line)!;
      const meaning = sectionMeaning(name);
      if (wrong.includes(name)) assertEquals([meaning, said], [undefined, "unknown"], name);
      if (said === "unknown") continue;
      known++;
      const { type, expectedAttachType } = meaning!.def;
      const attachType = expectedAttachType === undefined ? 0 : attachTypes[expectedAttachType];
      // Since 1.3 these are loaded for tcx.
      const isTcx = name.startsWith("tc/");
      assertEquals(`${progTypes[type]} ${isTcx ? 0 : attachType}`, said, name);
    }
    assertGreater(known, 80);
    assertEquals(names.filter((name) => sectionMeaning(name) === undefined), []);
    assertGreater(names.length, 110);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** A file that uses what another one defines. */
const SECOND = `
#include "kernel.h"
extern u64 sum;
extern int middle(int x);
int own SEC(".data") = 3;
SEC("tc") int four(struct __sk_buff *skb) { return middle(7) + sum + own; }
`;

kernelTest("BpfObject.load() loads objects that bpftool has linked, as libbpf does", {
  needs: OPTIONS.needs,
  tools: ["cc", "clang-19", "bpftool"],
}, async () => {
  const folder = await Deno.makeTempDir();
  try {
    await oracle(folder);
    await Deno.writeTextFile(`${folder}/second.bpf.c`, SECOND);
    const include = objectPath("opens").replace(/[^/]*$/, "");
    const flags = ["-O2", "-g", "-target", "bpf", `-I${include}`, "-I/usr/include/x86_64-linux-gnu"];
    const made = await run("clang-19", [...flags, "-c", "second.bpf.c", "-o", "second.bpf.o"], { cwd: folder });
    assertEquals(made.code, 0, made.stderr);
    let lines = 0;
    for (const [name, ...files] of [["tcp", objectPath("tcp")], ["both", objectPath("calls"), "second.bpf.o"]]) {
      const linked = await run("bpftool", ["gen", "object", `${name}.bpf.o`, ...files], { cwd: folder });
      assertEquals(linked.code, 0, linked.stderr);
      lines += await compare(folder, name, `${folder}/${name}.bpf.o`);
    }
    assertGreater(lines, 10);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** Programs in the style of bcc's tools, on all types of the running kernel. */
const ON_VMLINUX = `
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#define MAX_ARGS 20

const volatile bool targ_dev = false;
const volatile pid_t targ_tgid = 0;
const volatile bool filter_cg = false;

struct hist_key { u32 cmd_flags; u32 dev; };
struct hist { __u32 slots[27]; };
struct piddata { char comm[TASK_COMM_LEN]; u64 qwait_ts; };

struct {
  __uint(type, BPF_MAP_TYPE_CGROUP_ARRAY);
  __type(key, u32);
  __type(value, u32);
  __uint(max_entries, 1);
} cgroup_map SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 10240);
  __type(key, struct request *);
  __type(value, u64);
} start SEC(".maps");

static struct hist initial_hist;

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 10240);
  __type(key, struct hist_key);
  __type(value, struct hist);
} hists SEC(".maps");

struct request_queue___x { struct gendisk *disk; } __attribute__((preserve_access_index));
struct request___x { struct request_queue___x *q; struct gendisk *rq_disk; } __attribute__((preserve_access_index));

static __always_inline struct gendisk *get_disk(void *request) {
  struct request___x *r = request;
  if (bpf_core_field_exists(r->rq_disk)) return BPF_CORE_READ(r, rq_disk);
  return BPF_CORE_READ(r, q, disk);
}

static int __always_inline trace_rq_start(struct request *rq, int issue) {
  u64 ts;
  if (filter_cg && !bpf_current_task_under_cgroup(&cgroup_map, 0)) return 0;
  if (targ_dev && !get_disk(rq)) return 0;
  ts = bpf_ktime_get_ns();
  bpf_map_update_elem(&start, &rq, &ts, 0);
  return 0;
}

SEC("tp_btf/block_rq_issue")
int BPF_PROG(block_rq_issue, struct request *rq) { return trace_rq_start(rq, true); }

SEC("raw_tp/block_rq_complete")
int BPF_PROG(block_rq_complete, struct request *rq, int error, unsigned int nr_bytes) {
  u64 slot, *tsp, ts = bpf_ktime_get_ns();
  struct hist_key hkey = {};
  struct hist *histp;
  tsp = bpf_map_lookup_elem(&start, &rq);
  if (!tsp) return 0;
  hkey.cmd_flags = BPF_CORE_READ(rq, cmd_flags);
  struct gendisk *disk = get_disk(rq);
  hkey.dev = disk ? BPF_CORE_READ(disk, major) << 20 | BPF_CORE_READ(disk, first_minor) : 0;
  histp = bpf_map_lookup_elem(&hists, &hkey);
  if (!histp) { bpf_map_update_elem(&hists, &hkey, &initial_hist, 0); histp = bpf_map_lookup_elem(&hists, &hkey); }
  if (!histp) goto cleanup;
  slot = (ts - *tsp) / 1000U;
  if (slot > 26) slot = 26;
  __sync_fetch_and_add(&histp->slots[slot], 1);
cleanup:
  bpf_map_delete_elem(&start, &rq);
  return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(sched_process_exit, struct task_struct *task) {
  pid_t tgid = BPF_CORE_READ(task, tgid);
  if (targ_tgid && targ_tgid != tgid) return 0;
  struct mm_struct *mm = BPF_CORE_READ(task, mm);
  bool is_idle = BPF_CORE_READ_BITFIELD_PROBED(task, sched_reset_on_fork);
  return mm && is_idle && BPF_CORE_READ(mm, exe_file, f_inode, i_ino) ? 1 : 0;
}

SEC("iter/task")
int dump_task(struct bpf_iter__task *ctx) {
  struct seq_file *seq = ctx->meta->seq;
  struct task_struct *task = ctx->task;
  if (task) BPF_SEQ_PRINTF(seq, "%8d %8d %s\\n", task->tgid, task->pid, task->comm);
  return 0;
}

char LICENSE[] SEC("license") = "GPL";
`;

kernelTest(
  "BpfObject.load() loads programs that were compiled with all types of the kernel, as libbpf does",
  { needs: [...OPTIONS.needs], tools: ["cc", "clang-19", "bpftool"] },
  async () => {
    const folder = await Deno.makeTempDir();
    try {
      await oracle(folder);
      const dump = await run("bpftool", ["btf", "dump", "file", "/sys/kernel/btf/vmlinux", "format", "c"]);
      await Deno.writeTextFile(`${folder}/vmlinux.h`, dump.stdout);
      await Deno.writeTextFile(`${folder}/tool.bpf.c`, ON_VMLINUX);
      const args = ["-O2", "-g", "-target", "bpf", "-D__TARGET_ARCH_x86", "-c", "tool.bpf.c", "-o", "tool.bpf.o"];
      const { code, stderr } = await run("clang-19", args, { cwd: folder });
      assertEquals(code, 0, stderr);
      assertGreater(await compare(folder, "tool", `${folder}/tool.bpf.o`), 8);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);

kernelTest("BpfObject.load() loads what libbpf loads, where bpftool says so", {
  needs: OPTIONS.needs,
  tools: ["bpftool"],
}, async () => {
  const pins = `${Deno.env.get("BPF_TEST_BPFFS")}/loadall`;
  for (const name of ["opens", "tcp", "calls"]) {
    const { code, stderr } = await run("bpftool", ["prog", "loadall", objectPath(name), pins]);
    assertEquals(code, 0, stderr);
    const theirs = [...Deno.readDirSync(pins)].map((entry) => entry.name).sort();
    for (const program of theirs) await Deno.remove(`${pins}/${program}`);
    await Deno.remove(pins);
    using object = BpfObject.parse(objectBytes(name), { name, pinFolder: Deno.env.get("BPF_TEST_BPFFS")! });
    object.load(rootToken());
    assertEquals(Object.keys(object.progs).sort(), theirs);
    assert(theirs.length > 0);
  }
});
