import { assert, assertEquals, assertThrows } from "@std/assert";
import { asm } from "../../asm/mod.ts";
import { linkGetFdById, mapGetFdById, progGetFdById } from "../../cmds/id.ts";
import { mapCreate } from "../../cmds/map.ts";
import { mapLookupElem, mapUpdateElem } from "../../cmds/map_elem.ts";
import { objGet, objGetInfoByFd, objPin } from "../../cmds/obj.ts";
import { progBindMap, progLoad } from "../../cmds/prog.ts";
import { rawTracepointOpen } from "../../cmds/raw_tracepoint.ts";
import { PermissionError, SyscallError } from "../../errors.ts";
import type { Fd } from "../../ffi/fd.ts";
import { kernelTest, SLOWNESS } from "../_kernel_test.ts";
import { run, toolPath } from "../_tools.ts";
import {
  arrayMap,
  eventually,
  place,
  type RootToken,
  rootToken,
  simpleProg,
  socketFilter,
  u32s,
  u64s,
} from "./_objects.ts";

type Kind = "map" | "prog" | "link";

const OPEN = { map: mapGetFdById, prog: progGetFdById, link: linkGetFdById };

/** Whether an object with an id is in the kernel. */
function exists(token: RootToken, kind: Kind, id: number): boolean {
  try {
    OPEN[kind](token, id).close();
    return true;
  } catch (error) {
    if (error instanceof SyscallError && (error.code === "ENOENT" || error.code === "EAGAIN")) return false;
    throw error;
  }
}

/** Asserts that an object stays: what is freed is freed after a grace period, so that a moment has to pass. */
async function assertStays(token: RootToken, kind: Kind, id: number, why: string): Promise<void> {
  assert(!await eventually(() => !exists(token, kind, id), 150), `${kind} ${id} is gone, in spite of ${why}`);
}

/** How long grace periods may take on a machine that has much else to do. */
const GRACE_MS = 10_000;

/** Asserts that an object goes: what frees it runs after a grace period or two. */
async function assertGoes(token: RootToken, kind: Kind, id: number, why: string): Promise<void> {
  assert(await eventually(() => !exists(token, kind, id), GRACE_MS), `${kind} ${id} is still there, after ${why}`);
}

function idOf(token: RootToken, object: Fd, kind: Kind = "map"): number {
  return objGetInfoByFd(token, object, { kind }).id;
}

kernelTest("a descriptor keeps a map, and so does its duplicate, until the last is closed", {}, async () => {
  const token = rootToken();
  const map = arrayMap(token);
  const id = idOf(token, map);
  const copy = map.dup();
  assert(copy.fd !== map.fd);
  map.close();
  await assertStays(token, "map", id, "the duplicate");
  mapUpdateElem(token, copy, { key: u32s(0), value: u64s(5n) });
  assertEquals(mapLookupElem(token, copy, { key: u32s(0) }), u64s(5n));
  assertThrows(() => map.dup(), TypeError, "it is closed");
  copy.close();
  await assertGoes(token, "map", id, "both are closed");
});

kernelTest("a program keeps the map that it uses, and a link the program", {}, async () => {
  const token = rootToken();
  const map = arrayMap(token);
  const mapId = idOf(token, map);
  const prog = progLoad(token, {
    type: "raw_tracepoint",
    license: "GPL",
    insns: asm`
      r1 = map_fd ${map} ll
      r0 = 0
      exit
    `,
  });
  const progId = idOf(token, prog, "prog");
  map.close();
  await assertStays(token, "map", mapId, "its program");
  const link = rawTracepointOpen(token, prog, { name: "sys_exit" });
  const linkId = idOf(token, link, "link");
  prog.close();
  await assertStays(token, "prog", progId, "its link");
  await assertStays(token, "map", mapId, "its program's link");
  link.close();
  await assertGoes(token, "link", linkId, "it is closed");
  await assertGoes(token, "prog", progId, "its link is gone");
  await assertGoes(token, "map", mapId, "its program is gone");
});

kernelTest("progBindMap() makes a program keep a map that it does not use", {}, async () => {
  const token = rootToken();
  const map = arrayMap(token);
  const id = idOf(token, map);
  const prog = socketFilter(token);
  progBindMap(token, prog, { map });
  map.close();
  await assertStays(token, "map", id, "the program that it is bound to");
  prog.close();
  await assertGoes(token, "map", id, "the program is closed");
});

kernelTest("a pin keeps a map, a program and a link, until it is removed", { needs: ["bpffs"] }, async () => {
  const token = rootToken();
  const make: Readonly<Record<Kind, () => Fd>> = {
    map: () => arrayMap(token),
    prog: () => socketFilter(token),
    link: () => {
      using prog = simpleProg(token, "raw_tracepoint");
      return rawTracepointOpen(token, prog, { name: "sys_exit" });
    },
  };
  for (const kind of ["map", "prog", "link"] as const) {
    const path = `${place("BPFFS")}/kept`;
    const object = make[kind]();
    const id = idOf(token, object, kind);
    objPin(token, object, { path });
    object.close();
    await assertStays(token, kind, id, "its pin");
    {
      using same = objGet(token, path);
      assertEquals(idOf(token, same, kind), id);
    }
    Deno.removeSync(path);
    await assertGoes(token, kind, id, "its pin is removed");
  }
});

