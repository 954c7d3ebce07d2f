/**
 * What the kernel looks at when it decides about a bpf(2) call: the process, and the system it runs on.
 *
 * @module
 */

import { tryReadKernelLink, tryReadKernelText } from "../ffi/kernel_file.ts";
import { type Capability, effectiveCapabilities } from "./capabilities.ts";

/** A kernel release as numbers that compare: 6.18.44 is 6 × 1000 + 18. */
export type Release = number;

/** What the kernel's answer depends on besides the call itself. */
export interface Environment {
  /** The effective capabilities of this process, in its own user namespace. */
  readonly capabilities: ReadonlySet<Capability>;
  /** Whether the process is in the initial user namespace; capabilities count for bpf(2) only there. */
  readonly initialUserNamespace: boolean;
  /** `kernel.unprivileged_bpf_disabled`: 0, 1 (for good) or 2; 0 where the kernel has no such setting. */
  readonly unprivilegedBpfDisabled: number;
  /** The kernel's release. */
  readonly release: Release;
  /** The kernel's release as `uname -r` prints it. */
  readonly releaseName: string;
}

/** The inode number that the kernel gives the initial user namespace: PROC_USER_INIT_INO. */
const INITIAL_USER_NAMESPACE = "user:[4026531837]";

/**
 * A kernel release as a number that compares.
 *
 * @param text A release such as `"6.18"` or `"6.12.107+deb13-amd64"`.
 * @returns 1000 × the first number + the second.
 * @throws {SyntaxError} Where the text does not start with two numbers.
 */
export function parseRelease(text: string): Release {
  const match = /^(\d+)\.(\d+)/.exec(text);
  if (match === null) throw new SyntaxError(`Cannot parse kernel release: "${text}"`);
  return Number(match[1]) * 1000 + Number(match[2]);
}

/**
 * Looks at this process and its system.
 *
 * @returns What the kernel's answers depend on, as it is now.
 */
export function readEnvironment(): Environment {
  const releaseName = tryReadKernelText("/proc/sys/kernel/osrelease");
  const disabled = tryReadKernelText("/proc/sys/kernel/unprivileged_bpf_disabled");
  const namespace = tryReadKernelLink("/proc/self/ns/user");
  return {
    capabilities: effectiveCapabilities(),
    // Without /proc there is no telling, and the initial one is the likely one.
    initialUserNamespace: namespace === undefined || namespace === INITIAL_USER_NAMESPACE,
    unprivilegedBpfDisabled: Number(disabled ?? "0"),
    // Without /proc there is no telling either: the newest rules are the strictest where it matters.
    release: releaseName === undefined ? Infinity : parseRelease(releaseName),
    releaseName: releaseName ?? "unknown",
  };
}
