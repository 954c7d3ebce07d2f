import { assert, assertEquals, assertGreater, assertThrows } from "@std/assert";
import { btfLoad } from "../../cmds/btf.ts";
import { eachObject } from "../../cmds/each.ts";
import {
  btfGetFdById,
  btfGetNextId,
  linkGetFdById,
  linkGetNextId,
  mapGetFdById,
  mapGetNextId,
  progGetFdById,
  progGetNextId,
} from "../../cmds/id.ts";
import { mapLookupElem, mapUpdateElem } from "../../cmds/map_elem.ts";
import { objGetInfoByFd } from "../../cmds/obj.ts";
import { rawTracepointOpen } from "../../cmds/raw_tracepoint.ts";
import { PermissionError } from "../../errors.ts";
import type { Fd } from "../../ffi/fd.ts";
import { kernelTest } from "../_kernel_test.ts";
import { bpftoolJson } from "../_tools.ts";
import { keyValueBtf } from "./_map_types.ts";
import { arrayMap, assertRefused, constant, type RootToken, rootToken, simpleProg, u32s, u64s } from "./_objects.ts";

const NEXT = { prog: progGetNextId, map: mapGetNextId, btf: btfGetNextId, link: linkGetNextId };
const OPEN = { prog: progGetFdById, map: mapGetFdById, btf: btfGetFdById, link: linkGetFdById };
const KINDS = ["prog", "map", "btf", "link"] as const;

/** What kernels say of a descriptor that is closed. */
const CLOSED = ["EBADF", "EBADFD"];

/** No kernel comes to this many objects. */
const NO_ID = 0x7fff_fff0;

function allIds(token: RootToken, kind: typeof KINDS[number]): number[] {
  const ids: number[] = [];
  for (let id = NEXT[kind](token); id !== undefined; id = NEXT[kind](token, id)) ids.push(id);
  return ids;
}

async function listed(kind: string): Promise<number[]> {
  const found = await bpftoolJson([kind, "list"]);
  assert(Array.isArray(found));
  return found.map(({ id }) => id);
}

kernelTest("the ids are those that bpftool lists, and each opens its object", { tools: ["bpftool"] }, async () => {
  const token = rootToken();
  using map = arrayMap(token);
  using prog = simpleProg(token, "raw_tracepoint");
  using link = rawTracepointOpen(token, prog, { name: "sys_enter" });
  using btf = btfLoad(token, keyValueBtf());
  const own = { map, prog, link, btf };
  for (const kind of KINDS) {
    const { id } = objGetInfoByFd(token, own[kind], { kind });
    const ids = allIds(token, kind);
    assertEquals(ids, ids.toSorted((a, b) => a - b), `${kind} ids ascend`);
    const [before, after] = [new Set(await listed(kind)), new Set(allIds(token, kind))];
    // Others may make and close objects meanwhile.
    for (const one of ids.filter((one) => after.has(one))) assert(before.has(one), `${kind} ${one}`);
    assert(ids.includes(id));
    assertEquals(NEXT[kind](token, id - 1), id);
    using same = OPEN[kind](token, id);
    assert(same.fd !== own[kind].fd);
    assertEquals(objGetInfoByFd(token, same, { kind }).id, id);
  }
});

kernelTest("eachObject() goes through all objects, and closes each but those that are kept", {}, () => {
  const token = rootToken();
  using map = arrayMap(token);
  using prog = simpleProg(token, "raw_tracepoint", { name: "found" });
  using link = rawTracepointOpen(token, prog, { name: "sys_enter" });
  using btf = btfLoad(token, keyValueBtf());
  const own = { map, prog, link, btf };
  for (const kind of KINDS) {
    const info = objGetInfoByFd(token, own[kind], { kind });
    const fds = new Set<number>();
    const ids: number[] = [];
    using stack = new DisposableStack();
    let kept: Fd | undefined;
    for (const object of eachObject(token, kind)) {
      ids.push(object.id);
      fds.add(object.fd);
      // What an object is told after another one has nothing of that.
      assertEquals(object.info().id, object.id);
      if (object.id !== info.id) continue;
      assertEquals(object.info(), info);
      kept = stack.use(object.keep());
      assert(object.keep() === kept);
    }
    assertEquals(ids, allIds(token, kind));
    assert(kept !== undefined);
    assertEquals(objGetInfoByFd(token, kept, { kind }), info);
    for (const fd of fds) if (fd !== kept.fd) assertRefused(() => objGetInfoByFd(token, fd, { kind }), CLOSED);
    let last = -1;
    for (const { fd } of eachObject(token, kind)) {
      last = fd;
      break;
    }
    assertRefused(() => objGetInfoByFd(token, last, { kind }), CLOSED);
  }
});

kernelTest("eachObject() leaves out what goes, and refuses without CAP_SYS_ADMIN", {}, () => {
  const token = rootToken();
  const maps = Array.from({ length: 4 }, () => arrayMap(token));
  const [first] = maps.map((map) => objGetInfoByFd(token, map, { kind: "map" }).id);
  const seen: number[] = [];
  for (const { id } of eachObject(token, "map")) {
    if (id === first) { for (const map of maps.slice(1)) map.close(); }
    if (id >= first) seen.push(id);
  }
  maps[0].close();
  assertEquals(seen, [first]);
  assertThrows(
    () => [...eachObject(token.drop("CAP_SYS_ADMIN") as RootToken, "prog")],
    PermissionError,
    "CAP_SYS_ADMIN",
  );
});

kernelTest("the functions for ids say where there is no such object, and refuse without CAP_SYS_ADMIN", {}, () => {
  const token = rootToken();
  const weak = token.drop("CAP_SYS_ADMIN") as RootToken;
  for (const kind of KINDS) {
    assertEquals(NEXT[kind](token, NO_ID), undefined);
    const error = assertRefused(() => OPEN[kind](token, NO_ID), "ENOENT", /no object has this id/);
    assertEquals(error.command, `${kind}_get_fd_by_id`);
    assertThrows(() => NEXT[kind](token, -1), RangeError);
    assertThrows(() => OPEN[kind](token, 2 ** 32).close(), RangeError);
    assertThrows(() => NEXT[kind](weak), PermissionError, "CAP_SYS_ADMIN");
    assertThrows(() => OPEN[kind](weak, 1).close(), PermissionError, "CAP_SYS_ADMIN");
  }
  // The kernel refuses the largest start of all: it would overflow.
  assertRefused(() => progGetNextId(token, 0xffff_ffff), "EINVAL");
});

kernelTest("mapGetFdById() opens for reading or writing only", {}, () => {
  const token = rootToken();
  using map = arrayMap(token);
  const { id } = objGetInfoByFd(token, map, { kind: "map" });
  assertGreater(id, 0);
  const element = { key: u32s(0), value: u64s(3n) };
  using reader = mapGetFdById(token, id, { flags: constant("BPF_F_RDONLY") });
  assertRefused(() => mapUpdateElem(token, reader, element), "EPERM");
  using writer = mapGetFdById(token, id, { flags: constant("BPF_F_WRONLY") });
  mapUpdateElem(token, writer, element);
  assertRefused(() => mapLookupElem(token, writer, element), "EPERM");
  assertEquals(mapLookupElem(token, reader, element), u64s(3n));
  using restricted = mapGetFdById(token.only({ readOnly: true }), id);
  assertRefused(() => mapUpdateElem(token, restricted, element), "EPERM");
  assertRefused(() => mapGetFdById(token, id, { flags: 1 << 30 }), "EINVAL");
});
