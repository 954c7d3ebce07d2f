/**
 * Runs a program again and again on a thread of its own.
 *
 * @module
 */

import { acquire, progTestRun } from "../../mod.ts";

/** What the worker is asked for: the program, by the number of its descriptor, and how often it runs. */
export interface RingWork {
  readonly prog: number;
  readonly repeat: number;
}

const scope = self as unknown as Worker;

scope.onmessage = ({ data: { prog, repeat } }: MessageEvent<RingWork>) => {
  progTestRun(acquire("CAP_BPF"), prog, { data: new Uint8Array(64), repeat });
  scope.postMessage("done");
};
scope.postMessage("ready");
