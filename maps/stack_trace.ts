/**
 * Stack traces, as bpf_get_stackid() keeps them.
 *
 * @module
 */

import { array, bytes, type Codec, i32, struct, u64 } from "../codec.ts";
import { BpfMap } from "./bpf_map.ts";
import type { OperationsOf } from "./operations.ts";

/** An address as a build id and an offset. C name: `struct bpf_stack_build_id`. */
export interface StackBuildId {
  /** 0 for the end of the trace, 1 with a build id, 2 with an address. C name: `status`. */
  readonly status: number;
  /** The build id, 20 bytes. C name: `build_id`. */
  readonly buildId: Uint8Array<ArrayBuffer>;
  /** The offset in the file, or the address. C names: `offset`, `ip`. */
  readonly offset: bigint;
}

/** The codec of a frame of maps with the flag `stack_build_id`. */
export const stackBuildId: Codec<StackBuildId> = struct(
  { status: i32, buildId: bytes(20), offset: u64 },
  { name: "bpf_stack_build_id" },
);

/** Frames at most, as the sysctl `kernel.perf_event_max_stack` is set by default. */
export const STACK_DEPTH = 127;

/**
 * The codec of a stack's addresses, innermost first; 0 behind the last.
 *
 * @param depth Frames at most: up to the sysctl `kernel.perf_event_max_stack`. @default {127}
 * @returns The codec.
 */
export function stackOf(depth: number = STACK_DEPTH): Codec<bigint[]> {
  return array(u64, depth);
}

/**
 * A map of stack traces: programs write it by bpf_get_stackid(), whose answer is the key. Since Linux 4.6.
 *
 * @typeParam V A trace as it is read.
 */
export class StackTraceMap<V = bigint[]> extends BpfMap<number, V, OperationsOf<"stack_trace">> {
  /**
   * The addresses of a trace.
   *
   * @param id What bpf_get_stackid() answered.
   * @returns The addresses, innermost first; undefined where there is no such trace.
   * @throws {TypeError} For a map whose traces are build ids.
   */
  addresses(id: number): bigint[] | undefined {
    const frames = this.get(id);
    if (frames === undefined) return undefined;
    if (!Array.isArray(frames) || frames.some((frame) => typeof frame !== "bigint")) {
      throw new TypeError("Cannot tell the addresses of a stack: the map's values are no addresses");
    }
    const end = frames.indexOf(0n);
    return end < 0 ? frames : frames.slice(0, end);
  }
}
