/**
 * Run time statistics of programs: BPF_ENABLE_STATS.
 *
 * @module
 */

import { Attr } from "../ffi/attr.ts";
import type { Fd } from "../ffi/fd.ts";
import type { CommandToken } from "../tokens/requirements.ts";
import { BPF_STATS_RUN_TIME } from "../uapi/constants.gen.ts";
import { callForFd } from "./_call.ts";
import { numberOf } from "./_types.ts";

/** The statistics that the kernel can keep. C name: `enum bpf_stats_type`. */
export type StatsType = "run_time";

const STATS: Readonly<Record<StatsType, number>> = { run_time: BPF_STATS_RUN_TIME };

/**
 * Makes the kernel count the runs of all programs and their time: BPF_ENABLE_STATS. It counts for as long as somebody
 * holds such a descriptor. Since Linux 5.8.
 *
 * @param token A token with CAP_SYS_ADMIN.
 * @param options Which statistics. C name: `type`.
 * @returns The descriptor to hold.
 * @throws {SyscallError} EINVAL for statistics that the kernel does not have.
 */
export function enableStats(
  token: CommandToken<"enable_stats">,
  options: { type?: StatsType | number } = {},
): Fd {
  const type = numberOf<StatsType>(STATS, options.type ?? "run_time", "type");
  return callForFd(token, new Attr("enable_stats").u32("type", type), { action: "enable statistics" });
}
