import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { Attr, type AttrField } from "../../../ffi/attr.ts";
import { Fd } from "../../../ffi/fd.ts";
import { cString } from "../../../ffi/memory.ts";
import { addressOf, allocate } from "../../../ffi/memory.ts";
import { structBuffer, textOf } from "../../../ffi/struct_buffer.ts";
import { attrLayouts } from "../../../uapi/attr.gen.ts";
import { type CommandName, commands } from "../../../uapi/enums.gen.ts";
import { FakeKernel, memoryAt } from "../_fake_kernel.ts";

/** A value that does not fit, for each of the writers. */
const UNFIT:
  readonly (readonly [writer: "u32" | "s32" | "u64", field: string, values: readonly (number | bigint)[]])[] = [
    ["u32", "insn_cnt", [-1, 2 ** 32, 1.5, NaN, Infinity]],
    ["s32", "prog_token_fd", [-(2 ** 31) - 1, 2 ** 31, 0.5, NaN]],
    ["u64", "insns", [-1, -1n, 1n << 64n, 2 ** 53, 1.5, NaN]],
  ];

Deno.test("StructBuffer refuses integers that do not fit, and names the field", () => {
  for (const [writer, field, values] of UNFIT) {
    for (const value of values) {
      const attr = new Attr("prog_load");
      const write = attr[writer].bind(attr) as (field: string, value: number | bigint) => void;
      assertThrows(() => write(field, value), RangeError, `Cannot set ${field}: ${value} is not a`);
      assertEquals(attr.bytes.some((byte) => byte !== 0), false);
      assertEquals([...attr.written], []);
    }
  }
});

Deno.test("StructBuffer writes integers of every size to the ends of their ranges", () => {
  const attr = new Attr("prog_load").u32("insn_cnt", 0xffffffff).s32("prog_token_fd", -0x80000000)
    .u64("insns", 0xffff_ffff_ffff_ffffn).u64("license", Number.MAX_SAFE_INTEGER);
  assertEquals(attr.getU32("insn_cnt"), 0xffffffff);
  assertEquals(attr.getU32("prog_token_fd"), 0x80000000);
  assertEquals(attr.getU64("insns"), 0xffff_ffff_ffff_ffffn);
  assertEquals(attr.getU64("license"), 9007199254740991n);
  // Their neighbours stay as they were.
  assertEquals([attr.getU32("prog_type"), attr.getU32("log_level")], [0, 0]);
  assertEquals([...attr.written], ["insn_cnt", "prog_token_fd", "insns", "license"]);
  assertEquals([...new Attr("prog_load").u32("insn_cnt", 0).u64("insns", 0n).written], []);
});

Deno.test("StructBuffer.chars() takes as much as fits with its NUL", () => {
  const attr = new Attr("map_create").chars("map_name", "a".repeat(15));
  assertEquals(attr.getChars("map_name"), "a".repeat(15));
  assertEquals(attr.bytes[attr.offset("map_name") + 15], 0);
  assertThrows(() => attr.chars("map_name", "a".repeat(16)), RangeError, "Cannot set map_name: 16 bytes are more than");
  // Bytes count, not characters.
  assertThrows(() => attr.chars("map_name", "é".repeat(8)), RangeError, "16 bytes");
  assertThrows(() => attr.chars("map_name", "a\0b"), TypeError, "Cannot set map_name: it contains a NUL character");
  assertEquals(attr.getChars("map_name"), "a".repeat(15));
});

Deno.test("StructBuffer.pointer() writes an address, and holds on to the buffer", () => {
  const buffer = allocate(16).fill(7);
  const attr = new Attr("map_lookup_elem").pointer("key", buffer);
  assertEquals(attr.getU64("key"), addressOf(buffer));
  assertStrictEquals(attr.getBytes("key"), buffer);
  assertEquals([attr.has("key"), attr.has("value")], [true, false]);
  assertEquals(memoryAt(attr.getU64("key"), 16), buffer);
  // A part of a buffer begins where it begins.
  const part = buffer.subarray(4, 8);
  assertEquals(attr.pointer("value", part).getU64("value"), addressOf(buffer) + 4n);
  const empty = new Attr("map_lookup_elem").pointer("key", allocate(0));
  assertEquals([empty.getU64("key"), empty.has("key"), [...empty.written]], [0n, true, []]);
  for (const wrong of [undefined, null, "text", [1], new ArrayBuffer(8), new Uint32Array(2)] as never[]) {
    assertThrows(() => attr.pointer("key", wrong), TypeError, "Cannot set key: it is no Uint8Array");
  }
});

Deno.test("StructBuffer.string() and strings() write addresses of copies that end with NUL", () => {
  const attr = new Attr("link_create").string("uprobe_multi.path", "/bin/é");
  assertEquals(memoryAt(attr.getU64("uprobe_multi.path"), 8), cString("/bin/é"));
  assertThrows(() => attr.string("uprobe_multi.path", "a\0"), TypeError, "NUL");
  const names = ["first", "", "third"];
  const list = new Attr("link_create").strings("kprobe_multi.syms", names);
  const addresses = new BigUint64Array(memoryAt(list.getU64("kprobe_multi.syms"), 24).slice().buffer);
  assertEquals([...addresses].map((address) => textOf(memoryAt(address, 8))), names);
  assertThrows(() => list.strings("kprobe_multi.syms", ["fine", "a\0b"]), TypeError, "NUL");
});

