import { assertEquals } from "@std/assert";
import { forgetAnswers } from "../../../features/_answer.ts";
import { hasMapType } from "../../../features/map_types.ts";
import { hasProgType } from "../../../features/prog_types.ts";
import { jitSettings } from "../../../features/jit.ts";
import { grantToken } from "../../../tokens/token.ts";
import { errnos } from "../../../uapi/errno.gen.ts";
import { FakeKernel } from "../_fake_kernel.ts";
import { ALL, environment } from "../tokens/_environments.ts";

const token = grantToken(environment(), ALL);

Deno.test("hasMapType() keeps yes and no, and asks again where it could not be told", () => {
  for (
    const [errno, answer] of [
      [0, true],
      [errnos.EINVAL, false],
      [errnos.EOPNOTSUPP, false],
      [errnos.EPERM, undefined],
      [errnos.ENOMEM, undefined],
      [errnos.EMFILE, undefined],
    ] as const
  ) {
    using fake = new FakeKernel();
    forgetAnswers();
    let asked = 0;
    fake.answer = ({ command }) => {
      if (command !== "map_create") return undefined;
      asked++;
      return errno === 0 ? undefined : -errno;
    };
    assertEquals(hasMapType(token, "hash"), answer, `${errno}`);
    const once = asked;
    assertEquals(hasMapType(token, "hash"), answer);
    assertEquals(asked > once, answer === undefined, `${errno}`);
    assertEquals(fake.openFds.size, 0);
  }
  forgetAnswers();
});

Deno.test("hasProgType() takes what the verifier says for a yes", () => {
  using fake = new FakeKernel();
  forgetAnswers();
  fake.answer = (call) => {
    if (call.command !== "prog_load") return undefined;
    if (call.get("log_level") !== 0n) call.memory("log_buf", 64).set(new TextEncoder().encode("At program exit R0"));
    return -errnos.EINVAL;
  };
  assertEquals(hasProgType(token, "xdp"), true);
  forgetAnswers();
});

Deno.test("jitSettings() reads the sysctls each time", () => {
  using fake = new FakeKernel();
  const set = (name: string, text: string): void => void fake.files.set(`/proc/sys/net/core/bpf_jit_${name}`, text);
  assertEquals(jitSettings(), {
    enabled: undefined,
    harden: undefined,
    kallsyms: undefined,
    limit: undefined,
    alwaysOn: undefined,
  });
  set("enable", "1\n");
  set("harden", "2\n");
  set("kallsyms", "0\n");
  set("limit", "528482304\n");
  const { alwaysOn, ...settings } = jitSettings();
  assertEquals(settings, { enabled: true, harden: "all", kallsyms: false, limit: 528482304 });
  assertEquals(alwaysOn, undefined);
  set("enable", "2\n");
  set("harden", "1\n");
  assertEquals([jitSettings().enabled, jitSettings().harden], ["debug", "unprivileged"]);
  fake.files.set("/proc/kallsyms", "0 t ___bpf_prog_run\n0 T __bpf_call_base\n");
  assertEquals(jitSettings().alwaysOn, false);
});
