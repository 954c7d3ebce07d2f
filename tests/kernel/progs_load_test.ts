import { assert, assertEquals, assertGreaterOrEqual, assertStringIncludes, assertThrows } from "@std/assert";
import { asm, exit, label, mov64, r0 } from "../../asm/mod.ts";
import { Btf, BtfBuilder } from "../../btf/mod.ts";
import { NotSupportedError, PermissionError, SyscallError, VerifierError } from "../../errors.ts";
import { hasProgType, kernelBtf } from "../../features/mod.ts";
import { BpfMap } from "../../maps/mod.ts";
import { u32, u64 } from "../../codec.ts";
import { Program, type ProgramOptions } from "../../progs/mod.ts";
import { acquire, type PermissionToken } from "../../tokens/token.ts";
import { type ProgType, progTypes } from "../../uapi/enums.gen.ts";
import { progTypeSince } from "../../uapi/since.gen.ts";
import { kernelSince, kernelTest } from "../_kernel_test.ts";
import { bpftoolJson } from "../_tools.ts";
import { interpose, lackingFor, place, returning, rootToken } from "./_objects.ts";

/** What programs take besides instructions that return 0, with targets by name. */
const EXTRA: { readonly [T in ProgType]?: Partial<ProgramOptions> } = {
  cgroup_sock_addr: { expectedAttachType: "cgroup_inet4_connect", insns: returning(1) },
  cgroup_skb: { insns: returning(1) },
  cgroup_sock: { insns: returning(1) },
  cgroup_device: { insns: returning(1) },
  cgroup_sysctl: { insns: returning(1) },
  cgroup_sockopt: { expectedAttachType: "cgroup_setsockopt", insns: returning(1) },
  sk_lookup: { expectedAttachType: "sk_lookup", insns: returning(1) },
  sk_reuseport: { expectedAttachType: "sk_reuseport_select", insns: returning(1) },
  netfilter: { expectedAttachType: "netfilter", insns: returning(1) },
  syscall: { flags: ["sleepable"] },
  tracing: { expectedAttachType: "trace_raw_tp", attachTo: "sys_enter" },
  lsm: { expectedAttachType: "lsm_mac", attachTo: "file_mprotect" },
  struct_ops: { attachTo: { name: "tcp_congestion_ops", member: "ssthresh" } },
};

/** BTF with functions `int entry(void *ctx)` and, static, `int other(int x)`. */
function twoFunctions(): { builder: BtfBuilder; entry: number; other: number } {
  const builder = new BtfBuilder();
  const int = builder.int("int", 4, "signed");
  const context = builder.ptr(0);
  const entry = builder.func("entry", builder.funcProto(int, [{ name: "ctx", typeId: context }]), "global");
  const other = builder.func("other", builder.funcProto(int, [{ name: "x", typeId: int }]), "global");
  return { builder, entry, other };
}

kernelTest("Program.load() loads every type that the kernel has", { needs: ["btf"] }, () => {
  const token = rootToken();
  const loaded: string[] = [];
  const lacking: string[] = [];
  for (const type of Object.keys(progTypes) as ProgType[]) {
    const options: ProgramOptions = { type, insns: returning(0), license: "GPL", name: `all_${type.slice(0, 8)}` };
    try {
      if (type === "ext") {
        // What replaces a function has to have its arguments, by their names too.
        const builder = new BtfBuilder();
        const int = builder.int("int", 4, "signed");
        const context = builder.ptr(builder.struct("xdp_md", 4, [{ name: "data", typeId: int, bitsOffset: 0 }]));
        const entry = builder.func("entry", builder.funcProto(int, [{ name: "ctx", typeId: context }]), "global");
        const btf = { types: builder, funcInfo: [{ insnOff: 0, typeId: entry }] };
        using target = Program.load(token, { type: "xdp", insns: returning(1), license: "GPL", btf });
        using prog = Program.load(token, { ...options, btf, attachTo: { name: "entry", prog: target } });
        assertEquals(prog.info.type, type);
      } else {
        using prog = Program.load(token, { ...options, ...EXTRA[type] });
        assertEquals([prog.info.type, prog.type], [type, type]);
      }
      loaded.push(type);
    } catch (error) {
      if (error instanceof NotSupportedError && error.feature === `program type ${type}`) {
        assert(kernelSince(progTypeSince[type])() !== undefined, `${type}: the kernel should have it`);
      } else if (type === "struct_ops" && error instanceof TypeError) {
        assertStringIncludes(error.message, "the kernel has no struct");
      } else {
        // What patches functions is refused by kernels that are built or patched without it.
        assert(type === "ext" || type === "lsm" || type === "lirc_mode2", `${type}: ${error}`);
        assert(error instanceof SyscallError || error instanceof PermissionError, String(error));
        // The probe does not say otherwise.
        assert(hasProgType(token, type) !== true, `${type} should load: ${error}`);
      }
      const why = error instanceof VerifierError
        ? error.report.reason
        : "code" in (error as Error)
        ? (error as SyscallError).code
        : "";
      lacking.push(why === "" ? type : `${type} (${why})`);
    }
  }
  console.log(`loaded ${loaded.length} types; not: ${lacking.join(", ")}`);
  assertEquals(loaded.length + lacking.length, 32);
  assertGreaterOrEqual(loaded.length, 26);
});

