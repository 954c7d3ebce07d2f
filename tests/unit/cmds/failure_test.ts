import { assert, assertEquals, assertMatch, assertStrictEquals, assertThrows } from "@std/assert";
import { btfLoad } from "../../../cmds/btf.ts";
import { mapGetNextId } from "../../../cmds/id.ts";
import { iterCreate } from "../../../cmds/iter.ts";
import { linkCreate, type LinkCreateOptions, linkDetach } from "../../../cmds/link.ts";
import { mapCreate, type MapCreateOptions, mapFreeze } from "../../../cmds/map.ts";
import { mapLookupBatch } from "../../../cmds/map_batch.ts";
import { mapDeleteElem, mapLookupElem } from "../../../cmds/map_elem.ts";
import { objGet, objPin } from "../../../cmds/obj.ts";
import { progAssocStructOps, progBindMap, progLoad, type ProgLoadOptions } from "../../../cmds/prog.ts";
import { progAttach, progQuery } from "../../../cmds/prog_attach.ts";
import { progStreamRead, progTestRun } from "../../../cmds/prog_run.ts";
import { rawTracepointOpen } from "../../../cmds/raw_tracepoint.ts";
import { tokenCreate } from "../../../cmds/token.ts";
import { NotSupportedError, PermissionError, SyscallError } from "../../../errors.ts";
import { unknownOperation } from "../../../cmds/_support.ts";
import { parseRelease } from "../../../tokens/environment.ts";
import { grantToken } from "../../../tokens/token.ts";
import { errnos } from "../../../uapi/errno.gen.ts";
import { type AttachType, type CommandName, mapTypes } from "../../../uapi/enums.gen.ts";
import { FakeKernel } from "../_fake_kernel.ts";
import { ALL, type Differences, environment } from "../tokens/_environments.ts";

type Token = ReturnType<typeof onRelease>;

function onRelease(release: string, more: Differences = {}) {
  return grantToken(environment({ release, ...more }), ALL);
}

/** A kernel that fails a command, and whose probes find it. */
function failing(command: CommandName, errno: keyof typeof errnos): FakeKernel {
  const fake: FakeKernel = new FakeKernel((call): number | undefined => {
    if (call.command !== command) return undefined;
    // The probe of a known command: a descriptor that is none.
    return fake.of(command).length > 1 && isProbe(fake) ? -errnos.EBADF : -errnos[errno];
  });
  return fake;
}

function isProbe(fake: FakeKernel): boolean {
  const { bytes } = fake.seen[fake.seen.length - 1];
  return bytes.some((_, at) => [0, 1, 2, 3].every((next) => bytes[at + next] === 0xff));
}

const insns = new Uint8Array([0x95, 0, 0, 0, 0, 0, 0, 0]);
const map = (options: Partial<MapCreateOptions<"hash">>) => (token: Token): unknown =>
  mapCreate(token, { type: "hash", keySize: 4, valueSize: 8, maxEntries: 1, ...options });
const prog = (options: Partial<ProgLoadOptions<"xdp">>) => (token: Token): unknown =>
  progLoad(token, { type: "xdp", insns, license: "GPL", ...options });
const link = (attachType: AttachType, options: Partial<LinkCreateOptions>) => (token: Token): unknown =>
  linkCreate(token, { prog: 5, attachType, ...options });
const target = { fd: 6 };

