import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { asm } from "../../asm/mod.ts";
import { mapCreate } from "../../cmds/map.ts";
import { SyscallError } from "../../errors.ts";
import { kernel } from "../../ffi/kernel.ts";
import { allocate } from "../../ffi/memory.ts";
import { structBuffer, textOf } from "../../ffi/struct_buffer.ts";
import { Attr } from "../../ffi/attr.ts";
import { errnos } from "../../uapi/errno.gen.ts";
import { progTypes } from "../../uapi/enums.gen.ts";
import { kernelTest } from "../_kernel_test.ts";
import { rootToken } from "./_objects.ts";

/** An empty common attr on a call that succeeds: kernels that do not know it say EINVAL to every command. */
function lacksCommonAttrs(): string | undefined {
  const attr = new Attr("map_create").u32("map_type", 2).u32("key_size", 4).u32("value_size", 8).u32("max_entries", 1);
  const result = kernel().bpfCommon(attr.number, attr.bytes, structBuffer("bpf_common_attr").bytes);
  if (result >= 0) kernel().close(result);
  return result >= 0 ? undefined : "no common attributes of bpf(2): BPF_COMMON_ATTRS";
}

kernelTest("mapCreate() tells what the kernel says about a refusal", { needs: [lacksCommonAttrs] }, () => {
  const create = (type: number, numaNode: number): SyscallError =>
    assertThrows(
      () => mapCreate(rootToken(), { type, keySize: 4, valueSize: 8, maxEntries: 1, numaNode, flags: numaNode && 4 }),
      SyscallError,
    );
  assertEquals(create(999, 0).hint, "the kernel says: Invalid map_type.");
  assertEquals(create(1, 77).hint, "the kernel says: Invalid numa_node.");
});

kernelTest("bpfCommon() brings what the kernel says about programs and BTF, too", { needs: [lacksCommonAttrs] }, () => {
  const say = (attr: Attr<"prog_load"> | Attr<"btf_load">): [result: number, log: string] => {
    const log = allocate(4096);
    const common = structBuffer("bpf_common_attr").pointer("log_buf", log).u32("log_size", log.length)
      .u32("log_level", 1);
    return [kernel().bpfCommon(attr.number, attr.bytes, common.bytes), textOf(log)];
  };
  const prog = new Attr("prog_load").u32("prog_type", progTypes.socket_filter).string("license", "GPL")
    .pointer("insns", asm`exit`).u32("insn_cnt", 1);
  const [refused, log] = say(prog);
  assertEquals(refused, -errnos.EACCES);
  assertStringIncludes(log, "R0 !read_ok");
  const [malformed, about] = say(new Attr("btf_load").pointer("btf", allocate(30)).u32("btf_size", 30));
  assertEquals(malformed, -errnos.EINVAL);
  assertStringIncludes(about, "Invalid magic");
});

kernelTest("bpfCommon() says EINVAL on a kernel that does not know it, and leaves the log alone", {
  needs: [() => lacksCommonAttrs() === undefined ? "this kernel has common attributes" : undefined],
}, () => {
  const log = allocate(64).fill(7);
  const common = structBuffer("bpf_common_attr").pointer("log_buf", log).u32("log_size", 64).u32("log_level", 1);
  assertEquals(kernel().bpfCommon(0, new Attr("map_create").bytes, common.bytes), -22);
  assertEquals(log.every((byte) => byte === 7), true);
});
