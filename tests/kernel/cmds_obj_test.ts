import { assert, assertEquals, assertGreater, assertMatch, assertThrows } from "@std/assert";
import { asm } from "../../asm/mod.ts";
import { btfLoad } from "../../cmds/btf.ts";
import { mapLookupElem, mapUpdateElem } from "../../cmds/map_elem.ts";
import { type ObjectKind, objGet, objGetInfoByFd, objPin } from "../../cmds/obj.ts";
import { progLoad } from "../../cmds/prog.ts";
import { rawTracepointOpen } from "../../cmds/raw_tracepoint.ts";
import { PermissionError } from "../../errors.ts";
import { openPath } from "../../ffi/kernel_file.ts";
import { kernelTest } from "../_kernel_test.ts";
import { run } from "../_tools.ts";
import { keyValueBtf } from "./_map_types.ts";
import {
  arrayMap,
  assertRefused,
  constant,
  fdinfo,
  hashMap,
  interpose,
  place,
  rootToken,
  simpleProg,
  socketFilter,
  trying,
  u32s,
  u64s,
} from "./_objects.ts";

kernelTest("objPin() and objGet() give maps, programs and links a name", { needs: ["bpffs"] }, () => {
  const token = rootToken();
  const path = (name: string): string => `${place("BPFFS")}/${name}`;
  using map = hashMap(token);
  using prog = simpleProg(token, "raw_tracepoint");
  using link = rawTracepointOpen(token, prog, { name: "sys_enter" });
  for (const [kind, object] of [["map", map], ["prog", prog], ["link", link]] as const) {
    objPin(token, object, { path: path(kind) });
    assertMatch(Deno.readDirSync(place("BPFFS")).map(({ name }) => name).toArray().join(), new RegExp(kind));
    using same = objGet(token, path(kind));
    assert(same.fd !== object.fd);
    assertEquals(objGetInfoByFd(token, same, { kind }).id, objGetInfoByFd(token, object, { kind }).id);
    assertRefused(() => objPin(token, object, { path: path(kind) }), "EEXIST", /exists already/);
    Deno.removeSync(path(kind));
    assertRefused(() => objGet(token, path(kind)), "ENOENT", /nothing is pinned/);
  }
});

kernelTest("objPin() and objGet() start from a directory", {
  needs: ["bpffs", trying((token) => objGet(token, "relative", { directory: 9999 }))],
}, () => {
  const token = rootToken();
  Deno.mkdirSync(`${place("BPFFS")}/below`);
  using directory = openPath(`${place("BPFFS")}/below`);
  using map = arrayMap(token);
  objPin(token, map, { path: "relative", directory });
  using same = objGet(token, "relative", { directory });
  assertEquals(fdinfo(same.fd).get("map_id"), fdinfo(map.fd).get("map_id"));
  assertEquals(Deno.statSync(`${place("BPFFS")}/below/relative`).isFile, true);
  assertRefused(() => objGet(token, "other", { directory }), "ENOENT");
  assertRefused(() => objGet(token, "relative", { directory: 9999 }), "EBADF");
  Deno.removeSync(`${place("BPFFS")}/below`, { recursive: true });
});

kernelTest("objGet() opens maps for reading or writing only", { needs: ["bpffs"] }, () => {
  const token = rootToken();
  const path = `${place("BPFFS")}/modes`;
  using map = arrayMap(token);
  objPin(token, map, { path });
  const element = { key: u32s(0), value: u64s(1n) };
  using reader = objGet(token, path, { flags: constant("BPF_F_RDONLY") });
  assertRefused(() => mapUpdateElem(token, reader, element), "EPERM");
  assertEquals(mapLookupElem(token, reader, element), u64s(0n));
  using writer = objGet(token, path, { flags: constant("BPF_F_WRONLY") });
  mapUpdateElem(token, writer, element);
  assertRefused(() => mapLookupElem(token, writer, element), "EPERM");
  using restricted = objGet(token.only({ readOnly: true }), path);
  assertRefused(() => mapUpdateElem(token, restricted, element), "EPERM");
  assertRefused(
    () => objGet(token, path, { flags: constant("BPF_F_RDONLY") | constant("BPF_F_WRONLY") }),
    "EINVAL",
  );
  Deno.removeSync(path);
});

kernelTest("objPin() and objGet() fail with the kernel's error number", { needs: ["bpffs"] }, () => {
  const token = rootToken();
  using map = arrayMap(token);
  const file = Deno.makeTempFileSync();
  assertRefused(() => objPin(token, map, { path: `${file}.map` }), "EPERM", /not on a bpffs/);
  assertRefused(() => objGet(token, file), "EACCES", /not on a bpffs/);
  Deno.removeSync(file);
  assertRefused(() => objPin(token, map, { path: `${place("BPFFS")}/no/such` }), "ENOENT", /directory/);
  assertRefused(() => objPin(token, 9999, { path: `${place("BPFFS")}/none` }), "EINVAL", /no map, program/);
  assertRefused(() => objPin(token, 2, { path: `${place("BPFFS")}/none` }), "EINVAL");
  // A bpffs keeps names with dots for itself.
  assertRefused(() => objPin(token, map, { path: `${place("BPFFS")}/a.b` }), "EPERM", /contains a dot/);
  assertRefused(() => objGet(token, `${place("BPFFS")}/a.b`), "EPERM", /contains a dot/);
  using interposed = interpose();
  assertThrows(() => objPin(token, map, { path: "" }), TypeError, "empty");
  assertThrows(() => objGet(token, "a\0b"), TypeError, "NUL");
  const inPins = token.only({ pins: [`${place("BPFFS")}/mine`] });
  assertThrows(() => objPin(inPins, map, { path: `${place("BPFFS")}/other` }), PermissionError);
  assertEquals(interposed.calls, []);
});

