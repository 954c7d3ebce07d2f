/**
 * The capabilities(7) that bpf(2) asks for.
 *
 * @module
 */

import { SyscallError } from "../errors.ts";
import { kernel } from "../ffi/kernel.ts";
import { allocate, LITTLE_ENDIAN } from "../ffi/memory.ts";

/** The number of each capability that bpf(2) asks for, as `linux/capability.h` has them. */
export const capabilities = {
  CAP_NET_ADMIN: 12,
  CAP_SYS_ADMIN: 21,
  CAP_PERFMON: 38,
  CAP_BPF: 39,
} as const;

/** A capability that bpf(2) asks for. */
export type Capability = keyof typeof capabilities;

const CAPABILITY_VERSION_3 = 0x20080522;
const HEADER_SIZE = 8;
const DATA_SIZE = 24;
/** Where in the data the effective set's low and high words are. */
const EFFECTIVE = [0, 12];

/**
 * The capabilities in the effective set of this thread: capget(2).
 *
 * @returns Those of them that bpf(2) ever asks for.
 * @throws {SyscallError} Where capget(2) fails.
 */
export function effectiveCapabilities(): Set<Capability> {
  const header = allocate(HEADER_SIZE);
  new DataView(header.buffer).setUint32(0, CAPABILITY_VERSION_3, LITTLE_ENDIAN);
  const data = allocate(DATA_SIZE);
  const result = kernel().capget(header, data);
  if (result < 0) {
    throw new SyscallError({ command: "capget", errno: -result, action: "read the capabilities of this process" });
  }
  const view = new DataView(data.buffer);
  const [low, high] = EFFECTIVE.map((offset) => view.getUint32(offset, LITTLE_ENDIAN));
  const held = (number: number): boolean => ((number < 32 ? low >>> number : high >>> (number - 32)) & 1) === 1;
  const names = Object.keys(capabilities) as Capability[];
  return new Set(names.filter((name) => held(capabilities[name])));
}
