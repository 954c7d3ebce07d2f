/**
 * What the kernel itself says about a refusal: the log that BPF_COMMON_ATTRS asks for. Since Linux 7.2.
 *
 * @module
 */

import type { Attr } from "../ffi/attr.ts";
import { kernel } from "../ffi/kernel.ts";
import { allocate } from "../ffi/memory.ts";
import { structBuffer, textOf } from "../ffi/struct_buffer.ts";
import type { CommandName } from "../uapi/enums.gen.ts";

const LOG_SIZE = 4096;

/** Commands that can be tried again to hear why they failed; programs and BTF have logs of their own. */
const REPEATABLE: ReadonlySet<CommandName> = new Set<CommandName>(["map_create"]);

/**
 * Makes a call that failed once more, to hear why.
 *
 * @returns The log on one line; empty where the kernel has nothing to say, or cannot say it.
 */
export function commonLog<C extends CommandName>(attr: Attr<C>): string {
  if (!REPEATABLE.has(attr.command)) return "";
  const log = allocate(LOG_SIZE);
  const common = structBuffer("bpf_common_attr").pointer("log_buf", log).u32("log_size", log.length).u32(
    "log_level",
    1,
  );
  const result = kernel().bpfCommon(attr.number, attr.bytes, common.bytes);
  // It should fail again; where it does not, nobody asked for the map.
  if (result >= 0) kernel().close(result);
  return textOf(log).trim().replace(/\s*\n\s*/g, "; ");
}
