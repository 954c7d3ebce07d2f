import { assert, assertEquals, assertGreaterOrEqual, assertThrows } from "@std/assert";
import {
  type AttachType,
  attachTypes,
  features,
  hasAttachType,
  hasFeature,
  hasHelper,
  hasMapType,
  hasProgType,
  type HelperName,
  helpers,
  helpersFor,
  jitSettings,
  kernelBtf,
  type MapType,
  mapTypes,
  type ProgType,
  progTypes,
} from "../../mod.ts";
import { forgetAnswers } from "../../features/_answer.ts";
import { attachTypeSince, mapTypeSince, progTypeSince } from "../../uapi/since.gen.ts";
import { acquire } from "../../tokens/token.ts";
import { kernelSince, kernelTest, SLOWNESS } from "../_kernel_test.ts";
import { run } from "../_tools.ts";
import { interpose, rootToken } from "./_objects.ts";

/**
 * Where bpftool's probe of Debian 12 (7.1) says something else, and why.
 *
 * | what                         | bpftool | here        | because                                                   |
 * | ---------------------------- | ------- | ----------- | --------------------------------------------------------- |
 * | program type `tracing`       | no      | yes         | it tries fentry, which needs more than the type does      |
 * | program type `ext`           | any     | inconclusive or yes | it has no target, and takes the error for one either way |
 * | program type `lsm`           | no      | inconclusive or yes | it takes a refusal of the hook for one of the type  |
 * | `netfilter` and newer types  | absent  | answered    | it is older than they are                                 |
 * | map type `struct_ops`        | any     | answered    | kernels changed which error its probe gives               |
 * | helpers, Linux 6.11 and later | all    | some        | the verifier says "program of this type cannot use helper" now, which it does not look for |
 * | `bpf_trace_printk` and the like | no   | yes         | it does not try what writes to the kernel's log            |
 * | `bpf_{get,set}sockopt` for `cgroup_sockopt` | no | yes    | it asks as for `cgroup_getsockopt`, this as for `cgroup_setsockopt` |
 * | helpers of `tracing`, `lsm`, `ext`, `struct_ops` | none | some | it does not try them                              |
 */
const PROG_DIFFERENCES: ReadonlySet<string> = new Set(["tracing", "ext", "lsm"]);
const MAP_DIFFERENCES: ReadonlySet<string> = new Set(["struct_ops"]);
const PRINTING: ReadonlySet<string> = new Set(["bpf_trace_printk", "bpf_trace_vprintk", "bpf_probe_write_user"]);
const HELPER_DIFFERENCES: ReadonlySet<string> = new Set(["tracing", "ext", "lsm", "struct_ops"]);

interface Probed {
  readonly program_types: Readonly<Record<string, boolean>>;
  readonly map_types: Readonly<Record<string, boolean>>;
  readonly helpers: Readonly<Record<string, readonly string[]>>;
  readonly misc: Readonly<Record<string, boolean>>;
  readonly system_config: Readonly<Record<string, number | string | null>>;
}

let probed: Promise<Probed> | undefined;

/** What bpftool finds, asked for once. */
async function bpftool(): Promise<Probed> {
  probed ??= run("bpftool", ["-j", "feature", "probe", "kernel"], { timeoutMs: 120_000 * SLOWNESS })
    .then(({ stdout }) => JSON.parse(stdout) as Probed);
  return await probed;
}

/** Whether a type's release says that the running kernel should have it. */
function isDue(since: Readonly<Record<string, string>>, type: string): boolean {
  return kernelSince(since[type])() === undefined;
}

kernelTest(
  "hasProgType() agrees with bpftool and with the release",
  { tools: ["bpftool"], needs: ["btf"] },
  async () => {
    const token = rootToken();
    const { program_types } = await bpftool();
    let compared = 0;
    for (const type of Object.keys(progTypes) as ProgType[]) {
      const answer = hasProgType(token, type);
      if (!isDue(progTypeSince, type)) assertEquals(answer, false, type);
      const said = program_types[`have_${type}_prog_type`];
      if (said === undefined || PROG_DIFFERENCES.has(type)) {
        if (type !== "ext" && type !== "lsm") assertEquals(answer, isDue(progTypeSince, type), type);
        continue;
      }
      assertEquals(answer, said, type);
      compared++;
    }
    assertGreaterOrEqual(compared, 27);
  },
);