/** A call with a field that came later than its command, and the release that brought it. */
const LATER: readonly (readonly [CommandName, field: string, since: string, (token: Token) => unknown])[] = [
  ["map_create", "btf_vmlinux_value_type_id", "5.6", map({ vmlinuxValueTypeId: 1 })],
  ["map_create", "map_extra", "5.16", map({ extra: 1 })],
  ["map_create", "value_type_btf_obj_fd", "6.9", map({ valueTypeBtf: 5 })],
  ["map_create", "excl_prog_hash", "6.18", map({ exclusiveProgHash: new Uint8Array(32) })],
  // The newest of several is the one to name.
  ["map_create", "value_type_btf_obj_fd", "6.9", map({ valueTypeBtf: 5, extra: 1 })],
  ["prog_load", "attach_btf_id", "5.5", prog({ attachBtfId: 1 })],
  ["prog_load", "fd_array", "5.14", prog({ fdArray: [5] })],
  ["prog_load", "fd_array_cnt", "6.14", prog({ fdArray: [5], bindFdArray: true })],
  [
    "prog_load",
    "core_relos",
    "5.17",
    prog({ btf: { fd: 5, coreRelos: { records: new Uint8Array(16), size: 16 } } }),
  ],
  ["prog_load", "signature", "6.18", prog({ signature: new Uint8Array(9) })],
  ["obj_pin", "path_fd", "6.5", (token) => objPin(token, 5, { path: "x", directory: 6 })],
  ["obj_get", "path_fd", "6.5", (token) => objGet(token, "x", { directory: 6 })],
  [
    "prog_attach",
    "replace_bpf_fd",
    "5.6",
    (token) => progAttach(token, 5, { target, attachType: "cgroup_device", replace: 7 }),
  ],
  [
    "prog_attach",
    "expected_revision",
    "6.6",
    (token) => progAttach(token, 5, { target, attachType: "cgroup_device", expectedRevision: 1n }),
  ],
  [
    "prog_query",
    "prog_attach_flags",
    "6.0",
    (token) => progQuery(token, { target, attachType: "cgroup_device", progAttachFlags: true }),
  ],
  ["prog_test_run", "ctx_in", "5.2", (token) => progTestRun(token, 5, { ctx: new Uint8Array(8) })],
  ["prog_test_run", "flags", "5.10", (token) => progTestRun(token, 5, { flags: 1 })],
  ["prog_test_run", "batch_size", "5.18", (token) => progTestRun(token, 5, { batchSize: 1 })],
  ["raw_tracepoint_open", "cookie", "6.10", (token) => rawTracepointOpen(token, 5, { name: "x", cookie: 1n })],
  ["link_create", "perf_event.bpf_cookie", "5.15", link("perf_event", { target, perfEvent: { cookie: 1n } })],
  ["link_create", "kprobe_multi.cnt", "5.18", link("trace_kprobe_multi", { kprobeMulti: { symbols: ["a"] } })],
  ["link_create", "tracing.cookie", "5.19", link("trace_fentry", { tracing: { cookie: 1n } })],
  ["link_create", "netfilter.pf", "6.4", link("netfilter", { netfilter: { pf: 2, hooknum: 0, priority: 1 } })],
  ["link_create", "tcx.expected_revision", "6.6", link("tcx_ingress", { tcx: { expectedRevision: 1n } })],
  [
    "link_create",
    "uprobe_multi.path",
    "6.6",
    link("trace_uprobe_multi", { uprobeMulti: { path: "/bin/sh", offsets: [1n] } }),
  ],
  ["link_create", "netkit.expected_revision", "6.7", link("netkit_peer", { netkit: { expectedRevision: 1n } })],
  ["link_create", "cgroup.expected_revision", "6.16", link("cgroup_device", { cgroup: { expectedRevision: 1n } })],
  ["link_create", "tracing_multi.ids", "7.2", link("trace_fentry_multi", { tracingMulti: { ids: [1] } })],
];

/** Fields that came with the attach type that they are for, which is then what is lacking. */
const TYPE_OF_FIELD: Readonly<Record<string, string>> = {
  "perf_event.bpf_cookie": "perf_event",
  "kprobe_multi.cnt": "trace_kprobe_multi",
  "netfilter.pf": "netfilter",
  "tcx.expected_revision": "tcx_ingress",
  "uprobe_multi.path": "trace_uprobe_multi",
  "netkit.expected_revision": "netkit_peer",
  "tracing_multi.ids": "trace_fentry_multi",
};

Deno.test("failure() names the field that the kernel is too old for, and the release that has it", () => {
  for (const [command, field, since, make] of LATER) {
    for (const errno of ["EINVAL", "E2BIG"] as const) {
      using fake = failing(command, errno);
      const [major, minor] = since.split(".").map(Number);
      const before = minor === 0 ? `${major - 1}.19` : `${major}.${minor - 1}`;
      const label = `${command} ${field} ${errno}`;
      const error = assertThrows(() => make(onRelease(before)), NotSupportedError, undefined, label);
      const type = TYPE_OF_FIELD[field];
      const feature = type === undefined ? `field ${field} of BPF_${command.toUpperCase()}` : `attach type ${type}`;
      assertEquals([error.feature, error.since], [feature, since], label);
      assertMatch(error.message, new RegExp(`Linux ${since.replace(".", "\\.")} has it`));
      const { cause } = error as { cause: SyscallError };
      assertEquals([cause.code, cause.command], [errno, command]);
      // A kernel of that release has it: the error is about something else.
      const plain = assertThrows(() => make(onRelease(since)), SyscallError, undefined, label);
      assertEquals(plain.code, errno);
      assertEquals(fake.openFds.size, 0);
    }
  }
  assert(LATER.length > 20);
});

