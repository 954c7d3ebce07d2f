/**
 * What programs print by bpf_printk(), and by the streams of their own: `bpf prog tracelog`.
 *
 * @module
 */

import { mountsOf } from "./_pins.ts";
import { untilInterrupted } from "./_interrupt.ts";
import type { Session } from "./_session.ts";
import { safe } from "./_style.ts";
import { CommandError } from "./_words.ts";
import { tracePipe } from "../progs/mod.ts";

/** Shows the lines of the trace until Ctrl-C. */
export async function tracelog(session: Session): Promise<void> {
  const [mount] = mountsOf("tracefs").concat(mountsOf("debugfs").map((path) => `${path}/tracing`));
  if (mount === undefined) throw new CommandError("can't find tracefs: mount -t tracefs tracefs DIRECTORY");
  session.answered = true;
  const { format } = session.options;
  await untilInterrupted(async (signal) => {
    for await (const line of tracePipe(mount, { signal })) {
      if (format === "text") session.output.out(`${safe(line.line)}\n`);
      else if (format === "json") session.output.out(`${JSON.stringify(line.line)}\n`);
      else session.answer({ json: () => null, v1: ["prog.tracelog", () => line], text: () => "" });
    }
  });
}
