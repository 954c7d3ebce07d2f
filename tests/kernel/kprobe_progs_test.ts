import { assert, assertEquals } from "@std/assert";
import { asm } from "../../asm/mod.ts";
import { linkCreate } from "../../cmds/link.ts";
import { objGetInfoByFd } from "../../cmds/obj.ts";
import { progLoad } from "../../cmds/prog.ts";
import { NotSupportedError } from "../../errors.ts";
import type { Fd } from "../../ffi/fd.ts";
import { PERF_EVENT_IOC_ENABLE, PERF_EVENT_IOC_SET_BPF } from "../../uapi/constants.gen.ts";
import { kernelSince, kernelTest } from "../_kernel_test.ts";
import { assertLacking, type RootToken, rootToken, simpleProg } from "./_objects.ts";
import { hasKprobes, kprobeEvent, notes, ownIds, perfIoctl, probing, summingOwnCookies } from "./_tracing.ts";

/** Where `struct pt_regs` of x86-64 has what a function returns. */
const AX = 80;

kernelTest("kprobe programs run where a function begins and where it ends", { needs: [hasKprobes] }, () => {
  const token = rootToken();
  for (const isReturn of [false, true]) {
    using seen = notes(token, 2);
    using prog = progLoad(token, {
      type: "kprobe",
      license: "GPL",
      insns: asm`
          r6 = r1
          call get_current_pid_tgid
          r0 >>= 32
          if r0 != ${Deno.pid} goto out
          r2 = *(u64 *)(r6 +${AX})
          r1 = map_value ${seen.fd} + 0 ll
          *(u64 *)(r1 +8) = r2
          r2 = 1
          lock *(u64 *)(r1 +0) += r2
        out:
          r0 = 0
          exit
      `,
    });
    using event = kprobeEvent("__x64_sys_getpgid", isReturn);
    let link: Fd | undefined;
    if (kernelSince("5.15")() === undefined) {
      link = linkCreate(token, { prog, target: { fd: event }, attachType: "perf_event" });
    } else {
      // Perf events take programs without a link there.
      perfIoctl(event, PERF_EVENT_IOC_SET_BPF, prog.fd);
      perfIoctl(event, PERF_EVENT_IOC_ENABLE, 0);
    }
    try {
      const { pgid } = ownIds();
      const [count, ax] = seen.read();
      assertEquals(count, 1n, `return: ${isReturn}`);
      if (isReturn) assertEquals(ax, BigInt(pgid));
      if (link === undefined || kernelSince("6.6")() !== undefined) continue;
      const info = objGetInfoByFd(token, link, { kind: "link" });
      assert(info.type === "perf_event" && "event" in info);
      const { event: about } = info;
      assert(about.type === (isReturn ? "kretprobe" : "kprobe") && "funcName" in about, about.type as string);
      assertEquals([about.funcName, about.offset], ["__x64_sys_getpgid", 0]);
    } finally {
      link?.close();
    }
  }
});

/** What the kernel says to a link to many functions; nothing where it has that. */
function refusesMulti(token: RootToken): string | undefined {
  using prog = simpleProg(token, "kprobe", { expectedAttachType: "trace_kprobe_multi" });
  const kprobeMulti = { symbols: ["__x64_sys_getpgid"] };
  try {
    linkCreate(token, { prog, attachType: "trace_kprobe_multi", kprobeMulti }).close();
    return undefined;
  } catch (error) {
    // A kernel that is too old is told about in the test.
    if (error instanceof NotSupportedError) return undefined;
    const message = error instanceof Error ? error.message : `${error}`;
    return /EOPNOTSUPP/.test(message) ? "this kernel is built without CONFIG_FPROBE" : undefined;
  }
}

kernelTest("one link runs a kprobe program at many functions, or the error says that Linux 5.18 has it", {
  needs: [() => refusesMulti(rootToken())],
}, () => {
  const token = rootToken();
  const attachType = "trace_kprobe_multi";
  using seen = notes(token, 2);
  const symbols = ["__x64_sys_getpgid", "__x64_sys_getsid"];
  const cookies = [11n, 22n];
  if (kernelSince("5.18")() !== undefined) {
    using prog = simpleProg(token, "kprobe");
    assertLacking(
      () => linkCreate(token, { prog, attachType, kprobeMulti: { symbols } }),
      "attach type trace_kprobe_multi",
      "5.18",
    );
    return;
  }
  using prog = probing(token, attachType, summingOwnCookies(seen));
  using link = linkCreate(token, { prog, attachType, kprobeMulti: { symbols, cookies } });
  ownIds();
  assertEquals(seen.read(), [2n, 33n]);
  if (kernelSince("6.6")() !== undefined) return;
  const info = objGetInfoByFd(token, link, { kind: "link" });
  assert(info.type === "kprobe_multi" && "addrs" in info);
  assertEquals([info.count, info.addrs.length], [2, 2]);
  if (kernelSince("6.9")() === undefined) assertEquals([...info.cookies].sort(), cookies);
});
