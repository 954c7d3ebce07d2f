import { assert, assertEquals, assertGreater, assertGreaterOrEqual } from "@std/assert";
import { asm } from "../../asm/mod.ts";
import { btfLoad } from "../../cmds/btf.ts";
import type { LinkInfo, MapInfo, ProgInfo } from "../../cmds/info.ts";
import { linkCreate } from "../../cmds/link.ts";
import { mapCreate, mapFreeze } from "../../cmds/map.ts";
import { objGetInfoByFd, objPin } from "../../cmds/obj.ts";
import { progLoad } from "../../cmds/prog.ts";
import { progTestRun } from "../../cmds/prog_run.ts";
import { rawTracepointOpen } from "../../cmds/raw_tracepoint.ts";
import { enableStats } from "../../cmds/stats.ts";
import type { Fd } from "../../ffi/fd.ts";
import { openPath } from "../../ffi/kernel_file.ts";
import { mapTypeSince } from "../../uapi/since.gen.ts";
import { kernelSince, kernelTest, type KernelTestOptions } from "../_kernel_test.ts";
import { bpftoolJson } from "../_tools.ts";
import { BtfBytes, needVmlinuxId } from "./_btf_bytes.ts";
import { keyValueBtf, MAP_TYPES, minimalMap } from "./_map_types.ts";
import {
  arrayMap,
  constant,
  fdinfo,
  makeCgroup,
  place,
  type RootToken,
  rootToken,
  simpleProg,
  u32s,
} from "./_objects.ts";
import { minimalProg, PROG_TYPES } from "./_prog_types.ts";
import { tcpCongestionControl } from "./_struct_ops.ts";

const OPTIONS: KernelTestOptions = { needs: ["btf"], tools: ["bpftool"] };

type Shown = Readonly<Record<string, unknown>>;

async function show(kind: "map" | "prog" | "btf" | "link", id: number): Promise<Shown> {
  const found = await bpftoolJson([kind, "show", "id", `${id}`]);
  assert(typeof found === "object" && found !== null && !Array.isArray(found), `${kind} ${id}`);
  return found as Shown;
}

/** How each of bpftool's fields is to be held against ours: a value, or why it is not compared. */
type Expected = Readonly<Record<string, { readonly is: unknown } | { readonly explained: string }>>;

/**
 * Compares every field that bpftool prints; one that nobody expects is a failure.
 *
 * @returns How many fields were compared.
 */
function compare(shown: Shown, expected: Expected, what: string): number {
  let compared = 0;
  for (const [name, value] of Object.entries(shown)) {
    const rule = expected[name];
    assert(rule !== undefined, `${what}: bpftool prints ${name}=${JSON.stringify(value)}, which nobody expects`);
    if ("explained" in rule) continue;
    assertEquals(value, rule.is, `${what}: ${name}`);
    compared++;
  }
  return compared;
}

/** The name for a type where bpftool is older than the type: its number, and nothing for programs. */
const LATER_MAP_TYPES: ReadonlySet<string> = new Set(
  MAP_TYPES.filter((type) =>
    Number(mapTypeSince[type].split(".")[0]) * 1000 + Number(mapTypeSince[type].split(".")[1]) > 6001
  ),
);

function mapFields(map: Fd, info: MapInfo): Expected {
  const proc = fdinfo(map.fd);
  return {
    id: { is: info.id },
    // Debian 12's bpftool prints the number of a type that is newer than itself.
    type: LATER_MAP_TYPES.has(`${info.type}`) ? { explained: "bpftool may be older than the type" } : { is: info.type },
    name: { is: info.name },
    flags: { is: info.flags },
    bytes_key: { is: info.keySize },
    bytes_value: { is: info.valueSize },
    max_entries: { is: info.maxEntries },
    btf_id: { is: info.btfId },
    bytes_memlock: { explained: "bpftool reads it from /proc: the kernel does not tell it with the rest" },
    frozen: { is: Number(proc.get("frozen")) },
    pinned: { explained: "bpftool looks for pins on every bpffs" },
    owner_prog_type: { explained: "bpftool reads it from /proc" },
    owner_jited: { explained: "bpftool reads it from /proc" },
    pids: { explained: "bpftool asks an iterator of its own for the processes" },
    error: { explained: "bpftool says that it was built without a part" },
  };
}

