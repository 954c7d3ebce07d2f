/**
 * The least that a program of each type takes.
 *
 * @module
 */

import { progLoad, type ProgLoadOptions } from "../../cmds/prog.ts";
import type { Fd } from "../../ffi/fd.ts";
import { type ProgType, progTypes } from "../../uapi/enums.gen.ts";
import { BtfOracle } from "../_btf_oracle.ts";
import { vmlinuxId } from "./_btf_bytes.ts";
import { constant, returning, type RootToken } from "./_objects.ts";

/** Every program type that the library knows. */
export const PROG_TYPES: readonly ProgType[] = Object.keys(progTypes) as ProgType[];

type Extra = Partial<ProgLoadOptions>;

let tcpOpsMembers: readonly string[] | undefined;

/** The place of a member in `struct tcp_congestion_ops`, counted from 0: what a struct_ops program says it is. */
export function tcpOpsMember(name: string): number {
  tcpOpsMembers ??= [
    ...new BtfOracle(Deno.readFileSync("/sys/kernel/btf/vmlinux")).fieldsOf("tcp_congestion_ops")?.keys() ?? [],
  ].filter((member) => !member.includes("."));
  const at = tcpOpsMembers.indexOf(name);
  if (at < 0) throw new Error(`Cannot find ${name} in struct tcp_congestion_ops`);
  return at;
}

/** What programs take besides instructions that return 0. */
const EXTRA: { readonly [T in ProgType]?: () => Extra } = {
  cgroup_sock_addr: () => ({ expectedAttachType: "cgroup_inet4_connect", insns: returning(1) }),
  cgroup_skb: () => ({ insns: returning(1) }),
  cgroup_sock: () => ({ insns: returning(1) }),
  cgroup_device: () => ({ insns: returning(1) }),
  cgroup_sysctl: () => ({ insns: returning(1) }),
  cgroup_sockopt: () => ({ expectedAttachType: "cgroup_setsockopt", insns: returning(1) }),
  sk_lookup: () => ({ expectedAttachType: "sk_lookup", insns: returning(1) }),
  sk_reuseport: () => ({ expectedAttachType: "sk_reuseport_select", insns: returning(1) }),
  netfilter: () => ({ expectedAttachType: "netfilter", insns: returning(1) }),
  syscall: () => ({ flags: constant("BPF_F_SLEEPABLE") }),
  tracing: () => ({
    expectedAttachType: "trace_raw_tp",
    attachBtfId: vmlinuxId("typedef", "btf_trace_sys_enter") ?? 0,
  }),
  lsm: () => ({ expectedAttachType: "lsm_mac", attachBtfId: vmlinuxId("func", "bpf_lsm_file_mprotect") ?? 0 }),
  struct_ops: () => ({
    attachBtfId: vmlinuxId("struct", "tcp_congestion_ops") ?? 0,
    expectedAttachType: tcpOpsMember("ssthresh"),
  }),
};

/** Loads the least program of a type, with other options on top. */
export function minimalProg(token: RootToken, type: ProgType, more: Extra = {}): Fd {
  const options: ProgLoadOptions = { type, insns: returning(0), license: "GPL", ...EXTRA[type]?.(), ...more };
  return progLoad(token, options);
}
