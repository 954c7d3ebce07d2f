import { assertEquals, assertGreater, assertThrows } from "@std/assert";
import { asm } from "../../asm/mod.ts";
import { mapCreate } from "../../cmds/map.ts";
import { mapLookupElem } from "../../cmds/map_elem.ts";
import { objGetInfoByFd } from "../../cmds/obj.ts";
import { progLoad } from "../../cmds/prog.ts";
import { rawTracepointOpen } from "../../cmds/raw_tracepoint.ts";
import { PermissionError } from "../../errors.ts";
import type { Fd } from "../../ffi/fd.ts";
import { kernelSince, kernelTest } from "../_kernel_test.ts";
import { needVmlinuxId } from "./_btf_bytes.ts";
import {
  assertRefused,
  eventually,
  type RootToken,
  rootToken,
  simpleProg,
  socketFilter,
  toU64s,
  trying,
  u32s,
} from "./_objects.ts";

/** Instructions that add one to the first element of an array, and keep the cookie in the second one. */
function counting(map: Fd, withCookie: boolean): Uint8Array<ArrayBuffer> {
  const cookie = withCookie ? "r1 = r6\ncall get_attach_cookie\nr7 = r0" : "r7 = 0";
  return asm`
    r6 = r1
    ${cookie}
    r1 = map_value ${map} + 0 ll
    r2 = 1
    lock *(u64 *)(r1 +0) += r2
    *(u64 *)(r1 +8) = r7
    r0 = 0
    exit
  `;
}

function read(token: RootToken, map: Fd): bigint[] {
  return toU64s(mapLookupElem(token, map, { key: u32s(0) }) ?? new Uint8Array());
}

async function runs(token: RootToken, map: Fd): Promise<boolean> {
  const before = read(token, map)[0];
  return await eventually(() => {
    Deno.statSync("/");
    return read(token, map)[0] > before;
  });
}

kernelTest("rawTracepointOpen() attaches to a tracepoint by name until it is closed", {}, async () => {
  const token = rootToken();
  using map = wide(token);
  using prog = progLoad(token, { type: "raw_tracepoint", license: "GPL", insns: counting(map, false) });
  {
    using link = rawTracepointOpen(token, prog, { name: "sys_enter" });
    assertEquals(await runs(token, map), true);
    const info = objGetInfoByFd(token, link, { kind: "link" });
    if (info.type !== "raw_tracepoint" || !("tpName" in info)) throw new Error(`${info.type} is no raw tracepoint`);
    assertEquals([info.tpName, info.progId], ["sys_enter", objGetInfoByFd(token, prog, { kind: "prog" }).id]);
  }
  const { 0: after } = read(token, map);
  assertGreater(after, 0n);
  Deno.statSync("/");
  assertEquals(read(token, map)[0], after);
});

/** An array of one element: a counter and a cookie. */
function wide(token: RootToken): Fd {
  return mapCreate(token, { type: "array", keySize: 4, valueSize: 16, maxEntries: 1 });
}

kernelTest("rawTracepointOpen() passes a cookie to the program", {
  needs: [trying((token) => rawTracepointOpen(token, 9999, { name: "sys_enter", cookie: 1n }))],
}, async () => {
  const token = rootToken();
  using map = wide(token);
  const cookie = 0xfedc_ba98_7654_3210n;
  using prog = progLoad(token, { type: "raw_tracepoint", license: "GPL", insns: counting(map, true) });
  using link = rawTracepointOpen(token, prog, { name: "sys_enter", cookie });
  assertEquals(await runs(token, map), true);
  assertEquals(read(token, map)[1], cookie);
  const info = objGetInfoByFd(token, link, { kind: "link" });
  if (kernelSince("6.18")() === undefined) assertEquals("cookie" in info && info.cookie, cookie);
});

kernelTest("rawTracepointOpen() attaches by BTF where no name is given", { needs: ["btf"] }, async () => {
  const token = rootToken();
  using map = wide(token);
  const attachBtfId = needVmlinuxId("typedef", "btf_trace_sys_enter");
  using prog = progLoad(token, {
    type: "tracing",
    license: "GPL",
    expectedAttachType: "trace_raw_tp",
    attachBtfId,
    insns: counting(map, false),
  });
  using link = rawTracepointOpen(token, prog);
  assertEquals(await runs(token, map), true);
  const info = objGetInfoByFd(token, link, { kind: "link" });
  assertEquals([info.type, info.progId], ["raw_tracepoint", objGetInfoByFd(token, prog, { kind: "prog" }).id]);
  assertRefused(() => rawTracepointOpen(token, prog, { name: "sys_enter" }), "EINVAL");
});

kernelTest("rawTracepointOpen() fails with the kernel's error number", {}, () => {
  const token = rootToken();
  using prog = simpleProg(token, "raw_tracepoint");
  using filter = socketFilter(token);
  assertRefused(() => rawTracepointOpen(token, prog, { name: "no_such_tracepoint" }), "ENOENT", /no such tracepoint/);
  assertRefused(() => rawTracepointOpen(token, filter, { name: "sys_enter" }), "EINVAL", /no tracing program/);
  assertRefused(() => rawTracepointOpen(token, 9999, { name: "sys_enter" }), "EBADF");
  assertThrows(() => rawTracepointOpen(token, prog, { name: "sys\0enter" }).close(), TypeError, "NUL");
  assertThrows(
    () => rawTracepointOpen(token.only({ commands: ["prog_load"] }), prog, { name: "sys_enter" }).close(),
    PermissionError,
  );
});
