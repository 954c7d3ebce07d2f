import { assertEquals, assertThrows } from "@std/assert";
import { tokenCreate } from "../../../cmds/token.ts";
import { Fd } from "../../../ffi/fd.ts";
import { BpfToken } from "../../../tokens/bpf_token.ts";
import { parseRelease } from "../../../tokens/environment.ts";
import { grantToken } from "../../../tokens/token.ts";
import { attachTypes, commands, mapTypes, progTypes } from "../../../uapi/enums.gen.ts";
import { FakeKernel } from "../_fake_kernel.ts";
import { environment } from "./_environments.ts";

/** Makes a BPF token whose fdinfo says something. */
function tokenOf(fake: FakeKernel, fdinfo: string): BpfToken {
  const fd = fake.newFd();
  fake.files.set(`/proc/self/fdinfo/${fd}`, fdinfo);
  return new BpfToken(Fd.own(fd));
}

Deno.test("BpfToken reads what the kernel says that it allows", () => {
  using fake = new FakeKernel();
  using token = tokenOf(
    fake,
    "pos:\t0\nflags:\t02000000\nmnt_id:\t15\nino:\t2058\n" +
      "allowed_cmds:\t0x21\nallowed_maps:\tany\nallowed_progs:\t0x40\nallowed_attachs:\t0x0\n",
  );
  assertEquals([...token.rights.commands].sort(), ["map_create", "prog_load"]);
  assertEquals([...token.rights.mapTypes], Object.keys(mapTypes));
  assertEquals([...token.rights.progTypes], ["xdp"]);
  assertEquals([...token.rights.attachTypes], []);
});

Deno.test("BpfToken reads masks of more than 32 bits, and bits that have no name yet", () => {
  using fake = new FakeKernel();
  using token = tokenOf(
    fake,
    "allowed_cmds:\t0xffffffffffffffff\nallowed_maps:\t0x8000000000000002\n" +
      `allowed_progs:\tany\nallowed_attachs:\t0x${(1n << BigInt(attachTypes.xdp)).toString(16)}\n`,
  );
  assertEquals([...token.rights.commands], Object.keys(commands));
  assertEquals([...token.rights.mapTypes], ["hash"]);
  assertEquals([...token.rights.progTypes], Object.keys(progTypes));
  assertEquals([...token.rights.attachTypes], ["xdp"]);
});

Deno.test("BpfToken allows nothing where the kernel does not say", () => {
  using fake = new FakeKernel();
  for (const text of ["", "pos:\t0\n"]) {
    using token = tokenOf(fake, text);
    assertEquals(Object.values(token.rights).map(({ size }) => size), [0, 0, 0, 0]);
  }
});

Deno.test("BpfToken closes its descriptor once, and is closed with the token that made it", () => {
  using fake = new FakeKernel();
  const maker = grantToken(environment({ userNamespace: true }), []);
  const first = tokenCreate(maker, 9);
  const second = tokenCreate(maker, 9);
  assertEquals(fake.openFds.size, 2);
  first[Symbol.dispose]();
  first[Symbol.dispose]();
  assertEquals([fake.openFds.size, fake.closed.length], [1, 1]);
  assertThrows(() => first.fd, TypeError, "it is closed");
  maker.revoke();
  assertThrows(() => second.fd, TypeError, "its permission token was revoked");
  assertEquals(fake.openFds.size, 0);
});

Deno.test("parseRelease() gives numbers that compare", () => {
  const texts = ["3.18", "4.9.0-19", "5.4.0-150-generic", "5.10", "5.19", "6.1.112", "6.9", "6.10", "6.18.44-x", "7.0"];
  const numbers = texts.map(parseRelease);
  assertEquals(numbers, numbers.toSorted((a, b) => a - b));
  assertEquals(new Set(numbers).size, texts.length);
  assertEquals(parseRelease("6.12.107+deb13-amd64"), parseRelease("6.12"));
  for (const text of ["", "6", "6.", "v6.1", "linux"]) assertThrows(() => parseRelease(text), SyntaxError);
});
