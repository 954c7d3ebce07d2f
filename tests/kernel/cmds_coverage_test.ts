import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import * as mod from "../../mod.ts";
import { NotSupportedError } from "../../errors.ts";
import { Fd } from "../../ffi/fd.ts";
import { allocate } from "../../ffi/memory.ts";
import type { AuditedCall } from "../../tokens/token.ts";
import { errnos } from "../../uapi/errno.gen.ts";
import { type CommandName, commands } from "../../uapi/enums.gen.ts";
import { commandSince } from "../../uapi/since.gen.ts";
import { kernelSince, kernelTest } from "../_kernel_test.ts";
import { needVmlinuxId } from "./_btf_bytes.ts";
import { runDelegated } from "./_delegate.ts";
import { keyValueBtf, minimalMap } from "./_map_types.ts";
import {
  constant,
  hashMap,
  makeCgroup,
  place,
  returning,
  type RootToken,
  rootToken,
  simpleProg,
  socketFilter,
  u32s,
  u64s,
} from "./_objects.ts";
import { minimalProg } from "./_prog_types.ts";

/** One command: a call that succeeds, a call that fails, and the error number of the latter. */
interface Case {
  readonly ok: (token: RootToken, objects: Objects) => unknown;
  readonly bad: (token: RootToken, objects: Objects) => unknown;
  readonly errno: keyof typeof errnos;
}

/** What the cases share. */
interface Objects {
  readonly map: Fd;
  readonly queue: Fd;
  readonly prog: Fd;
  readonly rawProg: Fd;
  readonly link: Fd;
  readonly iterLink: Fd;
  readonly btf: Fd;
  readonly cgroup: number;
  readonly cgroupProg: Fd;
  readonly cgroupLink: Fd;
  readonly structOps: Fd;
}

const NO_FD = 9999;
const NO_ID = 0x7fff_fff0;
const key = u32s(1);
const value = u64s(1n);
const attachType = "cgroup_device";

const batch = (extra: object = {}) => ({
  keys: u32s(1),
  values: u64s(1n),
  count: 1,
  outBatch: allocate(4),
  ...extra,
});

