/**
 * What would grant a permission that is missing, in words.
 *
 * @module
 */

import type { Capability } from "./capabilities.ts";
import type { Environment } from "./environment.ts";
import type { Clause } from "./rules.ts";

/**
 * The command that gives Deno capabilities for good.
 *
 * @param missing The capabilities.
 * @returns A line for a shell.
 */
export function setcapCommand(missing: readonly Capability[]): string {
  const names = missing.map((name) => name.toLowerCase()).join(",");
  return `sudo setcap ${names}+ep "$(readlink -f "$(command -v deno)")"`;
}

/**
 * What would grant a call that the rules refuse.
 *
 * @param missing The capabilities that it lacks.
 * @param clause The clause that fails first.
 * @param environment The process and its system.
 * @param acquired Whether the process has the capabilities, and only the token lacks them.
 * @returns A sentence or two, without a full stop at the end.
 */
export function remedyFor(
  missing: readonly Capability[],
  clause: Clause | undefined,
  environment: Environment,
  acquired: boolean,
): string {
  const names = missing.map((name) => `"${name}"`).join(", ");
  if (acquired) return `The process has it: name ${names} in acquire()`;
  if (!environment.initialUserNamespace) {
    const delegable = clause?.delegable;
    return delegable === undefined
      ? "Capabilities of a user namespace do not count for it: run in the initial user namespace"
      : `Capabilities of a user namespace count for it only with a BPF token (Linux ${delegable}): mount a bpffs with ` +
        "delegate_cmds, delegate_maps, delegate_progs and delegate_attachs, make one by tokenCreate(), and pass it " +
        "to acquireDelegated()";
  }
  const ways = ["run as root", `grant it: ${setcapCommand(missing)}`];
  if (clause?.when !== undefined) {
    ways.push(
      environment.unprivilegedBpfDisabled === 1
        ? "kernel.unprivileged_bpf_disabled is 1 and stays so until the next boot"
        : "let everybody in: sudo sysctl kernel.unprivileged_bpf_disabled=0",
    );
  }
  const text = ways.join(", or ");
  return text[0].toUpperCase() + text.slice(1);
}