kernelTest("Program.load() loads BTF for the call, whose functions and lines the kernel keeps", {}, () => {
  const token = rootToken();
  const { builder, entry, other } = twoFunctions();
  const insns = asm`
    r1 = 3
    call other
    exit
  other:
    r0 = r1
    exit
  `;
  const funcInfo = [{ insnOff: 0, typeId: entry }, { insnOff: 24, typeId: other }];
  const lineInfo = [
    { insnOff: 0, file: "two.c", text: "\treturn other(3);", line: 7, column: 9 },
    { insnOff: 24, file: "two.c", text: "\treturn x;", line: 12, column: 2 },
  ];
  const bytes = builder.bytes();
  for (const types of [builder, bytes, Btf.parse(bytes)]) {
    using prog = Program.load(token, {
      type: "socket_filter",
      insns,
      license: "GPL",
      btf: { types, funcInfo, lineInfo },
    });
    const info = prog.inspect();
    assertEquals([info.nrFuncInfo, info.nrLineInfo], [2, 2]);
    const text = prog.dump({ places: true });
    assertStringIncludes(text, "int entry(void * ctx):\n; return other(3); [file:two.c line_num:7 line_col:9]\n   0: ");
    assertStringIncludes(text, "int other(int x):\n; return x; [file:two.c line_num:12 line_col:2]\n   3: ");
  }
  const base = { type: "socket_filter", insns, license: "GPL" } as const;
  const load = (btf: ProgramOptions["btf"]): void => Program.load(token, { ...base, btf }).close();
  assertThrows(() => load({ types: bytes, lineInfo }), TypeError, "need funcInfo");
  assertThrows(() => load({ types: bytes, funcInfo: [{ insnOff: 4, typeId: entry }] }), RangeError, "funcInfo");
  assertThrows(
    () => load({ types: bytes, funcInfo, lineInfo: [{ ...lineInfo[0], column: 1024 }] }),
    RangeError,
    "column 1024",
  );
});

kernelTest("Program.load() takes instructions with labels, flags by name and a fd_array", {}, () => {
  const token = rootToken();
  using prog = Program.load(token, {
    type: "xdp",
    insns: [mov64(r0, 2), label("end"), exit()],
    license: "Dual MIT/GPL",
    flags: ["strict_alignment", "test_state_freq"],
  });
  assertEquals(prog.run({ data: new Uint8Array(64) }).returnValue, 2);
  assert(prog.info.gplCompatible);
  using map = BpfMap.create(token, { type: "array", value: u64, maxEntries: 1 });
  const indexed = {
    type: "socket_filter",
    license: "GPL",
    fdArray: [map],
    insns: asm`
      r1 = map_idx_value 0 ll
      r0 = *(u32 *)(r1 +0)
      exit
    `,
  } as const;
  if (lackingFor(() => Program.load(token, indexed).descriptor) === undefined) {
    using reading = Program.load(token, indexed);
    map.set(0, 77n);
    assertEquals(reading.run({ data: new Uint8Array(64) }).returnValue, 77);
    assertEquals(reading.inspect().mapIds, [map.info.id]);
  }
});

kernelTest("Program.load() leaves CO-RE relocations to the kernel", { needs: ["btf", kernelSince("5.17")] }, () => {
  const token = rootToken();
  const builder = new BtfBuilder();
  const int = builder.int("int", 4, "signed");
  const entry = builder.func("entry", builder.funcProto(int, [{ name: "ctx", typeId: builder.ptr(0) }]), "global");
  // The program's own idea of the struct has the member elsewhere than the kernel.
  const task = builder.struct("task_struct", 16, [{ name: "pid", typeId: int, bitsOffset: 64 }]);
  const insns = asm`
    r0 = 8
    exit
  `;
  using prog = Program.load(token, {
    type: "raw_tracepoint",
    insns,
    license: "GPL",
    btf: {
      types: builder,
      funcInfo: [{ insnOff: 0, typeId: entry }],
      coreRelos: [{ insnOff: 0, typeId: task, access: "0:0", kind: "field_byte_offset" }],
    },
  });
  const btf = kernelBtf();
  const member = btf.members(btf.find("struct", "task_struct") as number).find(({ name }) => name === "pid");
  assert(member !== undefined);
  assertEquals(prog.run().returnValue, member.bitsOffset / 8);
});