kernelTest("objGetInfoByFd() tells about maps of every type what bpftool tells", OPTIONS, async () => {
  const token = rootToken();
  let maps = 0;
  let compared = 0;
  for (const type of MAP_TYPES) {
    if (kernelSince(mapTypeSince[type])() !== undefined) continue;
    using map = minimalMap(token, type, { name: `t_${type}`.slice(0, 15) });
    const info = objGetInfoByFd(token, map, { kind: "map" });
    assertEquals(info.name, `t_${type}`.slice(0, 15));
    compared += compare(await show("map", info.id), mapFields(map, info), type);
    maps++;
  }
  console.log(`${maps} maps, ${compared} fields`);
  // As many as Linux 5.10 has, and 6.9.
  assertGreaterOrEqual(maps, kernelSince("6.9")() === undefined ? 33 : 28);
  assertGreater(compared, 7 * maps);
});

kernelTest("objGetInfoByFd() tells about maps with flags, BTF and a pin what bpftool tells", {
  ...OPTIONS,
  needs: ["btf", "bpffs"],
}, async () => {
  const token = rootToken();
  using btf = btfLoad(token, keyValueBtf());
  const base = { type: "hash", keySize: 4, valueSize: 8, maxEntries: 7 } as const;
  const cases = [
    { ...base, flags: constant("BPF_F_NO_PREALLOC") | constant("BPF_F_RDONLY_PROG"), name: "flags" },
    { ...base, btf: { fd: btf, keyTypeId: 1, valueTypeId: 2 }, name: "types" },
    { ...base, type: "array", flags: constant("BPF_F_MMAPABLE"), name: "mapped" },
    { ...base, type: "percpu_hash", name: "per_cpu" },
    { ...base, name: "" },
  ] as const;
  const { id: btfId } = objGetInfoByFd(token, btf, { kind: "btf" });
  for (const options of cases) {
    using map = mapCreate(token, options);
    mapFreeze(token, map);
    const path = `${place("BPFFS")}/bpftool`;
    objPin(token, map, { path });
    const info = objGetInfoByFd(token, map, { kind: "map" });
    const shown = await show("map", info.id);
    assertGreaterOrEqual(compare(shown, mapFields(map, info), options.name), options.name === "" ? 7 : 8);
    if (options.name === "types") {
      assertEquals([info.btfId, info.btfKeyTypeId, info.btfValueTypeId, shown.btf_id], [btfId, 1, 2, btfId]);
    }
    Deno.removeSync(path);
  }
});

function progFields(info: ProgInfo): Expected {
  return {
    id: { is: info.id },
    type: info.type === "netfilter" ? { explained: "Debian 12's bpftool is older than the type" } : { is: info.type },
    name: { is: info.name },
    tag: { is: info.tag },
    gpl_compatible: { is: info.gplCompatible },
    // Seconds since 1970, from a clock whose offset bpftool works out: ours is since boot.
    loaded_at: { explained: "bpftool turns it into a date; see the test of objGetInfoByFd()" },
    uid: { is: info.createdByUid },
    orphaned: { explained: "about programs for devices" },
    bytes_xlated: { is: info.xlatedProgLen },
    jited: { is: info.jitedProgLen > 0 },
    bytes_jited: { is: info.jitedProgLen },
    bytes_memlock: { explained: "bpftool reads it from /proc: the kernel does not tell it with the rest" },
    map_ids: { is: info.mapIds ?? [] },
    btf_id: { is: info.btfId },
    run_time_ns: { is: Number(info.runTimeNs) },
    run_cnt: { is: Number(info.runCnt) },
    recursion_misses: { is: Number(info.recursionMisses) },
    verified_insns: { is: info.verifiedInsns },
    pids: { explained: "bpftool asks an iterator of its own for the processes" },
    pinned: { explained: "bpftool looks for pins on every bpffs" },
    error: { explained: "bpftool says that it was built without a part" },
  };
}

