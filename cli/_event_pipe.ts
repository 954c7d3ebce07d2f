/**
 * What programs send through perf event arrays and ring buffers, as it comes: `bpf map event_pipe`.
 *
 * @module
 */

import type { Bytes } from "../ffi/kernel.ts";
import { PerfBuffer, RingBuffer } from "../maps/mod.ts";
import { hexText } from "./_bytes.ts";
import { untilInterrupted } from "./_interrupt.ts";
import { hexBytes, writeJson } from "./_json.ts";
import { MAPS, parseRef } from "./_refs.ts";
import type { Session } from "./_session.ts";
import { CommandError, type Words } from "./_words.ts";

/** C name: PERF_RECORD_SAMPLE. */
const SAMPLE = 9;

/** Shows the samples of a map until Ctrl-C. */
export async function eventPipe(session: Session, words: Words): Promise<void> {
  using map = parseRef(MAPS, session, words);
  let only: number | undefined;
  while (words.left > 0) {
    if (words.accept("cpu")) only = words.number("cpu");
    // A program chooses its slot by its CPU: others are not read here.
    else if (words.accept("index")) words.number("index");
    else throw new CommandError(`unknown arg ${words.peek}`);
  }
  const { info, fd } = map;
  if (info.type !== "perf_event_array" && info.type !== "ringbuf") {
    throw new CommandError("map is not a perf event array or a ring buffer");
  }
  const show = (cpu: number | undefined, data: Bytes): void => {
    const { format, pretty } = session.options;
    const timestamp = BigInt(Math.round((performance.timeOrigin + performance.now()) * 1e6));
    if (format === "json") {
      session.output.out(`${writeJson({ cpu, index: cpu, timestamp, type: SAMPLE, data: hexBytes(data) }, pretty)}\n`);
    } else if (format === "v1") {
      session.answer({ json: () => null, v1: ["map.event_pipe", () => ({ cpu, timestamp, data })], text: () => "" });
    } else {
      const seconds = timestamp / 1_000_000_000n;
      const rest = `${timestamp % 1_000_000_000n}`.padStart(9, "0");
      const place = cpu === undefined ? "" : ` CPU: ${`${cpu}`.padStart(3, "0")} index: ${cpu}`;
      session.output.out(`== @${seconds}.${rest}${place} =====\n${hexText(data)}\n`);
    }
  };
  await untilInterrupted(async (signal) => {
    if (info.type === "ringbuf") {
      using ring = new RingBuffer(session.token, fd);
      for await (const data of ring.events({ signal })) show(undefined, data);
      return;
    }
    using perf = new PerfBuffer(session.token, fd);
    for await (const { cpu, event } of perf.events({ signal })) {
      if (only === undefined || only === cpu) show(cpu, event);
    }
    if (perf.lost > 0) session.output.err(`lost ${perf.lost} events\n`);
  });
}