kernelTest("Program.load() refuses what cannot be right before it calls the kernel", {}, () => {
  const token = rootToken();
  const good = { type: "socket_filter", insns: returning(), license: "GPL" } as const;
  using interposed = interpose();
  const load = (more: Partial<ProgramOptions>) => () => Program.load(token, { ...good, ...more } as never).close();
  assertThrows(load({ insns: new Uint8Array(0) }), RangeError, "Cannot use insns: there is no instruction");
  assertThrows(load({ insns: new Uint8Array(12) }), RangeError, "Cannot use insns: 12 bytes are no multiple of 8");
  assertThrows(load({ insns: new Uint8Array(8_000_008) }), RangeError, "Cannot use insns: 1000001");
  assertThrows(load({ insns: "r0 = 0" as never }), TypeError, "Cannot use insns");
  assertThrows(load({ license: "x".repeat(128) }), RangeError, "Cannot use license: 128 bytes");
  assertThrows(load({ license: "GPL\0" }), TypeError, "Cannot use license: it contains a NUL");
  assertThrows(load({ license: undefined as never }), TypeError, "Cannot use license");
  assertThrows(load({ name: "no spaces" }), TypeError, 'Cannot use name "no spaces"');
  assertThrows(load({ name: "a".repeat(16) }), RangeError, "Cannot use name");
  assertThrows(load({ flags: ["sleepy" as never] }), TypeError, 'Cannot use flags: "sleepy"');
  assertThrows(load({ btf: { types: new Uint8Array(3), funcInfo: [] } }), SyntaxError, "BTF");
  assertThrows(load({ attachTo: "f", attachBtfId: 3 }), TypeError, "Cannot use attachTo");
  // More than 4096 instructions need CAP_BPF, which the token tells of.
  const many = new Uint8Array(8 * 5000);
  const weak = acquire();
  assertThrows(() => Program.load(weak, { ...good, insns: many }), PermissionError, "CAP_BPF");
  assertEquals(interposed.calls.length, 0);
});

kernelTest("Program.open() opens by path, id, name, tag and descriptor", { needs: ["bpffs"] }, async () => {
  const token = rootToken();
  const insns = returning(12345);
  using prog = Program.load(token, { type: "socket_filter", insns, license: "GPL", name: "open_me" });
  const { id, tag } = prog.info;
  const path = `${place("BPFFS")}/open_me`;
  prog.pin(path);
  assertEquals((await bpftoolJson(["prog", "show", "pinned", path]) as { id: number }).id, id);
  const sources = [{ path }, { id }, { name: "open_me" }, { tag }, { fd: prog.descriptor.dup() }] as const;
  for (const source of sources) {
    using same = Program.open(token, source as { id: number }, { type: "socket_filter" });
    assertEquals([same.info.id, same.type], [id, "socket_filter"]);
    assertEquals(same.run({ data: new Uint8Array(64) }).returnValue, 12345);
  }
  assertThrows(() => Program.open(token, { id }, { type: "xdp" }), TypeError, "it is of type socket_filter");
  assertThrows(() => Program.open(token, { name: "no_such_prog" }), TypeError, "there is none");
  assertThrows(() => Program.open(token, {} as { id: number }), TypeError, "give one of path, id, name, tag, fd");
  assertThrows(() => Program.open(token, { id: 0x7fffffff }), SyscallError, "ENOENT");
  {
    using twin = Program.load(token, { type: "socket_filter", insns, license: "GPL", name: "open_me" });
    assert(twin.fd > 2);
    assertThrows(() => Program.open(token, { name: "open_me" }), TypeError, "open one by its id");
  }
  using map = BpfMap.create(token, { type: "hash", key: u32, value: u64, maxEntries: 1, name: "bound" });
  assertThrows(
    () => Program.open(token, { fd: map.descriptor.dup() }),
    TypeError,
    "is of none, but of anon_inode:bpf-map",
  );
  prog.bindMap(map);
  assertEquals(prog.inspect().mapIds, [map.info.id]);
  Deno.removeSync(path);
  prog.close();
  assertThrows(() => prog.fd, TypeError, "Cannot use program: it is closed");
  assertThrows(() => prog.info, TypeError, "it is closed");
});

kernelTest("Program.load() gives all of a VerifierError on", {}, () => {
  const token = rootToken();
  const error = assertThrows(
    () => Program.load(token, { type: "xdp", insns: [exit()], license: "GPL" }),
    VerifierError,
  );
  assertStringIncludes(error.log, "R0 !read_ok");
});

kernelTest("Program.load() asks for the token that the type needs, in TypeScript and when it runs", {}, () => {
  const weak = acquire("CAP_BPF");
  const options = { type: "xdp", insns: returning(1), license: "GPL" } as const;
  // @ts-expect-error: programs of type xdp need CAP_NET_ADMIN.
  assertThrows(() => Program.load(weak, options), PermissionError, "CAP_NET_ADMIN");
  const able: PermissionToken<"CAP_BPF" | "CAP_NET_ADMIN"> = acquire("CAP_BPF", "CAP_NET_ADMIN");
  using prog: Program<"xdp"> = Program.load(able, options);
  assertEquals(prog.type, "xdp");
  able.revoke();
  assert(prog.closed);
  assertThrows(() => prog.fd, TypeError, "its permission token was revoked");
});
