/**
 * One probe: by the kernel's dynamic perf events, or, where it has none, by tracefs.
 *
 * @module
 */

import { NotSupportedError, SyscallError } from "../errors.ts";
import type { FdSource } from "../ffi/fd.ts";
import { structBuffer } from "../ffi/struct_buffer.ts";
import type { AnyToken } from "../tokens/token.ts";
import { addTracefsProbe, type ProbeKind, readProbeType } from "./_tracefs.ts";
import type { Attachment } from "./link.ts";
import { attachOpened, tracepointAttr } from "./perf_event.ts";
import type { CookieOptions } from "./raw_tracepoint.ts";

/**
 * How a probe is made. `"link"`: a perf event of the probe's own type, held by a link (since 5.15). `"perf"`: such an
 * event that holds the program itself (since 4.17). `"legacy"`: a probe that is defined in tracefs, and taken away when the
 * attachment is closed. `"auto"`: the first of them that the kernel has. C name: `enum probe_attach_mode` of libbpf.
 */
export type ProbeMode = "auto" | "link" | "perf" | "legacy";

const MODES: readonly string[] = ["auto", "link", "perf", "legacy"] satisfies ProbeMode[];

/** What a probe of either kind takes. */
export interface ProbeOptions extends CookieOptions {
  /** Whether it is where the function returns. @default {false} */
  returns?: boolean | undefined;
  /** How the probe is made. @default {"auto"} */
  mode?: ProbeMode | undefined;
  /** Where tracefs is mounted, for `"legacy"`. By default where it usually is. @default {"/sys/kernel/tracing"} */
  tracefs?: string | undefined;
}

/** What is probed. */
export interface Probed {
  readonly kind: ProbeKind;
  /** The function, or the file; an address for a kprobe without a name. */
  readonly target: string | bigint;
  readonly offset: number | bigint;
  /** The offset of a counter in the file; 0 for none. */
  readonly refCtrOffset?: number | bigint;
}

type Options = ProbeOptions & { pid?: number | undefined };

const hex = (value: bigint | number): string => `0x${value.toString(16)}`;
const targetName = ({ target }: Probed): string => typeof target === "bigint" ? hex(target) : target;

/** Attaches a program to one place. */
export function attachProbe(token: AnyToken, prog: FdSource, probed: Probed, options: Options): Attachment {
  const { mode = "auto" } = options;
  if (!MODES.includes(mode)) throw new TypeError(`Cannot use mode: "${mode}" is none of ${MODES.join(", ")}`);
  token.assert({ command: "link_create", attachType: "perf_event" }, `attach to ${targetName(probed)}`);
  if (BigInt(probed.offset) < 0n) throw new RangeError(`Cannot use offset: ${probed.offset} is negative`);
  const type = mode === "legacy" ? undefined : readProbeType(probed.kind);
  try {
    if (type !== undefined) return attachByType(token, prog, probed, options, type);
    if (mode === "auto" || mode === "legacy") return attachByTracefs(token, prog, probed, options);
  } catch (error) {
    throw explained(error, probed);
  }
  throw new NotSupportedError(`perf events of ${probed.kind}s`, { since: "4.17" });
}

function attachByType(
  token: AnyToken,
  prog: FdSource,
  { kind, target, offset, refCtrOffset = 0 }: Probed,
  options: Options,
  { type, returnBit, refCtrBit }: NonNullable<ReturnType<typeof readProbeType>>,
): Attachment {
  if (BigInt(refCtrOffset) > 0xffff_ffffn || BigInt(refCtrOffset) < 0n) {
    throw new RangeError(`Cannot use refCtrOffset: ${refCtrOffset} is not an integer from 0 to 4294967295`);
  }
  if (BigInt(refCtrOffset) !== 0n && refCtrBit === undefined) {
    throw new NotSupportedError("reference counters of uprobes", { since: "4.20" });
  }
  const config = (options.returns ? 1n << BigInt(returnBit) : 0n) | BigInt(refCtrOffset) << BigInt(refCtrBit ?? 0);
  const attr = structBuffer("perf_event_attr").u32("type", type).u64("config", config);
  if (typeof target === "bigint") attr.u64("kprobe_addr", target + BigInt(offset));
  else attr.string(kind === "kprobe" ? "kprobe_func" : "uprobe_path", target).u64("probe_offset", offset);
  const by = options.mode === "link" ? "link" : options.mode === "perf" ? "event" : undefined;
  return attachOpened(token, prog, attr, { ...options, by });
}

function attachByTracefs(token: AnyToken, prog: FdSource, probed: Probed, options: Options): Attachment {
  const { kind, offset, refCtrOffset = 0 } = probed;
  const target = targetName(probed);
  const place = kind === "uprobe"
    ? `${target}:${hex(offset)}${BigInt(refCtrOffset) === 0n ? "" : `(${hex(refCtrOffset)})`}`
    : BigInt(offset) === 0n
    ? target
    : `${target}+${offset}`;
  const { returns = false, tracefs } = options;
  const probe = addTracefsProbe({ kind, returns, place, target, tracefs });
  try {
    return attachOpened(token, prog, tracepointAttr(probe.id), options, probe.remove);
  } catch (error) {
    try {
      probe.remove();
    } catch {
      // The error that led here says more.
    }
    throw error;
  }
}

/** Says of the kernel's refusals what they mean for a probe. */
function explained(error: unknown, probed: Probed): unknown {
  // That there is no such event says of a probe that there is no such place; tracefs refuses its definition.
  const cause = error instanceof NotSupportedError ? error.cause : error;
  if (!(cause instanceof SyscallError) || !["perf_event_open", "write"].includes(cause.command ?? "")) return error;
  const hint = probed.kind === "kprobe"
    ? "there is no such function, or it cannot be probed"
    : "there is no such file, or no instruction at the offset";
  const { command, errno } = cause;
  return new SyscallError({ command, errno, action: `attach to ${targetName(probed)}`, hint, cause: error });
}