/** TypeScript itself asks for every command here. */
const CASES: Readonly<Record<CommandName, Case>> = {
  map_create: {
    ok: (token) => hashMap(token),
    bad: (token) => hashMap(token, { maxEntries: 0 }),
    errno: "EINVAL",
  },
  map_lookup_elem: {
    ok: (token, { map }) => mod.mapLookupElem(token, map, { key }),
    bad: (token, { map }) => mod.mapLookupElem(token, map, { key: u32s(77) }),
    errno: "ENOENT",
  },
  map_update_elem: {
    ok: (token, { map }) => mod.mapUpdateElem(token, map, { key, value }),
    bad: (token, { map }) => mod.mapUpdateElem(token, map, { key, value, mode: "noexist" }),
    errno: "EEXIST",
  },
  map_delete_elem: {
    ok: (token, { map }) => mod.mapDeleteElem(token, map, { key }),
    bad: (token, { map }) => mod.mapDeleteElem(token, map, { key: u32s(77) }),
    errno: "ENOENT",
  },
  map_get_next_key: {
    ok: (token, { map }) => mod.mapGetNextKey(token, map),
    bad: (token, { map }) => mod.mapGetNextKey(token, map, { key }),
    errno: "ENOENT",
  },
  prog_load: {
    ok: (token) => socketFilter(token),
    bad: (token) => mod.progLoad(token, { type: "xdp", insns: returning().slice(8), license: "GPL", name: "r0" }),
    errno: "EACCES",
  },
  obj_pin: {
    ok: (token, { map }) => mod.objPin(token, map, { path: `${place("BPFFS")}/covered` }),
    bad: (token, { map }) => mod.objPin(token, map, { path: `${place("BPFFS")}/covered` }),
    errno: "EEXIST",
  },
  obj_get: {
    ok: (token) => mod.objGet(token, `${place("BPFFS")}/covered`),
    bad: (token) => mod.objGet(token, `${place("BPFFS")}/nowhere`),
    errno: "ENOENT",
  },
  prog_attach: {
    ok: (token, { cgroup, cgroupProg }) =>
      mod.progAttach(token, cgroupProg, { target: { fd: cgroup }, attachType, flags: constant("BPF_F_ALLOW_MULTI") }),
    bad: (token, { cgroup, prog }) => mod.progAttach(token, prog, { target: { fd: cgroup }, attachType }),
    errno: "EINVAL",
  },
  prog_detach: {
    ok: (token, { cgroup, cgroupProg }) =>
      mod.progDetach(token, { target: { fd: cgroup }, attachType, prog: cgroupProg }),
    bad: (token, { cgroup, cgroupProg }) =>
      mod.progDetach(token, { target: { fd: cgroup }, attachType, prog: cgroupProg }),
    errno: "ENOENT",
  },
  prog_test_run: {
    ok: (token, { prog }) => mod.progTestRun(token, prog, { data: allocate(64) }),
    bad: (token, { cgroupProg }) => mod.progTestRun(token, cgroupProg),
    errno: "ENOTSUPP",
  },
  prog_get_next_id: {
    ok: (token) => mod.progGetNextId(token),
    bad: (token) => mod.progGetNextId(token, NO_ID),
    errno: "ENOENT",
  },
  map_get_next_id: {
    ok: (token) => mod.mapGetNextId(token),
    bad: (token) => mod.mapGetNextId(token, NO_ID),
    errno: "ENOENT",
  },
  prog_get_fd_by_id: {
    ok: (token, { prog }) => mod.progGetFdById(token, mod.objGetInfoByFd(token, prog, { kind: "prog" }).id),
    bad: (token) => mod.progGetFdById(token, NO_ID),
    errno: "ENOENT",
  },
  map_get_fd_by_id: {
    ok: (token, { map }) => mod.mapGetFdById(token, mod.objGetInfoByFd(token, map, { kind: "map" }).id),
    bad: (token) => mod.mapGetFdById(token, NO_ID),
    errno: "ENOENT",
  },
  obj_get_info_by_fd: {
    ok: (token, { map }) => mod.objGetInfoByFd(token, map, { kind: "map" }),
    bad: (token) => mod.objGetInfoByFd(token, NO_FD, { kind: "map" }),
    errno: "EBADFD",
  },
  prog_query: {
    ok: (token, { cgroup }) => mod.progQuery(token, { target: { fd: cgroup }, attachType }),
    bad: (token) => mod.progQuery(token, { target: { fd: NO_FD }, attachType }),
    errno: "EBADF",
  },
  raw_tracepoint_open: {
    ok: (token, { rawProg }) => mod.rawTracepointOpen(token, rawProg, { name: "sys_exit" }),
    bad: (token, { rawProg }) => mod.rawTracepointOpen(token, rawProg, { name: "nothing" }),
    errno: "ENOENT",
  },
  btf_load: {
    ok: (token) => mod.btfLoad(token, keyValueBtf()),
    bad: (token) => mod.btfLoad(token, keyValueBtf().slice(0, 26)),
    errno: "EINVAL",
  },
  btf_get_fd_by_id: {
    ok: (token, { btf }) => mod.btfGetFdById(token, mod.objGetInfoByFd(token, btf, { kind: "btf" }).id),
    bad: (token) => mod.btfGetFdById(token, NO_ID),
    errno: "ENOENT",
  },
  task_fd_query: {
    ok: (token, { link }) => mod.taskFdQuery(token, { pid: Deno.pid, fd: link.fd }),
    bad: (token, { map }) => mod.taskFdQuery(token, { pid: Deno.pid, fd: map.fd }),
    errno: "ENOTSUPP",
  },
  map_lookup_and_delete_elem: {
    ok: (token, { queue }) => {
      mod.mapUpdateElem(token, queue, { value });
      mod.mapLookupAndDeleteElem(token, queue);
    },
    bad: (token, { queue }) => mod.mapLookupAndDeleteElem(token, queue),
    errno: "ENOENT",
  },
  map_freeze: {
    ok: (token) => {
      using map = hashMap(token);
      mod.mapFreeze(token, map);
    },
    bad: (token, { structOps }) => mod.mapFreeze(token, structOps),
    errno: "ENOTSUPP",
  },
  btf_get_next_id: {
    ok: (token) => mod.btfGetNextId(token),
    bad: (token) => mod.btfGetNextId(token, NO_ID),
    errno: "ENOENT",
  },
  map_lookup_batch: {
    ok: (token) => {
      using map = hashMap(token, { maxEntries: 1 });
      mod.mapLookupBatch(token, map, batch({ count: 0 }));
    },
    bad: (token, { queue }) => mod.mapLookupBatch(token, queue, batch()),
    errno: "ENOTSUPP",
  },
  map_lookup_and_delete_batch: {
    ok: (token, { map }) => mod.mapLookupAndDeleteBatch(token, map, batch({ count: 0 })),
    bad: (token, { queue }) => mod.mapLookupAndDeleteBatch(token, queue, batch()),
    errno: "ENOTSUPP",
  },
  map_update_batch: {
    ok: (token, { map }) => mod.mapUpdateBatch(token, map, batch()),
    bad: (token, { queue }) => mod.mapUpdateBatch(token, queue, batch()),
    errno: "ENOTSUPP",
  },
  map_delete_batch: {
    ok: (token, { map }) => mod.mapDeleteBatch(token, map, batch()),
    bad: (token, { map }) => mod.mapDeleteBatch(token, map, batch({ keys: u32s(77) })),
    errno: "ENOENT",
  },
  link_create: {
    ok: (token, { cgroup, cgroupProg }) =>
      mod.linkCreate(token, { prog: cgroupProg, target: { fd: cgroup }, attachType }),
    bad: (token, { cgroup, prog }) => mod.linkCreate(token, { prog, target: { fd: cgroup }, attachType }),
    errno: "EINVAL",
  },
  link_update: {
    ok: (token, { cgroupLink, cgroupProg }) => mod.linkUpdate(token, cgroupLink, { prog: cgroupProg }),
    bad: (token, { cgroupLink, cgroupProg }) => {
      using other = simpleProg(token, "cgroup_device", { value: 1 });
      mod.linkUpdate(token, cgroupLink, { prog: cgroupProg, expected: other });
    },
    errno: "EPERM",
  },
  link_get_fd_by_id: {
    ok: (token, { link }) => mod.linkGetFdById(token, mod.objGetInfoByFd(token, link, { kind: "link" }).id),
    bad: (token) => mod.linkGetFdById(token, NO_ID),
    errno: "ENOENT",
  },
  link_get_next_id: {
    ok: (token) => mod.linkGetNextId(token),
    bad: (token) => mod.linkGetNextId(token, NO_ID),
    errno: "ENOENT",
  },
  enable_stats: {
    ok: (token) => mod.enableStats(token),
    bad: (token) => mod.enableStats(token, { type: 99 }),
    errno: "EINVAL",
  },
  iter_create: {
    ok: (token, { iterLink }) => mod.iterCreate(token, iterLink),
    bad: (token, { link }) => mod.iterCreate(token, link),
    errno: "EINVAL",
  },
  link_detach: {
    ok: (token, { cgroupLink }) => mod.linkDetach(token, cgroupLink),
    bad: (token, { link }) => mod.linkDetach(token, link),
    errno: "EOPNOTSUPP",
  },
  prog_bind_map: {
    ok: (token, { prog, map }) => mod.progBindMap(token, prog, { map }),
    bad: (token, { prog }) => mod.progBindMap(token, prog, { map: NO_FD }),
    errno: "EBADF",
  },
  // The one command that succeeds in a user namespace only: a child of the test runs it there.
  token_create: {
    ok: (token) => {
      const error = attempt(() => mod.tokenCreate(token, NO_FD));
      if (error instanceof NotSupportedError) throw error;
    },
    bad: (token) => mod.tokenCreate(token, NO_FD),
    errno: "EBADF",
  },
  prog_stream_read_by_fd: {
    ok: (token, { prog }) => mod.progStreamRead(token, prog, { stream: "stdout", buffer: allocate(16) }),
    bad: (token, { prog }) => mod.progStreamRead(token, prog, { stream: 9, buffer: allocate(16) }),
    errno: "ENOENT",
  },
  prog_assoc_struct_ops: {
    ok: (token, { rawProg, structOps }) => mod.progAssocStructOps(token, rawProg, { map: structOps }),
    bad: (token, { rawProg }) => mod.progAssocStructOps(token, rawProg, { map: NO_FD }),
    errno: "EBADF",
  },
};

