import { assertEquals, assertMatch } from "@std/assert";
import { formatCall } from "../../cmds/format_call.ts";
import { Attr } from "../../ffi/attr.ts";
import { addressOf, allocate } from "../../ffi/memory.ts";
import { errnos } from "../../uapi/errno.gen.ts";
import { attachTypes, type CommandName, commands, mapTypes } from "../../uapi/enums.gen.ts";

Deno.test("formatCall() leaves out what is zero, and names types and flags", () => {
  const attr = new Attr("map_create").u32("map_type", mapTypes.lru_hash).u32("key_size", 4).u32("value_size", 8)
    .u32("max_entries", 100).u32("map_flags", 2 | 4).u32("numa_node", 1).chars("map_name", "hits");
  assertEquals(
    formatCall(attr, 5),
    "bpf(BPF_MAP_CREATE, {map_type=BPF_MAP_TYPE_LRU_HASH, key_size=4, value_size=8, max_entries=100, " +
      'map_flags=BPF_F_NO_COMMON_LRU|BPF_F_NUMA_NODE, numa_node=1, map_name="hits"}, 92) = 5',
  );
});

Deno.test("formatCall() prints numbers that have no name as strace does", () => {
  const create = new Attr("map_create").u32("map_type", 999).u32("map_flags", 0x4000_0001);
  assertEquals(
    formatCall(create, -errnos.EINVAL),
    "bpf(BPF_MAP_CREATE, {map_type=0x3e7 /* BPF_MAP_TYPE_??? */, map_flags=BPF_F_NO_PREALLOC|0x40000000}, 92) = " +
      "-1 EINVAL (Invalid argument)",
  );
  const update = new Attr("map_update_elem").u32("map_fd", 3).u64("flags", 5);
  assertEquals(formatCall(update, 0), "bpf(BPF_MAP_UPDATE_ELEM, {map_fd=3, flags=0x5 /* BPF_??? */}, 32) = 0");
  const run = new Attr("prog_test_run").u32("prog_fd", 3).u32("flags", 0x80);
  assertEquals(
    formatCall(run, -errnos.EINVAL),
    "bpf(BPF_PROG_TEST_RUN, {test={prog_fd=3, flags=0x80 /* BPF_F_TEST_??? */}}, 76) = -1 EINVAL (Invalid argument)",
  );
});

Deno.test("formatCall() puts the fields of a member, and of a struct in it, in braces", () => {
  const link = new Attr("link_create").u32("prog_fd", 3).u32("target_ifindex", 2)
    .u32("attach_type", attachTypes.tcx_ingress).u32("flags", 8).u32("tcx.relative_fd", 7)
    .u64("tcx.expected_revision", 17);
  assertEquals(
    formatCall(link, 9),
    "bpf(BPF_LINK_CREATE, {link_create={prog_fd=3, target_ifindex=2, attach_type=BPF_TCX_INGRESS, " +
      "flags=BPF_F_BEFORE, tcx={relative_fd=7, expected_revision=0x11}}}, 64) = 9",
  );
});

Deno.test("formatCall() does not take a pointer's upper half for a field of another member", () => {
  const info = allocate(16);
  const iter = new Attr("link_create").u32("prog_fd", 3).u32("attach_type", attachTypes.trace_iter)
    .pointer("iter_info", info).u32("iter_info_len", 16);
  assertEquals(
    formatCall(iter, 4),
    "bpf(BPF_LINK_CREATE, {link_create={prog_fd=3, attach_type=BPF_TRACE_ITER, " +
      `iter_info=0x${addressOf(info).toString(16)}, iter_info_len=16}}, 64) = 4`,
  );
});

Deno.test("formatCall() prints the flags of XDP links as numbers", () => {
  const link = new Attr("link_create").u32("prog_fd", 3).u32("target_ifindex", 2).u32("attach_type", attachTypes.xdp)
    .u32("flags", 2);
  assertMatch(formatCall(link, 4), /attach_type=BPF_XDP, flags=0x2\}/);
});

Deno.test("formatCall() escapes texts as strace does", () => {
  const pin = (path: string): string => {
    const match = /pathname=(".*"), bpf_fd=4/.exec(
      formatCall(new Attr("obj_pin").string("pathname", path).u32("bpf_fd", 4), 0),
    );
    return match?.[1] ?? "";
  };
  assertEquals(pin("/a b"), '"/a b"');
  assertEquals(pin('q"\\\n\t\r\v\f'), '"q\\"\\\\\\n\\t\\r\\v\\f"');
  // Octal, with as few digits as can be: three where a digit follows.
  assertEquals(pin("é"), '"\\303\\251"');
  assertEquals(pin("\u0001x\u00011"), '"\\1x\\0011"');
});

Deno.test("formatCall() prints what the kernel wrote", () => {
  const next = new Attr("prog_get_next_id").u32("start_id", 4);
  new DataView(next.bytes.buffer).setUint32(next.offset("next_id"), 12, true);
  assertEquals(formatCall(next, 0), "bpf(BPF_PROG_GET_NEXT_ID, {start_id=4, next_id=12}, 8) = 0");
  const ids = new Uint8Array(new Uint32Array([7, 9, 0, 0]).buffer);
  const query = new Attr("prog_query").u32("target_fd", 3).u32("attach_type", attachTypes.cgroup_device)
    .pointer("prog_ids", ids).u32("prog_cnt", 2);
  assertEquals(
    formatCall(query, 0),
    "bpf(BPF_PROG_QUERY, {query={target_fd=3, attach_type=BPF_CGROUP_DEVICE, prog_ids=[7, 9], prog_cnt=2}}, 64) = 0",
  );
  assertMatch(formatCall(query, -errnos.EBADF), /prog_ids=0x[0-9a-f]+, prog_cnt=2\}\}, 64\) = -1 EBADF \(Bad file/);
});

Deno.test("formatCall() prints the attr of every command, empty or full", () => {
  let count = 0;
  for (const command of Object.keys(commands) as CommandName[]) {
    const empty = new Attr(command);
    assertMatch(formatCall(empty, 0), new RegExp(`^bpf\\(BPF_${command.toUpperCase()}, \\{.*\\}, \\d+\\) = 0$`));
    const full = new Attr(command);
    full.bytes.fill(0xff);
    assertMatch(formatCall(full, -errnos.EINVAL), /\}, \d+\) = -1 EINVAL \(Invalid argument\)$/);
    count++;
  }
  assertEquals(count, Object.keys(commands).length);
});
