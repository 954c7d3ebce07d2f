import { assertEquals } from "@std/assert";
import { attachUnlinked } from "../../../links/mod.ts";
import { acquire } from "../../../tokens/token.ts";
import { FakeKernel } from "../_fake_kernel.ts";

const O_RDWR = 2;
const O_CLOEXEC = 0o2000000;

Deno.test("attachUnlinked() opens an infrared device for writing, which the kernel asks for", () => {
  using fake = new FakeKernel();
  fake.capabilities = -1n;
  fake.files.set("/dev/lirc0", "");
  const token = acquire("CAP_BPF", "CAP_NET_ADMIN");
  const prog = fake.newFd();
  using attachment = attachUnlinked(token, prog, { lirc: "/dev/lirc0", attachType: "lirc_mode2" });
  const [{ bytes }] = fake.of("prog_attach");
  const opened = fake.log.filter((line) => line.startsWith("open /dev/lirc0"));
  assertEquals(opened, [`open /dev/lirc0 ${O_RDWR | O_CLOEXEC}`]);
  const [target] = new Uint32Array(bytes.slice(0, 4).buffer);
  assertEquals(fake.openFds.has(target), true);
  attachment.close();
  assertEquals([fake.of("prog_detach").length, fake.openFds.has(target)], [1, false]);
});
