/**
 * What programs print by bpf_printk(), and by the streams of their own: `bpf prog tracelog`.
 *
 * @module
 */

import { Program, tracePipe } from "../progs/mod.ts";
import { mountsOf } from "./_pins.ts";
import { untilInterrupted } from "./_interrupt.ts";
import { parseRef, PROGS } from "./_refs.ts";
import type { Session } from "./_session.ts";
import { safe } from "./_style.ts";
import { CommandError, type Words } from "./_words.ts";

/** Shows the lines of the trace, or what one program prints, until Ctrl-C. */
export async function tracelog(session: Session, words: Words): Promise<void> {
  const stream = (["stdout", "stderr"] as const).find((name) => words.accept(name));
  if (stream !== undefined) return await followProgram(session, words, stream);
  words.end();
  const [mount] = mountsOf("tracefs").concat(mountsOf("debugfs").map((path) => `${path}/tracing`));
  if (mount === undefined) throw new CommandError("can't find tracefs: mount -t tracefs tracefs DIRECTORY");
  const { format } = session.options;
  await untilInterrupted(async (signal) => {
    for await (const line of tracePipe(mount, { signal })) {
      if (format === "text") session.output.out(`${safe(line.line)}\n`);
      else if (format === "json") session.output.out(`${JSON.stringify(line.line)}\n`);
      else session.answer({ json: () => null, v1: ["prog.tracelog", () => line], text: () => "" });
    }
  });
}

/** Shows what a program prints by bpf_stream_printk(), or what the kernel says of it. */
async function followProgram(session: Session, words: Words, stream: "stdout" | "stderr"): Promise<void> {
  using prog = parseRef(PROGS, session, words);
  words.end();
  using program = Program.open(session.token, { fd: prog.fd.dup() });
  await untilInterrupted(async (signal) => {
    for await (const text of program.output(stream, { signal })) {
      if (session.isText) session.output.out(safe(text));
      else session.answer({ json: () => text, v1: ["prog.tracelog", () => ({ stream, text })], text: () => "" });
    }
  });
}
