/**
 * The numbers of tracepoints and dynamic perf event types, and probes that are defined in tracefs.
 *
 * @module
 */

import { NotSupportedError, PermissionError, SyscallError } from "../errors.ts";
import { pathExists, tryReadKernelText, writeKernelLine } from "../ffi/kernel_file.ts";
import { errnos } from "../uapi/errno.gen.ts";

const PLACES = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"] as const;

/** Where tracefs may be. */
export function tracefsPlaces(tracefs: string | undefined): readonly string[] {
  return tracefs === undefined ? PLACES : [tracefs];
}

/** The number of a tracepoint, as perf events want it. */
export function readTracepointId(name: string, tracefs?: string): number {
  const [, category, event] = /^([^/:\s]+)[:/]([^/:\s]+)$/.exec(name) ?? [];
  if (category === undefined) {
    throw new TypeError(
      `Cannot attach to a tracepoint: "${name}" is no category and name, such as "sched:sched_switch"`,
    );
  }
  const places = tracefsPlaces(tracefs);
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

/** The two kinds of probes. */
export type ProbeKind = "kprobe" | "uprobe";

/** The number of a dynamic type of perf events, with the bits of its config. */
export interface ProbeType {
  readonly type: number;
  /** The bit that asks for return probes. */
  readonly returnBit: number;
  /** The first bit of a reference counter's offset; undefined where the kernel has none (before 4.20). */
  readonly refCtrBit: number | undefined;
}

const formatBit = (place: string, name: string): number | undefined => {
  const bit = /^config:(\d+)/.exec(tryReadKernelText(`${place}/format/${name}`) ?? "")?.[1];
  return bit === undefined ? undefined : Number(bit);
};

/** The number of the dynamic type of a kind of probes; undefined where the kernel has none. */
export function readProbeType(kind: ProbeKind): ProbeType | undefined {
  const place = `/sys/bus/event_source/devices/${kind}`;
  const type = tryReadKernelText(`${place}/type`);
  if (type === undefined) return undefined;
  const refCtrBit = formatBit(place, "ref_ctr_offset");
  return { type: Number(type), returnBit: formatBit(place, "retprobe") ?? 0, refCtrBit };
}

/** The group of this library's probes in tracefs. */
const GROUP = "bpf_deno";

/** A probe that is defined in tracefs. */
export interface TracefsProbe {
  /** Its number, as perf events want it. */
  readonly id: number;
  /** Takes it away; nothing may use it any more. */
  readonly remove: () => void;
}

let probes = 0;

/** A name that no other probe has: of this process, and not of one before it with the same number. */
function probeName(target: string): string {
  // The kernel takes 63 characters, the first of which is no digit.
  const readable = `of_${target.replace(/\W/g, "_").slice(-28)}`;
  const random = crypto.getRandomValues(new Uint32Array(1))[0].toString(16);
  return `${readable}_${Deno.pid}_${++probes}_${random}`;
}

/** What a probe in tracefs is of. */
export interface TracefsProbeOptions {
  readonly kind: ProbeKind;
  readonly returns: boolean;
  /** What follows the name: `function+offset`, or `path:offset(counter)`. */
  readonly place: string;
  /** What the name starts with. */
  readonly target: string;
  readonly tracefs: string | undefined;
}

/** Defines a probe in tracefs: kprobe_events, uprobe_events. */
export function addTracefsProbe({ kind, returns, place, target, tracefs }: TracefsProbeOptions): TracefsProbe {
  const places = tracefsPlaces(tracefs);
  const root = places.find((place) => pathExists(`${place}/${kind}_events`));
  if (root === undefined) {
    const mounted = places.some((place) => pathExists(`${place}/events`));
    const reason = mounted
      ? "the kernel was built without them"
      : `the kernel has no perf events of them, and no tracefs is at ${places.join(" or ")}`;
    throw new NotSupportedError(`${kind}s`, { reason });
  }
  const file = `${root}/${kind}_events`;
  if (/\s/.test(place)) throw new TypeError(`Cannot attach to ${target}: tracefs takes no name with spaces`);
  const name = `${GROUP}/${probeName(target)}`;
  const remove = (): void => {
    try {
      writeKernelLine(file, `-:${name}`);
    } catch (error) {
      // Somebody else has taken it away, or holds it: a link that is pinned keeps its probe.
      const code = error instanceof SyscallError ? error.errno : 0;
      if (code !== errnos.ENOENT && code !== errnos.EBUSY) throw error;
    }
  };
  try {
    writeKernelLine(file, `${returns ? "r" : "p"}:${name} ${place}`);
    const id = tryReadKernelText(`${root}/events/${name}/id`);
    if (id === undefined) throw new TypeError(`Cannot attach to ${target}: ${root} does not show the probe's id`);
    return { id: Number(id), remove };
  } catch (error) {
    try {
      remove();
    } catch {
      // The error that led here says more.
    }
    throw unwritable(error, file, target);
  }
}

/** What it means that a file of tracefs cannot be opened. */
function unwritable(error: unknown, file: string, target: string): unknown {
  const refused = error instanceof SyscallError && error.command === "open" &&
    (error.errno === errnos.EACCES || error.errno === errnos.EPERM);
  if (!refused) return error;
  return new PermissionError({
    command: "open",
    action: `attach to ${target}`,
    missing: ["CAP_DAC_OVERRIDE"],
    errno: error.errno,
    reason: `only the owner of ${file} may define probes in tracefs`,
    remedy: "Run as root, or choose another mode",
    cause: error,
  });
}