const AFTER_5_10: readonly CommandName[] = ["token_create", "prog_stream_read_by_fd", "prog_assoc_struct_ops"];

/** Runs a call, closes what it opened, and gives what it threw. */
function attempt(fn: () => unknown): unknown {
  try {
    const made = fn();
    if (made instanceof Fd) made.close();
    return undefined;
  } catch (error) {
    return error;
  }
}

kernelTest("every command of bpf(2) succeeds, and fails with the error number that it should", {
  needs: ["btf", "bpffs", "cgroup"],
  tools: ["unshare"],
}, async () => {
  const token = rootToken();
  using cgroup = makeCgroup("coverage");
  using map = hashMap(token);
  using queue = minimalMap(token, "queue");
  using prog = socketFilter(token, 1);
  using rawProg = simpleProg(token, "raw_tracepoint");
  using link = mod.rawTracepointOpen(token, rawProg, { name: "sys_enter" });
  using iterator = minimalProg(token, "tracing", {
    expectedAttachType: "trace_iter",
    attachBtfId: needVmlinuxId("func", "bpf_iter_task"),
  });
  using iterLink = mod.linkCreate(token, { prog: iterator, attachType: "trace_iter" });
  using btf = mod.btfLoad(token, keyValueBtf());
  using cgroupProg = simpleProg(token, "cgroup_device", { value: 1 });
  using cgroupLink = mod.linkCreate(token, { prog: cgroupProg, target: { fd: cgroup.fd }, attachType });
  using structOps = minimalMap(token, "struct_ops");
  const objects: Objects = {
    map,
    queue,
    prog,
    rawProg,
    link,
    iterLink,
    btf,
    cgroup: cgroup.fd,
    cgroupProg,
    cgroupLink,
    structOps,
  };
  mod.mapUpdateElem(token, map, { key, value });

  const succeeded = new Set<CommandName>();
  const failed = new Set<CommandName>();
  const lacking: CommandName[] = [];
  const heard: AuditedCall[] = [];
  using _listening = token.audit((call) => {
    heard.push(call);
    (call.result >= 0 ? succeeded : failed).add(call.command);
  });
  const names = Object.keys(commands) as CommandName[];
  for (const name of names) {
    const { ok, bad, errno } = CASES[name];
    // A deletion leaves the map empty: each case starts with one element.
    mod.mapUpdateElem(token, map, { key, value });
    heard.length = 0;
    const error = attempt(() => ok(token, objects));
    if (error instanceof NotSupportedError) {
      assertEquals(error.since, commandSince[name], name);
      assert(kernelSince(error.since ?? "0")() !== undefined, `${name}: the kernel should have it`);
      lacking.push(name);
    } else if (error !== undefined) throw error;
    else if (name !== "token_create") {
      assert(heard.some(({ command, result }) => command === name && result >= 0), `${name} was not heard to succeed`);
    }
    heard.length = 0;
    const refusal = attempt(() => bad(token, objects));
    if (lacking.includes(name)) assertInstanceOf(refusal, NotSupportedError);
    const results = heard.filter(({ command }) => command === name).map(({ result }) => result);
    const expected = lacking.includes(name) ? errnos.EINVAL : errnos[errno];
    assert(results.includes(-expected), `${name}: ${results} and not ${-expected} (${errno}): ${refusal}`);
  }
  Deno.removeSync(`${place("BPFFS")}/covered`);
  if (!lacking.includes("token_create")) {
    const delegated = await runDelegated({ delegate_cmds: "map_create" });
    for (const { command, result } of delegated.calls as AuditedCall[]) if (result >= 0) succeeded.add(command);
  }

  console.log(`bpf(2): ${succeeded.size} of ${names.length} commands succeeded, ${failed.size} failed as they should`);
  console.log(`  this kernel lacks: ${lacking.join(", ") || "none"}`);
  assertEquals([...succeeded].sort(), names.filter((name) => !lacking.includes(name)).sort());
  assertEquals([...failed].sort(), [...names].sort());
  // Only what came after 5.10 may be lacking, and the kernel's release says of each whether it may.
  assert(lacking.every((name) => AFTER_5_10.includes(name)), lacking.join());
});