Deno.test("failure() names the type that the kernel is too old for, and the release that has it", () => {
  const types: readonly (readonly [CommandName, feature: string, since: string, (token: Token) => unknown])[] = [
    ["map_create", "map type bloom_filter", "5.16", (token) => {
      mapCreate(token, { type: "bloom_filter", valueSize: 8, maxEntries: 1 });
    }],
    [
      "prog_load",
      "program type syscall",
      "5.14",
      (token) => progLoad(token, { type: "syscall", insns, license: "GPL" }),
    ],
    ["prog_attach", "attach type tcx_ingress", "6.6", (token) => {
      progAttach(token, 5, { target, attachType: "tcx_ingress" });
    }],
    [
      "prog_query",
      "attach type tcx_ingress",
      "6.6",
      (token) => progQuery(token, { target, attachType: "tcx_ingress" }),
    ],
    ["prog_query", "BPF_PROG_QUERY for attach type sk_msg_verdict", "5.18", (token) => {
      progQuery(token, { target, attachType: "sk_msg_verdict" });
    }],
    ["link_create", "BPF_LINK_CREATE for attach type sk_msg_verdict", "6.10", link("sk_msg_verdict", { target })],
  ];
  for (const [command, feature, since, make] of types) {
    using _ = failing(command, "EINVAL");
    const error = assertThrows(() => make(onRelease("5.10")), NotSupportedError, undefined, feature);
    assertEquals([error.feature, error.since], [feature, since]);
    assertEquals(assertThrows(() => make(onRelease(since)), SyscallError, undefined, feature).code, "EINVAL");
  }
  // What a struct_ops program has in that field is no attach type.
  using _ = failing("prog_load", "EINVAL");
  const options = { type: "struct_ops", insns, license: "GPL", expectedAttachType: 46 } as const;
  assertEquals(assertThrows(() => progLoad(onRelease("5.10"), options), SyscallError).code, "EINVAL");
});

Deno.test("unknownOperation() knows which maps got an operation later than others", () => {
  const on = (command: CommandName, type: keyof typeof mapTypes, release: string): string | undefined =>
    unknownOperation(command, mapTypes[type], parseRelease(release))?.since;
  assertEquals(on("map_lookup_and_delete_elem", "lru_hash", "5.10"), "5.14");
  assertEquals(on("map_lookup_and_delete_elem", "lru_hash", "5.14"), undefined);
  assertEquals(on("map_lookup_and_delete_elem", "array", "5.10"), undefined);
  for (const command of ["map_lookup_batch", "map_update_batch"] as const) {
    assertEquals(on(command, "percpu_array", "5.10"), "5.13");
    assertEquals(on(command, "lpm_trie", "5.10"), "5.13");
    assertEquals(on(command, "hash", "5.10"), undefined);
  }
  assertEquals(on("map_delete_batch", "lpm_trie", "5.10"), "5.13");
  assertEquals(on("map_delete_batch", "percpu_array", "5.10"), undefined);
  assertEquals(on("map_lookup_batch", "queue", "5.10"), undefined);
});

Deno.test("failure() blames no field that was left at zero", () => {
  using _ = failing("map_create", "EINVAL");
  const old = onRelease("5.4");
  assertEquals(assertThrows(() => map({})(old), SyscallError).code, "EINVAL");
  assertEquals(assertThrows(() => map({ extra: 0, vmlinuxValueTypeId: 0 })(old), SyscallError).code, "EINVAL");
});

