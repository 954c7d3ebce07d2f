/**
 * The attr that each command function makes of its options, field by field.
 *
 * @module
 */

import { assertEquals, assertGreaterOrEqual } from "@std/assert";
import { btfLoad } from "../../../cmds/btf.ts";
import {
  btfGetFdById,
  btfGetNextId,
  linkGetFdById,
  linkGetNextId,
  mapGetFdById,
  mapGetNextId,
  progGetFdById,
  progGetNextId,
} from "../../../cmds/id.ts";
import { iterCreate } from "../../../cmds/iter.ts";
import { linkCreate, linkDetach, linkUpdate } from "../../../cmds/link.ts";
import { mapCreate, mapFreeze } from "../../../cmds/map.ts";
import { mapDeleteBatch, mapLookupAndDeleteBatch, mapLookupBatch, mapUpdateBatch } from "../../../cmds/map_batch.ts";
import {
  mapDeleteElem,
  mapGetNextKey,
  mapLookupAndDeleteElem,
  mapLookupElem,
  mapUpdateElem,
} from "../../../cmds/map_elem.ts";
import { objGet, objGetInfoByFd, objPin } from "../../../cmds/obj.ts";
import { progAssocStructOps, progBindMap, progLoad } from "../../../cmds/prog.ts";
import { progAttach, progDetach, progQuery } from "../../../cmds/prog_attach.ts";
import { progStreamRead, progTestRun } from "../../../cmds/prog_run.ts";
import { rawTracepointOpen } from "../../../cmds/raw_tracepoint.ts";
import { enableStats } from "../../../cmds/stats.ts";
import { taskFdQuery } from "../../../cmds/task.ts";
import { tokenCreate } from "../../../cmds/token.ts";
import type { BpfToken } from "../../../tokens/bpf_token.ts";
import { grantToken } from "../../../tokens/token.ts";
import * as c from "../../../uapi/constants.gen.ts";
import { attachTypes, type CommandName, commands, mapTypes, progTypes } from "../../../uapi/enums.gen.ts";
import { structLayouts } from "../../../uapi/structs.gen.ts";
import { ALL, environment } from "../tokens/_environments.ts";
import { assertCall, type Expected } from "./_attrs.ts";

const token = grantToken(environment(), ALL);

const bytes = (length: number, start = 1): Uint8Array<ArrayBuffer> =>
  Uint8Array.from({ length }, (_, index) => start + index & 0xff);
const u32s = (...numbers: number[]): Uint8Array => new Uint8Array(new Uint32Array(numbers).buffer);
const u64s = (...numbers: bigint[]): Uint8Array => new Uint8Array(new BigUint64Array(numbers).buffer);

const insns = bytes(24);
insns[0] = 0xb7;
insns[8] = 0xb7;
insns[16] = 0x95;

type Row = readonly [name: string, command: CommandName, expected: Expected, make: () => unknown];

const ELEMENT = { map_fd: 5, key: bytes(4) };
const VALUE = bytes(8, 50);

