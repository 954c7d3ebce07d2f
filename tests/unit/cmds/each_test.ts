import { assertEquals, assertThrows } from "@std/assert";
import { eachObject } from "../../../cmds/each.ts";
import { SyscallError } from "../../../errors.ts";
import { acquire } from "../../../tokens/token.ts";
import { errnos } from "../../../uapi/errno.gen.ts";
import { FakeKernel } from "../_fake_kernel.ts";

/** A kernel that has objects of some ids, of which some cannot be opened. */
function kernelWith(refused: Readonly<Record<number, number>>, ids = [3, 5, 8, 9]): FakeKernel {
  const fake: FakeKernel = new FakeKernel((call) => {
    if (call.command === "link_get_next_id") {
      const next = ids.find((id) => id > call.get("start_id"));
      if (next === undefined) return -errnos.ENOENT;
      call.set("next_id", next);
      return 0;
    }
    if (call.command !== "link_get_fd_by_id") return undefined;
    const errno = refused[Number(call.get("link_id"))];
    return errno === undefined ? fake.newFd() : -errno;
  });
  fake.capabilities = -1n;
  return fake;
}

Deno.test("eachObject() passes over what goes before it is opened, and what is not there yet", () => {
  using fake = kernelWith({ 5: errnos.ENOENT, 9: errnos.EAGAIN });
  const token = acquire("CAP_SYS_ADMIN");
  assertEquals(Array.from(eachObject(token, "link"), ({ id }) => id), [3, 8]);
  assertEquals(fake.openFds.size, 0);
});

Deno.test("eachObject() says which object it cannot open, and closes what was open", () => {
  using fake = kernelWith({ 8: errnos.EMFILE });
  const token = acquire("CAP_SYS_ADMIN");
  const seen: number[] = [];
  assertThrows(
    () => {
      for (const { id } of eachObject(token, "link")) seen.push(id);
    },
    SyscallError,
    "Cannot open link 8: EMFILE",
  );
  assertEquals([seen, fake.openFds.size], [[3, 5], 0]);
});