kernelTest("objGetInfoByFd() tells about programs of every type what bpftool tells", OPTIONS, async () => {
  const token = rootToken();
  let progs = 0;
  let compared = 0;
  for (const type of PROG_TYPES) {
    let prog: Fd;
    try {
      prog = minimalProg(token, type, { name: `p_${type}`.slice(0, 15), license: "GPL" });
    } catch {
      // cmds_prog_test.ts says which types a kernel may lack.
      continue;
    }
    using _prog = prog;
    const info = objGetInfoByFd(token, prog, { kind: "prog" });
    assertEquals(info.name, `p_${type}`.slice(0, 15));
    compared += compare(await show("prog", info.id), progFields(info), type);
    progs++;
  }
  console.log(`${progs} programs, ${compared} fields`);
  assertGreaterOrEqual(progs, 28);
  assertGreaterOrEqual(compared, 8 * progs);
});

kernelTest("objGetInfoByFd() tells about a program with maps, BTF, functions and runs what bpftool tells", {
  ...OPTIONS,
  needs: ["btf", kernelSince("5.8")],
}, async () => {
  const token = rootToken();
  const types = new BtfBytes();
  const int = types.int("int", 4, 1);
  const proto = types.funcProto(int, [["ctx", types.pointer(0)]]);
  const func = types.func("entry", proto, 1);
  using btf = btfLoad(token, types.bytes());
  using first = arrayMap(token);
  using second = arrayMap(token);
  using prog = progLoad(token, {
    type: "socket_filter",
    license: "Proprietary",
    name: "with_all",
    insns: asm`
      r1 = map_fd ${first} ll
      r2 = map_fd ${second} ll
      r0 = 0
      exit
    `,
    btf: { fd: btf, funcInfo: { records: u32s(0, func), size: 8 } },
  });
  {
    using _stats = enableStats(token);
    progTestRun(token, prog, { data: new Uint8Array(64), repeat: 25 });
  }
  const info = objGetInfoByFd(token, prog, { kind: "prog", details: ["mapIds"] });
  const shown = await show("prog", info.id);
  assertGreaterOrEqual(compare(shown, progFields(info), "with_all"), 12);
  assertEquals([shown.run_cnt, shown.gpl_compatible, (shown.map_ids as number[]).length], [25, false, 2]);
  assertEquals(shown.btf_id, objGetInfoByFd(token, btf, { kind: "btf" }).id);
});

kernelTest("objGetInfoByFd() tells about BTF what bpftool tells", OPTIONS, async () => {
  const token = rootToken();
  using btf = btfLoad(token, keyValueBtf());
  using map = mapCreate(token, {
    type: "hash",
    keySize: 4,
    valueSize: 8,
    maxEntries: 1,
    btf: { fd: btf, keyTypeId: 1, valueTypeId: 2 },
  });
  const info = objGetInfoByFd(token, btf, { kind: "btf" });
  const expected: Expected = {
    id: { is: info.id },
    size: { is: info.btfSize },
    kernel: { is: info.kernelBtf },
    name: { is: info.name },
    map_ids: { is: [objGetInfoByFd(token, map, { kind: "map" }).id] },
    prog_ids: { is: [] },
    pids: { explained: "bpftool asks an iterator of its own for the processes" },
    error: { explained: "bpftool says that it was built without a part" },
  };
  const shown = await show("btf", info.id);
  assertGreaterOrEqual(compare(shown, expected, "btf"), 3);
  assertEquals(shown.map_ids, [objGetInfoByFd(token, map, { kind: "map" }).id]);
});

