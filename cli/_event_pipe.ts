/**
 * What programs send through perf event arrays and ring buffers, as it comes: `bpf map event_pipe`.
 *
 * @module
 */

import { bytes as bytesCodec } from "../codec.ts";
import { PerfBuffer } from "../maps/mod.ts";
import { hexText } from "./_bytes.ts";
import { untilInterrupted } from "./_interrupt.ts";
import { hexBytes, writeJson } from "./_json.ts";
import { MAPS, parseRef } from "./_refs.ts";
import type { Session } from "./_session.ts";
import { CommandError, type Words } from "./_words.ts";
void bytesCodec;
void PerfBuffer;
void hexText;
void untilInterrupted;
void hexBytes;
void writeJson;
void MAPS;
void parseRef;
void CommandError;
export function eventPipe(_session: Session, _words: Words): void {}
