/**
 * Network interfaces by their index.
 *
 * @module
 */

import { SyscallError } from "../errors.ts";
import { queryInterfaces } from "../links/xdp_netlink.ts";

/** The name of an interface of this network namespace; undefined where there is none. */
export function deviceName(ifindex: number): string | undefined {
  if (ifindex === 0) return undefined;
  try {
    return queryInterfaces(ifindex)[0]?.name;
  } catch (error) {
    if (error instanceof SyscallError) return undefined;
    throw error;
  }
}