Deno.test("failure() tells a command that the kernel lacks from one that refuses", () => {
  const token = onRelease("5.4");
  const calls: readonly (readonly [CommandName, since: string, () => unknown])[] = [
    ["map_freeze", "5.2", () => mapFreeze(token, 5)],
    ["map_delete_elem", "3.18", () => mapDeleteElem(token, 5, { key: new Uint8Array(4) })],
    [
      "map_lookup_batch",
      "5.6",
      () => mapLookupBatch(token, 5, { keys: insns, values: insns, count: 1, outBatch: insns }),
    ],
    ["link_create", "5.7", () => linkCreate(token, { prog: 5, target, attachType: "cgroup_device" })],
    ["link_detach", "5.9", () => linkDetach(token, 5)],
    ["iter_create", "5.8", () => iterCreate(token, 5)],
    ["prog_bind_map", "5.10", () => progBindMap(token, 5, { map: 6 })],
    ["token_create", "6.9", () => tokenCreate(token, 5)],
    ["prog_stream_read_by_fd", "6.17", () => progStreamRead(token, 5, { stream: "stdout", buffer: insns })],
    ["prog_assoc_struct_ops", "7.0", () => progAssocStructOps(token, 5, { map: 6 })],
  ];
  for (const [command, since, make] of calls) {
    {
      using fake = new FakeKernel((call) => call.command === command ? -errnos.EINVAL : undefined);
      const error = assertThrows(make, NotSupportedError, undefined, command);
      assertEquals([error.feature, error.since], [`BPF_${command.toUpperCase()}`, since]);
      // The call, and the probe.
      assertEquals(fake.of(command).length, 2);
    }
    using _ = failing(command, "EINVAL");
    assertEquals(assertThrows(make, SyscallError, undefined, command).code, "EINVAL");
  }
});

Deno.test("failure() says that the kernel was built without bpf(2)", () => {
  using _ = new FakeKernel(() => -errnos.ENOSYS);
  assertThrows(() => map({})(onRelease("6.18")), NotSupportedError, "built without CONFIG_BPF_SYSCALL");
});

Deno.test("failure() gives a hint where there is one", () => {
  using _ = failing("map_create", "ENOMEM");
  const error = assertThrows(() => map({})(onRelease("6.18")), SyscallError);
  assertEquals([error.command, error.errno, error.code], ["map_create", 12, "ENOMEM"]);
  assertMatch(error.hint ?? "", /larger than the kernel has memory for/);
  assertMatch(error.message, /ENOMEM \(.*\): the map is larger than the kernel has memory for$/);
});

/** What the error of a call says that the kernel refused by EPERM. */
function refused(token: Token, prepare: (fake: FakeKernel) => void = () => {}): PermissionError {
  using fake = failing("map_create", "EPERM");
  prepare(fake);
  const error = assertThrows(() => map({})(token), PermissionError);
  assertEquals([error.code, error.errno, error.command, error.missing], ["EPERM", 1, "map_create", []]);
  assert(error.cause instanceof SyscallError);
  assertMatch(error.reason, /^the kernel refused it in spite of the token: /);
  return error;
}

Deno.test("failure() explains EPERM by what refuses besides capabilities", () => {
  const token = onRelease("6.18");
  const status = (mode: number) => (fake: FakeKernel): void =>
    void fake.files.set(
      "/proc/thread-self/status",
      `Name:\tdeno\nNoNewPrivs:\t0\nSeccomp:\t${mode}\nSeccomp_filters:\t1\n`,
    );
  assertMatch(refused(token).reason, /a security module may refuse it \(active: unknown\)$/);
  assertMatch(
    refused(token, (fake) => fake.files.set("/sys/kernel/security/lsm", "lockdown,capability,selinux")).reason,
    /active: lockdown,capability,selinux/,
  );
  assertMatch(refused(token, status(2)).reason, /a seccomp filter is installed/);
  assertMatch(refused(token, status(2)).remedy, /seccomp profile/);
  assert(!/seccomp/.test(refused(token, status(0)).reason));
  const lockdown = (text: string) => (fake: FakeKernel): void =>
    void fake.files.set("/sys/kernel/security/lockdown", text);
  assertMatch(refused(token, lockdown("none [integrity] confidentiality\n")).reason, /lockdown is in "integrity" mode/);
  assert(!/lockdown/.test(refused(token, lockdown("[none] integrity confidentiality\n")).reason));
});

