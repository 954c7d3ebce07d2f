/**
 * What bpftool does, as a Deno program: `deno run --allow-ffi jsr:@bpf/deno/cli prog show`.
 *
 * @module
 */

import { bpf } from "./_bpf.ts";
import { processOutput } from "./_output.ts";

export { bpf };
export type { Format, GlobalOptions, Output } from "./_session.ts";

if (import.meta.main) Deno.exitCode = await bpf(Deno.args, processOutput());