kernelTest(
  "hasMapType() agrees with bpftool and with the release",
  { tools: ["bpftool"], needs: ["btf"] },
  async () => {
    const token = rootToken();
    const { map_types } = await bpftool();
    let compared = 0;
    for (const type of Object.keys(mapTypes) as MapType[]) {
      const answer = hasMapType(token, type);
      if (!isDue(mapTypeSince, type)) assertEquals(answer, false, type);
      // bpftool calls cgroup_storage by its old name or by its new one.
      const said = map_types[`have_${type}_map_type`] ??
        map_types[`have_${type.replace("cgroup", "cgroup_")}_map_type`];
      if (said === undefined || MAP_DIFFERENCES.has(type)) {
        assertEquals(answer, isDue(mapTypeSince, type), type);
        continue;
      }
      assertEquals(answer, said, type);
      compared++;
    }
    assertGreaterOrEqual(compared, 30);
  },
);

kernelTest("hasHelper() agrees with bpftool", { tools: ["bpftool"], needs: ["btf"] }, async () => {
  const token = rootToken();
  const { helpers: found } = await bpftool();
  const saysMore = kernelSince("6.11")() === undefined;
  let compared = 0;
  for (const type of Object.keys(progTypes) as ProgType[]) {
    const theirs = found[`${type}_available_helpers`];
    if (theirs === undefined || HELPER_DIFFERENCES.has(type) || theirs.length === 0) continue;
    const ours = helpersFor(token, type).map((name) => `bpf_${name}`);
    assertGreaterOrEqual(ours.length, 20, type);
    const isOther = (name: string): boolean => type === "cgroup_sockopt" && /^bpf_[gs]etsockopt$/.test(name);
    const missing = ours.filter((name) => !theirs.includes(name) && !isOther(name));
    // It knows no helper that came after it.
    assertEquals(
      missing.filter((name) => helpers[name.slice(4) as HelperName] <= 208 && !PRINTING.has(name)),
      [],
      type,
    );
    if (!saysMore) assertEquals(theirs.filter((name) => !ours.includes(name)), [], type);
    compared++;
  }
  assertGreaterOrEqual(compared, 20);
  // What the kernel's own tables say.
  const expected: readonly (readonly [ProgType, HelperName, boolean])[] = [
    ["xdp", "redirect_map", true],
    ["xdp", "skb_store_bytes", false],
    ["sched_cls", "skb_store_bytes", true],
    ["kprobe", "probe_read_kernel", true],
    ["kprobe", "redirect", false],
    ["socket_filter", "map_lookup_elem", true],
    ["socket_filter", "override_return", false],
    ["sk_lookup", "sk_assign", true],
  ];
  for (const [type, helper, answer] of expected) {
    assertEquals(hasHelper(token, type, helper), answer, `${type} ${helper}`);
  }
  assertThrows(() => hasHelper(token, "xdp", "nothing" as HelperName), TypeError, '"nothing" is unknown');
});

/** Attach types that ask for what not every kernel is built with. */
const BUILT_WITHOUT: ReadonlySet<AttachType> = new Set<AttachType>([
  "lirc_mode2",
  "lsm_mac",
  "lsm_cgroup",
  "trace_fentry",
  "trace_fexit",
  "trace_fsession",
  "modify_return",
  "trace_kprobe_multi",
  "trace_kprobe_session",
]);