kernelTest("objGetInfoByFd() tells about a program what it was loaded with", { tools: ["bpftool"] }, async () => {
  const token = rootToken();
  using map = arrayMap(token);
  const insns = asm`
    r6 = 1
    *(u32 *)(r10 -4) = 0
    r1 = map_fd ${map} ll
    r2 = r10
    r2 += -4
    call map_lookup_elem
    call helper
    exit
  helper:
    r0 = 3
    exit
  `;
  const sinceBoot = (): bigint => BigInt(Math.floor(Number(Deno.readTextFileSync("/proc/uptime").split(" ")[0]) * 1e9));
  const before = sinceBoot();
  using prog = progLoad(token, { type: "xdp", insns, license: "Dual MIT/GPL", name: "info.me" });
  const info = objGetInfoByFd(token, prog, {
    kind: "prog",
    details: ["mapIds", "xlatedInsns", "jitedInsns", "jitedKsyms", "jitedFuncLens", "progTags"],
  });
  assertEquals([info.type, info.name, info.gplCompatible, info.createdByUid], ["xdp", "info.me", true, 0]);
  assertEquals(info.mapIds, [Number(fdinfo(map.fd).get("map_id"))]);
  assertEquals(info.tag, fdinfo(prog.fd).get("prog_tag"));
  assertEquals(info.id, Number(fdinfo(prog.fd).get("prog_id")));
  // The kernel's uptime has hundredths of a second.
  assert(info.loadTime > before - 20_000_000n && info.loadTime < sinceBoot() + 20_000_000n, `${info.loadTime}`);
  // bpftool writes the same bytes to a file.
  const file = Deno.makeTempFileSync();
  const { code, stderr } = await run("bpftool", ["prog", "dump", "xlated", "id", `${info.id}`, "file", file]);
  assertEquals(code, 0, stderr);
  assertEquals(info.xlatedInsns, Deno.readFileSync(file));
  Deno.removeSync(file);
  assertGreater(info.xlatedInsns?.length ?? 0, insns.length);
  assertGreater(info.jitedInsns?.filter((byte) => byte !== 0).length ?? 0, 60);
  assertEquals([info.xlatedInsns?.length, info.jitedInsns?.length], [info.xlatedProgLen, info.jitedProgLen]);
  // Two functions: two tags, addresses and lengths, which the machine code is made of.
  assertEquals([info.progTags?.length, info.jitedKsyms?.length, info.jitedFuncLens?.length], [2, 2, 2]);
  assertEquals(info.progTags?.[0].length, 16);
  assertEquals((info.jitedFuncLens ?? []).reduce((sum, length) => sum + length), info.jitedProgLen);
  const symbols = Deno.readTextFileSync("/proc/kallsyms");
  for (const address of info.jitedKsyms ?? []) {
    assert(symbols.includes(address.toString(16).padStart(16, "0")), `0x${address.toString(16)} in /proc/kallsyms`);
  }
  const plain = objGetInfoByFd(token, prog, { kind: "prog" });
  assertEquals([plain.mapIds, plain.xlatedInsns, plain.nrMapIds], [undefined, undefined, 1]);
});

kernelTest("objGetInfoByFd() gives BTF byte for byte as it was loaded", {}, () => {
  const token = rootToken();
  const bytes = keyValueBtf();
  using btf = btfLoad(token, bytes);
  const info = objGetInfoByFd(token, btf, { kind: "btf", details: ["btf"] });
  assertEquals(info.btf, bytes);
  assertEquals([info.btfSize, info.kernelBtf, info.name], [bytes.length, false, ""]);
  const short = objGetInfoByFd(token, btf, { kind: "btf" });
  assertEquals([short.id, short.btfSize, short.btf], [info.id, bytes.length, undefined]);
});

kernelTest("objGetInfoByFd() fails with the kernel's error number", {}, () => {
  const token = rootToken();
  using prog = socketFilter(token);
  const kinds: ObjectKind[] = ["map", "prog", "btf", "link"];
  for (const kind of kinds) {
    // No other command answers a closed descriptor so.
    assertRefused(() => objGetInfoByFd(token, 9999, { kind }), "EBADFD", /closed/);
    assertRefused(() => objGetInfoByFd(token, 2, { kind }), "EINVAL", /no map/);
  }
  assertThrows(() => objGetInfoByFd(token, prog, { kind: "cgroup" as "prog" }), TypeError, "cgroup");
  const closed = socketFilter(token);
  closed.close();
  assertThrows(() => objGetInfoByFd(token, closed, { kind: "prog" }), TypeError, "it is closed");
});
