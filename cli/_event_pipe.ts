/**
 * What programs send through perf event arrays and ring buffers, as it comes: `bpf map event_pipe`.
 *
 * @module
 */

import type { Bytes } from "../ffi/kernel.ts";
import { PerfBuffer, RingBuffer } from "../maps/mod.ts";
import { PERF_RECORD_LOST, PERF_RECORD_SAMPLE } from "../uapi/constants.gen.ts";
import { hexText } from "./_bytes.ts";
import { untilInterrupted } from "./_interrupt.ts";
import { type Writable, writeJson } from "./_json.ts";
import { MAPS, parseRef } from "./_refs.ts";
import type { Session } from "./_session.ts";
import { CommandError, type Words } from "./_words.ts";

/** Pages of a ring, as many as bpftool's. */
const PAGES = 16;

/** Where a sample was sent, and when. Records of ring buffers tell neither. */
interface Origin {
  readonly cpu: number;
  readonly index: number;
  /** Nanoseconds of perf's own clock. */
  readonly timestamp: bigint | undefined;
}

/** Which CPU is read, and from which element of the map: `cpu N index M`; all where nothing is said. */
function parseSlot(words: Words): { cpu: number; index: number } | undefined {
  let [cpu, index]: (number | undefined)[] = [];
  while (words.left > 0) {
    if (words.accept("cpu")) cpu = words.number("cpu");
    else if (words.accept("index")) index = words.number("index");
    else throw new CommandError(`unknown arg ${words.peek}`);
  }
  if (cpu === undefined && index === undefined) return undefined;
  if (cpu === undefined || index === undefined) throw new CommandError("cpu and index must be specified together");
  return { cpu, index };
}

/** Shows the samples of a map until Ctrl-C. */
export async function eventPipe(session: Session, words: Words): Promise<void> {
  using map = parseRef(MAPS, session, words);
  const { info, fd } = map;
  if (info.type !== "perf_event_array" && info.type !== "ringbuf") {
    throw new CommandError("map is not a perf event array or a ring buffer");
  }
  const slot = parseSlot(words);
  const { token, output } = session;
  const { format, pretty } = session.options;
  let count = 0;
  const say = (json: Writable, v1: unknown, text: string): void => {
    // One array, whose end comes with Ctrl-C.
    if (format === "json") output.out(`${count++ === 0 ? "[" : ","}${writeJson(json, pretty, 1)}`);
    else session.answer({ json: () => json, v1: ["map.event_pipe", () => v1], text: () => text });
  };
  const show = (data: Bytes, origin?: Origin): void => {
    const time = origin?.timestamp;
    const clock = time === undefined ? "" : ` @${time / 1_000_000_000n}.${`${time % 1_000_000_000n}`.padStart(9, "0")}`;
    const place = origin === undefined ? "" : ` CPU: ${origin.cpu} index: ${origin.index}`;
    say(
      { type: PERF_RECORD_SAMPLE, ...origin, data: [...data] },
      { ...origin, data },
      `==${clock}${place} =====\n${hexText(data)}\n`,
    );
  };
  await untilInterrupted(async (signal) => {
    if (info.type === "ringbuf") {
      using ring = new RingBuffer(token, fd);
      for await (const data of ring.events({ signal })) show(data);
      return;
    }
    const of = slot === undefined ? {} : { cpus: [slot.cpu], keys: [slot.index] };
    using perf = new PerfBuffer(token, fd, { ...of, pages: PAGES, timestamps: true });
    const told = new Map<number, number>();
    let toldInAll = 0;
    const tellLost = (): void => {
      if (perf.lost === toldInAll) return;
      toldInAll = perf.lost;
      for (const [cpu, count] of perf.lostByCpu) {
        const lost = count - (told.get(cpu) ?? 0);
        told.set(cpu, count);
        const index = slot?.index ?? cpu;
        if (lost > 0) {
          say({ type: PERF_RECORD_LOST, cpu, index, lost: { lost } }, { cpu, index, lost }, `lost ${lost} events\n`);
        }
      }
    };
    for await (const { cpu, event, time } of perf.events({ signal })) {
      tellLost();
      show(event, { cpu, index: slot?.index ?? cpu, timestamp: time });
    }
    tellLost();
  });
  if (format === "json") output.out(count === 0 ? "[]\n" : pretty ? "\n]\n" : "]\n");
}
