/**
 * Giving up privileges for good, in a child process of the tests: the library itself never does that.
 *
 * @module
 */

import { syscallNumber } from "../ffi/libc.ts";

const PR_SET_KEEPCAPS = 8;
const PR_SET_SECUREBITS = 28;
/** SECBIT_NOROOT and its lock: uid 0 means nothing to execve(2) any more. */
const NO_ROOT = 0b11;
const CAPABILITY_VERSION_3 = 0x20080522;

const BITS: Readonly<Record<string, number>> = {
  CAP_NET_ADMIN: 12,
  CAP_SYS_ADMIN: 21,
  CAP_PERFMON: 38,
  CAP_BPF: 39,
};

/**
 * Changes the credentials of the calling thread, which is the one that makes its bpf(2) calls: raw system calls, as
 * libc's setresuid() would change all threads.
 *
 * @param uid The user and group to become.
 * @param capabilities The capabilities that remain.
 */
export function dropTo(uid: number, capabilities: readonly string[]): void {
  const libc = Deno.dlopen("libc.so.6", {
    prctl: { parameters: ["i32", "u64", "u64", "u64", "u64"], result: "i32" },
    setresid: { name: "syscall", parameters: ["i32", "u32", "u32", "u32"], result: "i32" },
    capset: { name: "syscall", parameters: ["i32", "buffer", "buffer"], result: "i32" },
  });
  const must = (result: number, what: string): void => {
    if (result !== 0) throw new Error(`${what} failed in the test's child`);
  };
  must(libc.symbols.prctl(PR_SET_SECUREBITS, BigInt(NO_ROOT), 0n, 0n, 0n), "prctl(PR_SET_SECUREBITS)");
  must(libc.symbols.prctl(PR_SET_KEEPCAPS, 1n, 0n, 0n, 0n), "prctl(PR_SET_KEEPCAPS)");
  must(libc.symbols.setresid(syscallNumber("setresgid"), uid, uid, uid), "setresgid");
  must(libc.symbols.setresid(syscallNumber("setresuid"), uid, uid, uid), "setresuid");
  const bits = capabilities.reduce((mask, name) => mask | 1n << BigInt(BITS[name]), 0n);
  const [low, high] = [Number(bits & 0xffffffffn), Number(bits >> 32n)];
  const header = new Uint32Array([CAPABILITY_VERSION_3, 0]);
  // effective, permitted, inheritable; first the low words, then the high ones.
  const data = new Uint32Array([low, low, 0, high, high, 0]);
  must(libc.symbols.capset(syscallNumber("capset"), header, data), "capset");
}

const CLONE_NEWNET = 0x40000000;

/** Moves the calling thread into a network namespace of its own, with a loopback interface and nothing else. */
export function enterNetworkNamespace(): void {
  const libc = Deno.dlopen("libc.so.6", { unshare: { parameters: ["i32"], result: "i32" } });
  if (libc.symbols.unshare(CLONE_NEWNET) !== 0) throw new Error("unshare(CLONE_NEWNET) failed in the test's child");
}
