/**
 * Which program types the running kernel has.
 *
 * @module
 */

import { encode, exit, mov64, r0 } from "../asm/mod.ts";
import { progLoad, type ProgLoadOptions } from "../cmds/prog.ts";
import { NotSupportedError } from "../errors.ts";
import type { Bytes } from "../ffi/kernel.ts";
import type { Capability } from "../tokens/capabilities.ts";
import type { AnyToken, PermissionToken } from "../tokens/token.ts";
import { BPF_F_SLEEPABLE } from "../uapi/constants.gen.ts";
import type { ProgType } from "../uapi/enums.gen.ts";
import { type Attempt, attempt, cached, yesOrNo } from "./_answer.ts";
import { kernelBtf } from "./kernel_btf.ts";

type Extra = Partial<ProgLoadOptions>;

/** The id of a type of the kernel; 1, which is no target, where it has none. */
function targetId(kind: "func" | "typedef" | "struct", name: string): number {
  try {
    return kernelBtf().find(kind, name) ?? 1;
  } catch (error) {
    if (error instanceof NotSupportedError) return 1;
    throw error;
  }
}

/** What programs take besides instructions. */
const EXTRA: { readonly [T in ProgType]?: () => Extra } = {
  cgroup_sock_addr: () => ({ expectedAttachType: "cgroup_inet4_connect" }),
  cgroup_sockopt: () => ({ expectedAttachType: "cgroup_setsockopt" }),
  sk_lookup: () => ({ expectedAttachType: "sk_lookup" }),
  sk_reuseport: () => ({ expectedAttachType: "sk_reuseport_select" }),
  netfilter: () => ({ expectedAttachType: "netfilter" }),
  syscall: () => ({ flags: BPF_F_SLEEPABLE }),
  tracing: () => ({ expectedAttachType: "trace_raw_tp", attachBtfId: targetId("typedef", "btf_trace_sys_enter") }),
  lsm: () => ({ expectedAttachType: "lsm_mac", attachBtfId: targetId("func", "bpf_lsm_file_open") }),
  ext: () => ({ attachBtfId: 1 }),
  struct_ops: () => ({ attachBtfId: targetId("struct", "tcp_congestion_ops"), expectedAttachType: 0 }),
};

/** Instructions that return a number. */
export function returning(value: number): Bytes {
  return encode([mov64(r0, value), exit()]);
}

/** Tries to load a program of a type. */
export function tryLoad(token: AnyToken, type: ProgType, more: Extra = {}): Attempt {
  const options: ProgLoadOptions = { insns: returning(0), license: "GPL", ...EXTRA[type]?.(), ...more, type };
  return attempt(() => progLoad(token as PermissionToken<Capability>, options));
}

/**
 * Whether the running kernel has a program type. It is found out by loading the least program of the type: where the
 * verifier has something to say about it, the kernel has the type, too.
 *
 * @example
 * ```ts
 * import { acquire, hasProgType } from "@bpf/deno";
 *
 * console.log(hasProgType(acquire("CAP_BPF", "CAP_NET_ADMIN"), "netfilter"));
 * ```
 *
 * @param token A token with what the type asks for.
 * @param type The type.
 * @returns Undefined where it could not be told: the token or the kernel refuses, or there is no memory. Other answers
 * are kept for as long as the process lives.
 */
export function hasProgType(token: AnyToken, type: ProgType): boolean | undefined {
  return cached(`prog type ${type}`, () => {
    // Some hooks want 0 returned, others 1.
    const first = tryLoad(token, type);
    return first.log !== "" ? true : yesOrNo(first);
  });
}