const rows: readonly Row[] = [
  ["mapCreate() with the least", "map_create", { map_type: mapTypes.array }, () => mapCreate(token, { type: "array" })],
  [
    "mapCreate() with all",
    "map_create",
    {
      map_type: mapTypes.hash_of_maps,
      key_size: 4,
      value_size: 8,
      max_entries: 16,
      map_flags: c.BPF_F_NO_PREALLOC | c.BPF_F_VTYPE_BTF_OBJ_FD,
      inner_map_fd: 6,
      numa_node: 1,
      map_name: "name.with_15byt",
      map_ifindex: 2,
      btf_fd: 7,
      btf_key_type_id: 8,
      btf_value_type_id: 9,
      btf_vmlinux_value_type_id: 10,
      map_extra: 1n << 40n,
      value_type_btf_obj_fd: 11,
      excl_prog_hash: bytes(32),
      excl_prog_hash_size: 32,
    },
    () =>
      mapCreate(token, {
        type: "hash_of_maps",
        keySize: 4,
        valueSize: 8,
        maxEntries: 16,
        flags: c.BPF_F_NO_PREALLOC,
        innerMap: 6,
        numaNode: 1,
        name: "name.with_15byt",
        ifindex: 2,
        btf: { fd: 7, keyTypeId: 8, valueTypeId: 9 },
        vmlinuxValueTypeId: 10,
        extra: 1n << 40n,
        valueTypeBtf: { fd: 11 },
        exclusiveProgHash: bytes(32),
      }),
  ],
  ["mapCreate() by number", "map_create", { map_type: 4242 }, () => mapCreate(token, { type: 4242 })],
  ["mapFreeze()", "map_freeze", { map_fd: 5 }, () => mapFreeze(token, 5)],

  [
    "mapLookupElem()",
    "map_lookup_elem",
    { ...ELEMENT, value: bytes(8).fill(0), flags: c.BPF_F_LOCK },
    () => mapLookupElem(token, 5, { key: bytes(4), flags: c.BPF_F_LOCK }),
  ],
  [
    "mapUpdateElem()",
    "map_update_elem",
    { ...ELEMENT, value: VALUE },
    () => mapUpdateElem(token, 5, { key: bytes(4), value: VALUE }),
  ],
  [
    "mapUpdateElem() that must create",
    "map_update_elem",
    { ...ELEMENT, value: VALUE, flags: 5 },
    () => mapUpdateElem(token, 5, { key: bytes(4), value: VALUE, mode: "noexist", flags: c.BPF_F_LOCK }),
  ],
  [
    "mapUpdateElem() that must replace",
    "map_update_elem",
    { ...ELEMENT, value: VALUE, flags: 2 },
    () => mapUpdateElem(token, 5, { key: bytes(4), value: VALUE, mode: "exist" }),
  ],
  ["mapDeleteElem()", "map_delete_elem", ELEMENT, () => mapDeleteElem(token, 5, { key: bytes(4) })],
  [
    "mapLookupAndDeleteElem()",
    "map_lookup_and_delete_elem",
    { ...ELEMENT, value: bytes(8).fill(0) },
    () => mapLookupAndDeleteElem(token, 5, { key: bytes(4) }),
  ],
  [
    "mapGetNextKey()",
    "map_get_next_key",
    { ...ELEMENT, next_key: bytes(4).fill(0) },
    () => mapGetNextKey(token, 5, { key: bytes(4) }),
  ],
  [
    "mapGetNextKey() for the first",
    "map_get_next_key",
    { map_fd: 5, key: 0, next_key: bytes(4).fill(0) },
    () => mapGetNextKey(token, 5),
  ],

  [
    "mapLookupBatch()",
    "map_lookup_batch",
    {
      map_fd: 5,
      in_batch: bytes(4, 90),
      out_batch: bytes(4, 80),
      keys: bytes(12),
      values: bytes(24),
      count: 3,
      elem_flags: 4,
      flags: 1,
    },
    () =>
      mapLookupBatch(token, 5, {
        keys: bytes(12),
        values: bytes(24),
        count: 3,
        inBatch: bytes(4, 90),
        outBatch: bytes(4, 80),
        elemFlags: 4n,
        flags: 1,
      }),
  ],
  [
    "mapLookupAndDeleteBatch() from the start",
    "map_lookup_and_delete_batch",
    { map_fd: 5, out_batch: bytes(4), keys: bytes(12), values: bytes(24), count: 3 },
    () => mapLookupAndDeleteBatch(token, 5, { keys: bytes(12), values: bytes(24), count: 3, outBatch: bytes(4) }),
  ],
  [
    "mapUpdateBatch()",
    "map_update_batch",
    { map_fd: 5, keys: bytes(8), values: bytes(16), count: 2 },
    () => mapUpdateBatch(token, 5, { keys: bytes(8), values: bytes(16), count: 2 }),
  ],
  [
    "mapDeleteBatch()",
    "map_delete_batch",
    { map_fd: 5, keys: bytes(8), count: 2 },
    () => mapDeleteBatch(token, 5, { keys: bytes(8), count: 2 }),
  ],

  [
    "progLoad() with the least",
    "prog_load",
    { prog_type: progTypes.socket_filter, insn_cnt: 3, insns, license: "GPL" },
    () => progLoad(token, { type: "socket_filter", insns, license: "GPL" }),
  ],
  [
    "progLoad() with all",
    "prog_load",
    {
      prog_type: progTypes.tracing,
      insn_cnt: 3,
      insns,
      license: "Dual BSD/GPL",
      kern_version: 0x40e00,
      prog_flags: c.BPF_F_SLEEPABLE,
      prog_name: "traced",
      prog_ifindex: 3,
      expected_attach_type: attachTypes.trace_fentry,
      prog_btf_fd: 6,
      func_info_rec_size: 8,
      func_info: bytes(16),
      func_info_cnt: 2,
      line_info_rec_size: 16,
      line_info: bytes(48),
      line_info_cnt: 3,
      attach_btf_id: 1234,
      attach_prog_fd: 7,
      core_relo_cnt: 1,
      fd_array: u32s(8, 9),
      core_relos: bytes(16, 9),
      core_relo_rec_size: 16,
      fd_array_cnt: 2,
      signature: bytes(10),
      signature_size: 10,
      keyring_id: -4,
    },
    () =>
      progLoad(token, {
        type: "tracing",
        insns,
        license: "Dual BSD/GPL",
        kernelVersion: 0x40e00,
        flags: c.BPF_F_SLEEPABLE,
        name: "traced",
        ifindex: 3,
        expectedAttachType: "trace_fentry",
        btf: {
          fd: 6,
          funcInfo: { records: bytes(16), size: 8 },
          lineInfo: { records: bytes(48), size: 16 },
          coreRelos: { records: bytes(16, 9), size: 16 },
        },
        attachBtfId: 1234,
        attachTo: 7,
        fdArray: [8, 9],
        bindFdArray: true,
        signature: bytes(10),
        keyringId: -4,
      }),
  ],
  [
    "progLoad() with an fd array that is not bound",
    "prog_load",
    { prog_type: progTypes.xdp, insn_cnt: 3, insns, license: "", fd_array: u32s(8) },
    () => progLoad(token, { type: "xdp", insns, license: "", fdArray: [8] }),
  ],
  [
    "progBindMap()",
    "prog_bind_map",
    { prog_fd: 5, map_fd: 6, flags: 1 },
    () => progBindMap(token, 5, { map: 6, flags: 1 }),
  ],
  [
    "progAssocStructOps()",
    "prog_assoc_struct_ops",
    { prog_fd: 5, map_fd: 6, flags: 1 },
    () => progAssocStructOps(token, 5, { map: 6, flags: 1 }),
  ],

  [
    "progAttach()",
    "prog_attach",
    { target_fd: 6, attach_bpf_fd: 5, attach_type: attachTypes.cgroup_device },
    () => progAttach(token, 5, { target: { fd: 6 }, attachType: "cgroup_device" }),
  ],
  [
    "progAttach() that replaces",
    "prog_attach",
    {
      target_fd: 6,
      attach_bpf_fd: 5,
      attach_type: attachTypes.cgroup_device,
      attach_flags: c.BPF_F_ALLOW_MULTI | c.BPF_F_REPLACE,
      replace_bpf_fd: 7,
    },
    () =>
      progAttach(token, 5, {
        target: { fd: 6 },
        attachType: "cgroup_device",
        flags: c.BPF_F_ALLOW_MULTI | c.BPF_F_REPLACE,
        replace: 7,
      }),
  ],
  [
    "progAttach() before another",
    "prog_attach",
    {
      target_ifindex: 2,
      attach_bpf_fd: 5,
      attach_type: attachTypes.tcx_ingress,
      attach_flags: c.BPF_F_BEFORE,
      relative_fd: 8,
      expected_revision: 3n,
    },
    () =>
      progAttach(token, 5, {
        target: { ifindex: 2 },
        attachType: "tcx_ingress",
        flags: c.BPF_F_BEFORE,
        anchor: { fd: 8 },
        expectedRevision: 3n,
      }),
  ],
  [
    "progDetach() by id",
    "prog_detach",
    {
      target_ifindex: 2,
      attach_bpf_fd: 5,
      attach_type: attachTypes.tcx_egress,
      attach_flags: c.BPF_F_AFTER | c.BPF_F_ID,
      relative_id: 99,
    },
    () =>
      progDetach(token, {
        target: { ifindex: 2 },
        attachType: "tcx_egress",
        prog: 5,
        flags: c.BPF_F_AFTER,
        anchor: { id: 99 },
      }),
  ],
  [
    "progDetach() of the only one",
    "prog_detach",
    { target_fd: 6, attach_type: attachTypes.flow_dissector },
    () => progDetach(token, { target: { fd: 6 }, attachType: "flow_dissector" }),
  ],
  [
    "progQuery() of a cgroup",
    "prog_query",
    {
      target_fd: 6,
      attach_type: attachTypes.cgroup_device,
      query_flags: c.BPF_F_QUERY_EFFECTIVE,
      prog_ids: bytes(256).fill(0),
      prog_cnt: 64,
      prog_attach_flags: bytes(256).fill(0),
    },
    () =>
      progQuery(token, {
        target: { fd: 6 },
        attachType: "cgroup_device",
        flags: c.BPF_F_QUERY_EFFECTIVE,
        progAttachFlags: true,
      }),
  ],
  [
    "progQuery() of an interface",
    "prog_query",
    {
      target_ifindex: 2,
      attach_type: attachTypes.tcx_ingress,
      prog_ids: bytes(256).fill(0),
      prog_cnt: 64,
      link_ids: bytes(256).fill(0),
    },
    () => progQuery(token, { target: { ifindex: 2 }, attachType: "tcx_ingress" }),
  ],
  [
    "progTestRun() with all",
    "prog_test_run",
    {
      prog_fd: 5,
      data_size_in: 64,
      data_size_out: 32,
      data_in: bytes(64),
      data_out: bytes(32, 7),
      repeat: 10,
      ctx_size_in: 16,
      ctx_size_out: 8,
      ctx_in: bytes(16),
      ctx_out: bytes(8, 9),
      flags: c.BPF_F_TEST_RUN_ON_CPU,
      cpu: 1,
      batch_size: 4,
    },
    () =>
      progTestRun(token, 5, {
        data: bytes(64),
        dataOut: bytes(32, 7),
        ctx: bytes(16),
        ctxOut: bytes(8, 9),
        repeat: 10,
        flags: c.BPF_F_TEST_RUN_ON_CPU,
        cpu: 1,
        batchSize: 4,
      }),
  ],
  ["progTestRun() with nothing", "prog_test_run", { prog_fd: 5 }, () => progTestRun(token, 5)],
  [
    "progStreamRead()",
    "prog_stream_read_by_fd",
    { stream_buf: bytes(16), stream_buf_len: 16, stream_id: c.BPF_STREAM_STDERR, prog_fd: 5 },
    () => progStreamRead(token, 5, { stream: "stderr", buffer: bytes(16) }),
  ],

  ["objPin()", "obj_pin", { pathname: "/sys/fs/bpf/x", bpf_fd: 5 }, () => objPin(token, 5, { path: "/sys/fs/bpf/x" })],
  [
    "objPin() below a directory",
    "obj_pin",
    { pathname: "x", bpf_fd: 5, file_flags: c.BPF_F_PATH_FD, path_fd: 6 },
    () => objPin(token, 5, { path: "x", directory: 6 }),
  ],
  [
    "objGet()",
    "obj_get",
    { pathname: "/sys/fs/bpf/x", file_flags: c.BPF_F_WRONLY },
    () => objGet(token, "/sys/fs/bpf/x", { flags: c.BPF_F_WRONLY }),
  ],
  [
    "objGet() below a directory",
    "obj_get",
    { pathname: "x", file_flags: c.BPF_F_PATH_FD, path_fd: 6 },
    () => objGet(token, "x", { directory: 6 }),
  ],
  [
    "objGet() for reading only",
    "obj_get",
    { pathname: "/x", file_flags: c.BPF_F_RDONLY },
    () => objGet(token.only({ readOnly: true }), "/x"),
  ],
  [
    "objGetInfoByFd()",
    "obj_get_info_by_fd",
    {
      bpf_fd: 5,
      info_len: structLayouts.bpf_map_info.size,
      info: bytes(structLayouts.bpf_map_info.size).fill(0),
    },
    () => objGetInfoByFd(token, 5, { kind: "map" }),
  ],

  ["progGetNextId()", "prog_get_next_id", { start_id: 7 }, () => progGetNextId(token, 7)],
  ["mapGetNextId()", "map_get_next_id", { start_id: 0 }, () => mapGetNextId(token)],
  ["btfGetNextId()", "btf_get_next_id", { start_id: 7 }, () => btfGetNextId(token, 7)],
  ["linkGetNextId()", "link_get_next_id", { start_id: 7 }, () => linkGetNextId(token, 7)],
  ["progGetFdById()", "prog_get_fd_by_id", { prog_id: 7 }, () => progGetFdById(token, 7)],
  [
    "mapGetFdById()",
    "map_get_fd_by_id",
    { map_id: 7, open_flags: c.BPF_F_WRONLY },
    () => mapGetFdById(token, 7, { flags: c.BPF_F_WRONLY }),
  ],
  [
    "mapGetFdById() for reading only",
    "map_get_fd_by_id",
    { map_id: 7, open_flags: c.BPF_F_RDONLY },
    () => mapGetFdById(token.only({ readOnly: true }), 7),
  ],
  ["btfGetFdById()", "btf_get_fd_by_id", { btf_id: 7 }, () => btfGetFdById(token, 7)],
  ["linkGetFdById()", "link_get_fd_by_id", { link_id: 7 }, () => linkGetFdById(token, 7)],

  [
    "rawTracepointOpen()",
    "raw_tracepoint_open",
    { name: "sys_enter", prog_fd: 5, cookie: 1n << 63n },
    () => rawTracepointOpen(token, 5, { name: "sys_enter", cookie: 1n << 63n }),
  ],
  ["rawTracepointOpen() by BTF", "raw_tracepoint_open", { prog_fd: 5 }, () => rawTracepointOpen(token, 5)],
  [
    "btfLoad()",
    "btf_load",
    { btf: bytes(24), btf_size: 24, btf_flags: 1 },
    () => btfLoad(token, bytes(24), { flags: 1 }),
  ],
  [
    "taskFdQuery()",
    "task_fd_query",
    { pid: 7, fd: 8, buf: bytes(256).fill(0), buf_len: 256 },
    () => taskFdQuery(token, { pid: 7, fd: 8 }),
  ],
  ["iterCreate()", "iter_create", { link_fd: 5, flags: 1 }, () => iterCreate(token, 5, { flags: 1 })],
  ["enableStats()", "enable_stats", { type: c.BPF_STATS_RUN_TIME }, () => enableStats(token)],
  ["enableStats() by number", "enable_stats", { type: 9 }, () => enableStats(token, { type: 9 })],
  ["tokenCreate()", "token_create", { bpffs_fd: 5, flags: 1 }, () => tokenCreate(token, 5, { flags: 1 })],

  [
    "linkCreate()",
    "link_create",
    { prog_fd: 5, target_ifindex: 2, attach_type: attachTypes.xdp, flags: 2 },
    () => linkCreate(token, { prog: 5, target: { ifindex: 2 }, attachType: "xdp", flags: 2 }),
  ],
  [
    "linkCreate() with a BTF id",
    "link_create",
    { prog_fd: 5, target_fd: 6, attach_type: attachTypes.trace_fentry, target_btf_id: 77 },
    () => linkCreate(token, { prog: 5, target: { fd: 6 }, attachType: "trace_fentry", targetBtfId: 77 }),
  ],
  [
    "linkCreate() of an iterator over a map",
    "link_create",
    { prog_fd: 5, attach_type: attachTypes.trace_iter, iter_info: u32s(7), iter_info_len: 4 },
    () => linkCreate(token, { prog: 5, attachType: "trace_iter", iter: { map: 7 } }),
  ],
  [
    "linkCreate() of an iterator over a cgroup",
    "link_create",
    { prog_fd: 5, attach_type: attachTypes.trace_iter, iter_info: u32s(2, 0, 9, 1), iter_info_len: 16 },
    () =>
      linkCreate(token, { prog: 5, attachType: "trace_iter", iter: { cgroup: { order: 2, id: (1n << 32n) + 9n } } }),
  ],
  [
    "linkCreate() of an iterator over a task",
    "link_create",
    { prog_fd: 5, attach_type: attachTypes.trace_iter, iter_info: u32s(1, 2, 3, 0), iter_info_len: 16 },
    () => linkCreate(token, { prog: 5, attachType: "trace_iter", iter: { task: { tid: 1, pid: 2, pidFd: 3 } } }),
  ],
  [
    "linkCreate() of a perf event",
    "link_create",
    { prog_fd: 5, target_fd: 6, attach_type: attachTypes.perf_event, "perf_event.bpf_cookie": 1n << 40n },
    () =>
      linkCreate(token, {
        prog: 5,
        target: { fd: 6 },
        attachType: "perf_event",
        perfEvent: { cookie: 1n << 40n },
      }),
  ],
  [
    "linkCreate() of kprobes by name",
    "link_create",
    {
      prog_fd: 5,
      attach_type: attachTypes.trace_kprobe_multi,
      "kprobe_multi.flags": 1,
      "kprobe_multi.cnt": 2,
      "kprobe_multi.syms": ["vfs_read", "vfs_write"],
      "kprobe_multi.cookies": u64s(1n, 2n),
    },
    () =>
      linkCreate(token, {
        prog: 5,
        attachType: "trace_kprobe_multi",
        kprobeMulti: { flags: 1, symbols: ["vfs_read", "vfs_write"], cookies: [1n, 2n] },
      }),
  ],
  [
    "linkCreate() of kprobes by address",
    "link_create",
    {
      prog_fd: 5,
      attach_type: attachTypes.trace_kprobe_multi,
      "kprobe_multi.cnt": 1,
      "kprobe_multi.addrs": u64s(0xffff_ffff_8100_0000n),
    },
    () =>
      linkCreate(token, {
        prog: 5,
        attachType: "trace_kprobe_multi",
        kprobeMulti: { addresses: [0xffff_ffff_8100_0000n] },
      }),
  ],
  [
    "linkCreate() of a tracing program",
    "link_create",
    {
      prog_fd: 5,
      attach_type: attachTypes.trace_fexit,
      "tracing.target_btf_id": 3,
      "tracing.cookie": 4n,
    },
    () => linkCreate(token, { prog: 5, attachType: "trace_fexit", tracing: { targetBtfId: 3, cookie: 4n } }),
  ],
  [
    "linkCreate() of netfilter",
    "link_create",
    {
      prog_fd: 5,
      attach_type: attachTypes.netfilter,
      "netfilter.pf": 2,
      "netfilter.hooknum": 1,
      "netfilter.priority": -128,
      "netfilter.flags": 1,
    },
    () =>
      linkCreate(token, {
        prog: 5,
        attachType: "netfilter",
        netfilter: { pf: 2, hooknum: 1, priority: -128, flags: 1 },
      }),
  ],
  [
    "linkCreate() of tcx before a program",
    "link_create",
    {
      prog_fd: 5,
      target_ifindex: 2,
      attach_type: attachTypes.tcx_ingress,
      flags: c.BPF_F_BEFORE,
      "tcx.relative_fd": 9,
      "tcx.expected_revision": 4n,
    },
    () =>
      linkCreate(token, {
        prog: 5,
        target: { ifindex: 2 },
        attachType: "tcx_ingress",
        flags: c.BPF_F_BEFORE,
        tcx: { anchor: { fd: 9 }, expectedRevision: 4n },
      }),
  ],
  [
    "linkCreate() of netkit after an id",
    "link_create",
    {
      prog_fd: 5,
      target_ifindex: 2,
      attach_type: attachTypes.netkit_peer,
      flags: c.BPF_F_AFTER | c.BPF_F_ID,
      "netkit.relative_id": 9,
    },
    () =>
      linkCreate(token, {
        prog: 5,
        target: { ifindex: 2 },
        attachType: "netkit_peer",
        flags: c.BPF_F_AFTER,
        netkit: { anchor: { id: 9 } },
      }),
  ],
  [
    "linkCreate() of a cgroup at a revision",
    "link_create",
    {
      prog_fd: 5,
      target_fd: 6,
      attach_type: attachTypes.cgroup_device,
      "cgroup.expected_revision": 8n,
    },
    () =>
      linkCreate(token, {
        prog: 5,
        target: { fd: 6 },
        attachType: "cgroup_device",
        cgroup: { expectedRevision: 8n },
      }),
  ],
  [
    "linkCreate() of uprobes",
    "link_create",
    {
      prog_fd: 5,
      attach_type: attachTypes.trace_uprobe_multi,
      "uprobe_multi.path": "/bin/sh",
      "uprobe_multi.offsets": u64s(16n, 32n),
      "uprobe_multi.ref_ctr_offsets": u64s(1n, 2n),
      "uprobe_multi.cookies": u64s(3n, 4n),
      "uprobe_multi.cnt": 2,
      "uprobe_multi.flags": 1,
      "uprobe_multi.pid": 99,
    },
    () =>
      linkCreate(token, {
        prog: 5,
        attachType: "trace_uprobe_multi",
        uprobeMulti: {
          path: "/bin/sh",
          offsets: [16n, 32n],
          refCtrOffsets: [1n, 2n],
          cookies: [3n, 4n],
          flags: 1,
          pid: 99,
        },
      }),
  ],
  [
    "linkCreate() of many functions",
    "link_create",
    {
      prog_fd: 5,
      attach_type: attachTypes.trace_fentry_multi,
      "tracing_multi.ids": u32s(7, 8),
      "tracing_multi.cookies": u64s(1n, 2n),
      "tracing_multi.cnt": 2,
    },
    () =>
      linkCreate(token, {
        prog: 5,
        attachType: "trace_fentry_multi",
        tracingMulti: { ids: [7, 8], cookies: [1n, 2n] },
      }),
  ],
  ["linkUpdate()", "link_update", { link_fd: 5, new_prog_fd: 6 }, () => linkUpdate(token, 5, { prog: 6 })],
  [
    "linkUpdate() of an expected program",
    "link_update",
    { link_fd: 5, new_prog_fd: 6, old_prog_fd: 7, flags: c.BPF_F_REPLACE },
    () => linkUpdate(token, 5, { prog: 6, expected: 7 }),
  ],
  ["linkDetach()", "link_detach", { link_fd: 5 }, () => linkDetach(token, 5)],
];