kernelTest("hasAttachType() answers as the release of each has it", { needs: ["btf"] }, () => {
  const token = rootToken();
  const btf = kernelBtf();
  const known = btf.type(btf.find("enum", "bpf_attach_type") as number);
  assert(known.kind === "enum");
  const names = new Set(known.values.map(({ name }) => name));
  let yes = 0;
  for (const type of Object.keys(attachTypes) as AttachType[]) {
    const answer = hasAttachType(token, type);
    if (!names.has(`BPF_${type.toUpperCase()}`)) assertEquals(answer, false, type);
    if (BUILT_WITHOUT.has(type)) {
      if (!isDue(attachTypeSince, type)) assertEquals(answer, false, type);
      continue;
    }
    assertEquals(answer, isDue(attachTypeSince, type), type);
    if (answer) yes++;
  }
  assertGreaterOrEqual(yes, 33);
  assertThrows(() => hasAttachType(token, "nothing" as AttachType), TypeError, '"nothing" is unknown');
});

/** The release that brought each feature. */
const FEATURE_SINCE: Readonly<Record<string, string>> = {
  large_insns: "5.2",
  bounded_loops: "5.3",
  isa_v2: "4.14",
  isa_v3: "5.1",
  isa_v4: "6.6",
  atomics: "5.12",
  may_goto: "6.9",
  load_acquire: "6.15",
  global_data: "5.2",
  token: "6.9",
  array_mmap: "5.5",
  arena: "6.9",
  ringbuf_overwrite: "6.19",
  btf_func: "4.20",
  btf_func_global: "5.6",
  btf_datasec: "5.2",
  btf_float: "5.13",
  btf_decl_tag: "5.16",
  btf_type_tag: "5.17",
  btf_enum64: "6.0",
  btf_qmark_datasec: "6.9",
  object_names: "4.15",
  expected_attach_type: "4.17",
};

kernelTest(
  "hasFeature() agrees with the release, and with bpftool where it asks too",
  { tools: ["bpftool"] },
  async () => {
    const token = rootToken();
    assertEquals([...features].sort(), Object.keys(FEATURE_SINCE).sort());
    for (const feature of features) {
      assertEquals(hasFeature(token, feature), kernelSince(FEATURE_SINCE[feature])() === undefined, feature);
    }
    const { misc } = await bpftool();
    const same = [
      ["large_insns", "have_large_insn_limit"],
      ["bounded_loops", "have_bounded_loops"],
      ["isa_v2", "have_v2_isa_extension"],
      ["isa_v3", "have_v3_isa_extension"],
    ] as const;
    for (const [feature, theirs] of same) assertEquals(hasFeature(token, feature), misc[theirs], feature);
    assertThrows(() => hasFeature(token, "nothing" as "arena"), TypeError, '"nothing" is none of');
  },
);

kernelTest("jitSettings() agrees with bpftool", { tools: ["bpftool"] }, async () => {
  const settings = jitSettings();
  const { system_config: config } = await bpftool();
  // In other network namespaces than the first neither of them sees the sysctls.
  const number = (value: unknown): number | undefined => typeof value === "number" && value >= 0 ? value : undefined;
  const [enable, kallsyms] = [number(config.bpf_jit_enable), number(config.bpf_jit_kallsyms)];
  assertEquals(settings.enabled, enable === undefined ? undefined : enable === 2 ? "debug" : enable === 1);
  assertEquals(settings.kallsyms, kallsyms === undefined ? undefined : kallsyms !== 0);
  assertEquals(settings.limit, number(config.bpf_jit_limit));
  assertEquals(settings.alwaysOn, config.CONFIG_BPF_JIT_ALWAYS_ON === "y");
});

kernelTest("features: answers are kept, and what could not be told is asked again", {}, () => {
  const weak = acquire();
  const token = rootToken();
  forgetAnswers();
  assertEquals(hasHelper(weak, "cgroup_sysctl", "sysctl_get_name"), undefined);
  assertEquals(hasHelper(token, "cgroup_sysctl", "sysctl_get_name"), true);
  using interposed = interpose();
  assertEquals(hasHelper(weak, "cgroup_sysctl", "sysctl_get_name"), true);
  assertEquals(interposed.calls.length, 0);
});