Deno.test("failure() explains EPERM in a user namespace by its BPF token", () => {
  const rights = {
    commands: new Set(["map_create"]),
    mapTypes: new Set(["hash"]),
    progTypes: new Set(),
    attachTypes: new Set(),
  };
  const inside = grantToken(environment({ userNamespace: true }), ALL, { fd: 9, rights } as never);
  const error = refused(inside);
  assertMatch(error.reason, /in a user namespace, and its BPF token does not cover the call; or /);
  assertMatch(error.remedy, /delegate_\* options/);
});

Deno.test("failure() leaves EPERM alone where it means something else", () => {
  const token = onRelease("6.18");
  {
    using _ = failing("map_freeze", "EPERM");
    assertEquals(assertThrows(() => mapFreeze(token, 5), SyscallError).code, "EPERM");
  }
  using _ = failing("map_lookup_elem", "EPERM");
  const error = assertThrows(() => mapLookupElem(token, 5, { key: new Uint8Array(4) }), SyscallError);
  assertMatch(error.hint ?? "", /frozen/);
});

Deno.test("failure() explains EPERM of every privileged command", () => {
  const token = onRelease("6.18");
  const calls: readonly (readonly [CommandName, () => unknown])[] = [
    ["prog_load", () => prog({})(token)],
    ["btf_load", () => btfLoad(token, new Uint8Array(24))],
    ["map_get_next_id", () => mapGetNextId(token)],
    ["prog_query", () => progQuery(token, { target, attachType: "cgroup_device" })],
  ];
  for (const [command, make] of calls) {
    using _ = failing(command, "EPERM");
    assertThrows(make, PermissionError, "in spite of the token", command);
  }
});

const INFINITY = 0xffff_ffff_ffff_ffffn;

Deno.test("mapCreate() and progLoad() raise RLIMIT_MEMLOCK once and try again, before 5.11", () => {
  for (const make of [map({}), prog({})]) {
    let calls = 0;
    using fake: FakeKernel = new FakeKernel((call): number | undefined => {
      if (call.command !== "map_create" && call.command !== "prog_load") return undefined;
      calls++;
      return fake.memlock[0] === INFINITY ? undefined : -errnos.EPERM;
    });
    fake.mayRaise = true;
    const made = make(onRelease("5.10")) as Disposable;
    made[Symbol.dispose]();
    assertEquals([calls, fake.memlock], [2, [INFINITY, INFINITY]]);
    // Raised for good: the next one fits at once.
    (make(onRelease("5.10")) as Disposable)[Symbol.dispose]();
    assertEquals(calls, 3);
  }
});

Deno.test("mapCreate() explains RLIMIT_MEMLOCK where it cannot be raised, or is not it", () => {
  const old = onRelease("5.10");
  const stuck = refused(old);
  assertMatch(stuck.reason, /charges maps and programs to RLIMIT_MEMLOCK, which is 65536 bytes here/);
  assertMatch(stuck.remedy, /ulimit -l unlimited/);
  using fake = failing("map_create", "EPERM");
  fake.mayRaise = true;
  assertThrows(() => map({})(old), PermissionError);
  // One retry, whatever the kernel says then.
  assertEquals(fake.of("map_create").length, 2);
  assertEquals(fake.log.filter((line) => /^prlimit 8 /.test(line)).length, 1);
});

Deno.test("mapCreate() leaves RLIMIT_MEMLOCK alone from 5.11 on, and for other errors", () => {
  {
    using fake = failing("map_create", "EPERM");
    fake.mayRaise = true;
    const error = assertThrows(() => map({})(onRelease("5.11")), PermissionError);
    assert(!/MEMLOCK/.test(error.reason));
    assertEquals([fake.of("map_create").length, fake.log.some((line) => line.startsWith("prlimit"))], [1, false]);
  }
  using fake = failing("map_create", "ENOMEM");
  fake.mayRaise = true;
  assertThrows(() => map({})(onRelease("5.10")), SyscallError, "ENOMEM");
  assertEquals(fake.log.some((line) => line.startsWith("prlimit")), false);
});

Deno.test("failure() keeps what the kernel said as the cause", () => {
  using _ = failing("map_create", "EINVAL");
  const error = assertThrows(() => map({ extra: 1 })(onRelease("5.4")), NotSupportedError);
  const { cause } = error;
  assert(cause instanceof SyscallError);
  assertStrictEquals(cause.code, "EINVAL");
});