for (const [name, command, expected, make] of rows) {
  Deno.test(`${name} makes the attr of BPF_${command.toUpperCase()}`, () => assertCall(command, expected, make));
}

Deno.test("every command has a row", () => {
  const covered = new Set(rows.map(([, command]) => command));
  assertEquals((Object.keys(commands) as CommandName[]).filter((command) => !covered.has(command)), []);
  assertGreaterOrEqual(rows.length, 39);
});

const bpfToken = { fd: 77, rights: {} } as unknown as BpfToken;
const carrying = grantToken(environment(), ALL, bpfToken);

const carried: readonly Row[] = [
  [
    "mapCreate()",
    "map_create",
    { map_type: 1, map_flags: c.BPF_F_TOKEN_FD | 1, map_token_fd: 77 },
    () => mapCreate(carrying, { type: "hash", flags: 1 }),
  ],
  [
    "progLoad()",
    "prog_load",
    { prog_type: 1, insn_cnt: 3, insns, license: "GPL", prog_flags: c.BPF_F_TOKEN_FD | 1, prog_token_fd: 77 },
    () => progLoad(carrying, { type: "socket_filter", insns, license: "GPL", flags: 1 }),
  ],
  [
    "btfLoad()",
    "btf_load",
    { btf: bytes(24), btf_size: 24, btf_flags: c.BPF_F_TOKEN_FD, btf_token_fd: 77 },
    () => btfLoad(carrying, bytes(24)),
  ],
  [
    "btfGetFdById()",
    "btf_get_fd_by_id",
    { btf_id: 7, open_flags: c.BPF_F_TOKEN_FD, fd_by_id_token_fd: 77 },
    () => btfGetFdById(carrying, 7),
  ],
  // No other command takes one.
  ["mapFreeze()", "map_freeze", { map_fd: 5 }, () => mapFreeze(carrying, 5)],
  ["mapGetFdById()", "map_get_fd_by_id", { map_id: 5 }, () => mapGetFdById(carrying, 5)],
];

for (const [name, command, expected, make] of carried) {
  Deno.test(`${name} passes on the BPF token of a token that carries one, where the command takes it`, () => {
    assertCall(command, expected, make);
  });
}