kernelTest("a map of maps keeps the map that it holds, until another takes its place", {}, async () => {
  const token = rootToken();
  using model = arrayMap(token);
  using outer = mapCreate(token, { type: "array_of_maps", keySize: 4, valueSize: 4, maxEntries: 1, innerMap: model });
  const inner = arrayMap(token);
  const id = idOf(token, inner);
  mapUpdateElem(token, outer, { key: u32s(0), value: u32s(inner.fd) });
  inner.close();
  await assertStays(token, "map", id, "the map that holds it");
  mapUpdateElem(token, outer, { key: u32s(0), value: u32s(model.fd) });
  await assertGoes(token, "map", id, "another map takes its place");
});

/** A shell that says what its descriptor is, and lives until its input ends. */
function shell(fd: number): Deno.ChildProcess {
  // deno closes no descriptors before it executes a program: close-on-exec does.
  return new Deno.Command(toolPath("sh") ?? "sh", {
    args: ["-c", `readlink /proc/$$/fd/${fd} || echo nothing; read line`],
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
  }).spawn();
}

/** What the shell says; the shell waits then. */
async function firstLine(child: Deno.ChildProcess): Promise<string> {
  const reader = child.stdout.getReader();
  const { value } = await reader.read();
  reader.releaseLock();
  return new TextDecoder().decode(value).trim();
}

kernelTest(
  "a descriptor that is made inheritable reaches a child, which keeps the map",
  { tools: ["sh"] },
  async () => {
    const token = rootToken();
    const map = arrayMap(token);
    const id = idOf(token, map);
    map.setInheritable(true);
    const child = shell(map.fd);
    assertEquals(await firstLine(child), "anon_inode:bpf-map");
    map.close();
    await assertStays(token, "map", id, "the child that has it");
    await child.stdin.close();
    await child.status;
    await child.stdout.cancel();
    await assertGoes(token, "map", id, "the child has ended");
  },
);

kernelTest("descriptors do not reach a child by themselves", { tools: ["sh"] }, async () => {
  const token = rootToken();
  using map = arrayMap(token);
  using prog = simpleProg(token, "raw_tracepoint");
  using link = rawTracepointOpen(token, prog, { name: "sys_exit" });
  using copy = map.dup();
  map.setInheritable(true);
  map.setInheritable(false);
  // Each was made in another way; the first was inheritable for a while.
  const fds = [map, prog, link, copy].map(({ fd }) => fd);
  const script = fds.map((fd) => `readlink /proc/$$/fd/${fd} || echo nothing`).join("; ");
  const { stdout } = await run("sh", ["-c", script]);
  assertEquals(stdout.trim().split("\n"), fds.map(() => "nothing"));
});

kernelTest("a descriptor that is forgotten is closed by the garbage collector", {}, async () => {
  const root = decodeURIComponent(new URL("../..", import.meta.url).pathname);
  const script = `${root}tests/kernel/_gc_child.ts`;
  const args = ["run", "-A", "--no-check", "--cached-only", "--config", `${root}deno.json`, "--v8-flags=--expose-gc"];
  const { code, stdout, stderr } = await run(Deno.execPath(), [...args, script], { timeoutMs: 30_000 * SLOWNESS });
  assertEquals(code, 0, stderr);
  assertEquals(JSON.parse(stdout), { before: 21, after: 1, kept: true });
});

kernelTest("token.revoke() closes what was opened with it and with tokens derived from it", {}, async () => {
  const token = rootToken();
  const parent = rootToken();
  const derived = parent.only({ mapTypes: ["array"] });
  const deeper = derived.drop("CAP_SYS_ADMIN");
  const maps = [parent, derived, deeper as RootToken].map((one) => arrayMap(one));
  const prog = socketFilter(parent);
  const ids = maps.map((map) => idOf(token, map));
  const progId = idOf(token, prog, "prog");
  using kept = arrayMap(token);
  // What a handle's duplicate keeps is its holder's own.
  using copy = maps[0].dup();
  derived.revoke();
  assertEquals(maps.map(({ closed }) => closed), [false, true, true]);
  assertEquals([derived.revoked, deeper.revoked, parent.revoked], [true, true, false]);
  await assertGoes(token, "map", ids[1], "its token was revoked");
  await assertGoes(token, "map", ids[2], "its token's parent was revoked");
  assertThrows(() => mapLookupElem(token, maps[1], { key: u32s(0) }), TypeError, "its permission token was revoked");
  assertThrows(() => arrayMap(deeper as RootToken), PermissionError, "revoked");
  parent.revoke();
  await assertGoes(token, "prog", progId, "its token was revoked");
  assertEquals([maps[0].closed, prog.closed, kept.closed, copy.closed], [true, true, false, false]);
  await assertStays(token, "map", ids[0], "the duplicate");
  assertThrows(() => parent.only({}), PermissionError, "revoked");
});

kernelTest("an Fd is closed once: a second time does not close who has its number by then", {}, () => {
  const token = rootToken();
  // Another thread of the process may take the number first.
  for (let tries = 0;; tries++) {
    const map = arrayMap(token);
    const { fd } = map;
    map.close();
    using other = arrayMap(token);
    if (other.fd !== fd && tries < 20) continue;
    assertEquals(other.fd, fd, "the kernel gives the lowest free number");
    map.close();
    map[Symbol.dispose]();
    assertEquals(mapLookupElem(token, other, { key: u32s(0) }), u64s(0n));
    return;
  }
});