function linkFields(info: LinkInfo): Expected {
  const detail = (name: string): { is: unknown } => {
    const value = Reflect.get(info, name);
    return { is: typeof value === "bigint" ? Number(value) : value };
  };
  const iterator = Reflect.get(info, "map") as { mapId: number } | undefined;
  return {
    id: { is: info.id },
    prog_id: { is: info.progId },
    type: info.type === "netfilter" || info.type === "tcx"
      ? { explained: "Debian 12's bpftool is older than the type" }
      : { is: info.type },
    prog_type: { explained: "it is the program's" },
    attach_type: detail("attachType"),
    cgroup_id: detail("cgroupId"),
    tp_name: detail("tpName"),
    target_name: detail("targetName"),
    map_id: { is: iterator?.mapId ?? Reflect.get(info, "mapId") },
    netns_ino: detail("netnsIno"),
    pids: { explained: "bpftool asks an iterator of its own for the processes" },
    error: { explained: "bpftool says that it was built without a part" },
  };
}

/** Links of the kinds that bpftool prints something of. */
function links(token: RootToken, cgroup: number, keep: <T extends Disposable>(made: T) => T): Fd[] {
  const map = keep(minimalMap(token, "hash"));
  const raw = keep(simpleProg(token, "raw_tracepoint"));
  const device = keep(simpleProg(token, "cgroup_device", { value: 1 }));
  const lookup = keep(minimalProg(token, "sk_lookup"));
  const iterator = keep(minimalProg(token, "tracing", {
    expectedAttachType: "trace_iter",
    attachBtfId: needVmlinuxId("func", "bpf_iter_bpf_map_elem"),
  }));
  const netns = keep(openPath("/proc/self/ns/net"));
  const made = [
    rawTracepointOpen(token, raw, { name: "sched_switch" }),
    linkCreate(token, { prog: device, target: { fd: cgroup }, attachType: "cgroup_device" }),
    linkCreate(token, { prog: lookup, target: { fd: netns }, attachType: "sk_lookup" }),
    linkCreate(token, { prog: iterator, attachType: "trace_iter", iter: { map } }),
  ];
  if (kernelSince("6.4")() === undefined) {
    made.push(linkCreate(token, { prog: keep(tcpCongestionControl(token, "bpf_tool")), attachType: "struct_ops" }));
  }
  return made.map(keep);
}

kernelTest("objGetInfoByFd() tells about links what bpftool tells", {
  ...OPTIONS,
  needs: ["btf", "cgroup", "netns"],
}, async () => {
  const token = rootToken();
  using cgroup = makeCgroup("bpftool");
  using stack = new DisposableStack();
  const seen: string[] = [];
  for (const link of links(token, cgroup.fd, (made) => stack.use(made))) {
    const info = objGetInfoByFd(token, link, { kind: "link" });
    const shown = await show("link", info.id);
    // Each kind has a field of its own, but that Debian 12's bpftool knows none for struct_ops.
    const compared = compare(shown, linkFields(info), `${info.type}`);
    assertGreaterOrEqual(compared, info.type === "struct_ops" ? 3 : 4, `${info.type}`);
    seen.push(`${info.type}`);
  }
  assertEquals(seen.slice(0, 4), ["raw_tracepoint", "cgroup", "netns", "iter"]);
});

kernelTest("the comparison with bpftool finds a field that is wrong or new", OPTIONS, () => {
  const expected: Expected = { id: { is: 1 }, pids: { explained: "none of ours" } };
  assertEquals(compare({ id: 1, pids: [3] }, expected, "map"), 1);
  for (const shown of [{ id: 2 }, { id: 1, fresh: 0 }]) {
    let failed = false;
    try {
      compare(shown, expected, "map");
    } catch {
      failed = true;
    }
    assert(failed);
  }
});