Deno.test("StructBuffer.integers() writes arrays, and names the element that does not fit", () => {
  const attr = new Attr("link_create").integers("kprobe_multi.addrs", [1, 2n, 0xffff_ffff_ffff_ffffn], 8)
    .integers("tracing_multi.ids", [1, 0xffffffff], 4);
  assertEquals(
    attr.getBytes("kprobe_multi.addrs"),
    new Uint8Array(new BigUint64Array([1n, 2n, 2n ** 64n - 1n]).buffer),
  );
  assertEquals(attr.getBytes("tracing_multi.ids"), new Uint8Array(new Uint32Array([1, 0xffffffff]).buffer));
  const cases: readonly (readonly [(number | bigint)[], 4 | 8, string])[] = [
    [[0, 2 ** 32], 4, "Cannot set kprobe_multi.addrs: element 1, 4294967296, does not fit 32 bits"],
    [[-1], 4, "element 0, -1, does not fit"],
    [[1n << 64n], 8, "does not fit 64 bits"],
    [[0, 1, 1.5], 8, "Cannot set kprobe_multi.addrs: element 2, 1.5, is not a safe integer"],
    [[NaN], 4, "element 0, NaN, is not a safe integer"],
  ];
  for (const [values, size, message] of cases) {
    assertThrows(() => attr.integers("kprobe_multi.addrs", values, size), RangeError, message);
  }
});

Deno.test("StructBuffer.fd() and fds() write descriptors, and refuse closed ones", () => {
  using fake = new FakeKernel();
  const fd = Fd.own(fake.newFd());
  const attr = new Attr("prog_load").fd("prog_btf_fd", fd).fds("fd_array", [fd, 5, { fd: 6 }]);
  assertEquals(attr.getU32("prog_btf_fd"), fd.fd);
  assertEquals(new Uint32Array(attr.getBytes("fd_array").buffer), new Uint32Array([fd.fd, 5, 6]));
  fd.close();
  assertThrows(() => attr.fd("prog_btf_fd", fd), TypeError, "Cannot use prog_btf_fd: it is closed");
  assertThrows(() => attr.fds("fd_array", [5, fd]), TypeError, "Cannot use fd_array[1]: it is closed");
  assertThrows(() => attr.fd("prog_btf_fd", -1), TypeError, "Cannot use prog_btf_fd: -1 is not a file descriptor");
});

Deno.test("StructBuffer refuses fields that the struct does not have", () => {
  const attr = new Attr("map_freeze");
  const wrong = "map_type" as "map_fd";
  for (
    const use of [
      () => attr.u32(wrong, 1),
      () => attr.s32(wrong, 1),
      () => attr.u64(wrong, 1),
      () => attr.chars(wrong, "a"),
      () => attr.pointer(wrong, allocate(1)),
      () => attr.getU32(wrong),
      () => attr.getU64(wrong),
      () => attr.getBytes(wrong),
      () => attr.offset(wrong),
    ]
  ) assertThrows(use, TypeError, "Cannot use field map_type: BPF_MAP_FREEZE has none");
  assertThrows(() => structBuffer("bpf_map_info").getU32("nothing" as "id"), TypeError, "struct bpf_map_info has none");
});

Deno.test("StructBuffer.entries() gives every field with what it holds", () => {
  const key = allocate(4);
  const attr = new Attr("map_lookup_elem").u32("map_fd", 9).pointer("key", key).u64("flags", 4);
  const entries = [...attr.entries()];
  assertEquals(entries.map(({ name }) => name), Object.keys(attrLayouts.map_lookup_elem.fields));
  const byName = Object.fromEntries(entries.map(({ name, value, buffer }) => [name, { value, buffer }]));
  assertEquals(byName.map_fd, { value: 9, buffer: undefined });
  assertEquals(byName.flags, { value: 4n, buffer: undefined });
  assertEquals(byName.key, { value: addressOf(key), buffer: key });
  const create = new Attr("map_create").chars("map_name", "n").s32("map_token_fd", -1);
  const found = new Map([...create.entries()].map(({ name, value }) => [name, value]));
  assertEquals(found.get("map_token_fd"), -1);
  assertEquals(found.get("map_name"), new Uint8Array(16).fill(110, 0, 1));
});

Deno.test("Attr is zeroed, and ends where the command's last field ends", () => {
  let fields = 0;
  for (const command of Object.keys(commands) as CommandName[]) {
    const attr = new Attr(command);
    assertEquals([attr.command, attr.number], [command, commands[command]]);
    assertEquals(attr.bytes.some((byte) => byte !== 0), false);
    const places: { offset: number; size: number }[] = Object.values(attrLayouts[command].fields);
    assertEquals(attr.bytes.length, Math.max(...places.map(({ offset, size }) => offset + size)), command);
    for (const name of Object.keys(attrLayouts[command].fields)) {
      assert(attr.offset(name as AttrField<CommandName>) < attr.bytes.length);
      fields++;
    }
    assertEquals(attr.bytes.buffer.byteLength, attr.bytes.length);
  }
  assert(fields > 200, `${fields}`);
});

Deno.test("textOf() ends at the first NUL, or with the buffer", () => {
  assertEquals(textOf(new Uint8Array([97, 98, 0, 99])), "ab");
  assertEquals(textOf(new Uint8Array([97, 98])), "ab");
  assertEquals(textOf(new Uint8Array(0)), "");
});

Deno.test("addressOf() gives 0 for an empty buffer, and addresses that do not move", () => {
  assertEquals(addressOf(allocate(0)), 0n);
  const buffers = Array.from({ length: 100 }, (_, index) => allocate(8).fill(index));
  const addresses = buffers.map(addressOf);
  for (let index = 0; index < 2e5; index++) new Array(8).fill(index);
  assertEquals(buffers.map(addressOf), addresses);
  assertEquals(addresses.map((address) => memoryAt(address, 1)[0]), buffers.map((buffer) => buffer[0]));
});
