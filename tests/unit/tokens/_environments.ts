/**
 * Processes and systems that tests make up.
 *
 * @module
 */

import type { Capability } from "../../../tokens/capabilities.ts";
import { type Environment, parseRelease } from "../../../tokens/environment.ts";

/** Every capability that bpf(2) asks for. */
export const ALL: readonly Capability[] = ["CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON", "CAP_SYS_ADMIN"];

/** What a made-up environment differs in from root on Linux 6.18 with the usual sysctl. */
export interface Differences {
  readonly release?: string;
  readonly capabilities?: readonly Capability[];
  readonly sysctl?: number;
  readonly userNamespace?: boolean;
}

/** An environment. */
export function environment(differences: Differences = {}): Environment {
  const { release = "6.18", capabilities = ALL, sysctl = 2, userNamespace = false } = differences;
  return {
    capabilities: new Set(capabilities),
    initialUserNamespace: !userNamespace,
    unprivilegedBpfDisabled: sysctl,
    release: parseRelease(release),
    releaseName: `${release}.0`,
  };
}
