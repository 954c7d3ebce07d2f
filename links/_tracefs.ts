/**
 * The numbers of tracepoints and dynamic perf event types, from the kernel's files.
 *
 * @module
 */

import { NotSupportedError } from "../errors.ts";
import { tryReadKernelText } from "../ffi/kernel_file.ts";

const PLACES = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"] as const;

/** The number of a tracepoint, as perf events want it. */
export function readTracepointId(name: string, tracefs?: string): number {
  const [, category, event] = /^([^/:\s]+)[:/]([^/:\s]+)$/.exec(name) ?? [];
  if (category === undefined) {
    throw new TypeError(
      `Cannot attach to a tracepoint: "${name}" is no category and name, such as "sched:sched_switch"`,
    );
  }
  const places = tracefs === undefined ? PLACES : [tracefs];
  for (const place of places) {
    const id = tryReadKernelText(`${place}/events/${category}/${event}/id`);
    if (id !== undefined) return Number(id);
  }
  const mounted = places.some((place) => tryReadKernelText(`${place}/events/header_page`) !== undefined);
  throw new TypeError(
    mounted
      ? `Cannot attach to a tracepoint: there is no "${name}"`
      : `Cannot attach to a tracepoint: no tracefs at ${places.join(" or ")} (mount -t tracefs tracefs DIRECTORY)`,
  );
}

/** The number of a dynamic type of perf events, with the bit of its config that asks for return probes. */
export function readProbeType(kind: "kprobe" | "uprobe"): { type: number; returnBit: number } {
  const place = `/sys/bus/event_source/devices/${kind}`;
  const type = tryReadKernelText(`${place}/type`);
  if (type === undefined) {
    throw new NotSupportedError(`${kind}s`, { reason: `the kernel was built without them (no ${place})` });
  }
  const bit = /^config:(\d+)$/.exec(tryReadKernelText(`${place}/format/retprobe`) ?? "")?.[1];
  return { type: Number(type), returnBit: Number(bit ?? 0) };
}
