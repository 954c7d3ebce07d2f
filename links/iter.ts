/**
 * Iterators: programs that run for each of the kernel's objects of a kind, and write what somebody reads.
 *
 * @module
 */

import { iterCreate } from "../cmds/iter.ts";
import { type IterLinkInfo, linkCreate } from "../cmds/link.ts";
import { type Codec, decode } from "../codec/codec.ts";
import { SyscallError } from "../errors.ts";
import type { FdSource } from "../ffi/fd.ts";
import { type Bytes, kernel } from "../ffi/kernel.ts";
import { allocate } from "../ffi/memory.ts";
import type { AnyToken } from "../tokens/token.ts";
import {
  BPF_CGROUP_ITER_ANCESTORS_UP,
  BPF_CGROUP_ITER_CHILDREN,
  BPF_CGROUP_ITER_DESCENDANTS_POST,
  BPF_CGROUP_ITER_DESCENDANTS_PRE,
  BPF_CGROUP_ITER_SELF_ONLY,
} from "../uapi/constants.gen.ts";
import { Link } from "./link.ts";

/** In which order a cgroup iterator goes; `"children"` since 7.2. C name: `enum bpf_cgroup_iter_order`. */
export type CgroupIterOrder = "self_only" | "descendants_pre" | "descendants_post" | "ancestors_up" | "children";

const ORDERS: Readonly<Record<CgroupIterOrder, number>> = {
  self_only: BPF_CGROUP_ITER_SELF_ONLY,
  descendants_pre: BPF_CGROUP_ITER_DESCENDANTS_PRE,
  descendants_post: BPF_CGROUP_ITER_DESCENDANTS_POST,
  ancestors_up: BPF_CGROUP_ITER_ANCESTORS_UP,
  children: BPF_CGROUP_ITER_CHILDREN,
};

/** What `attachIter()` takes besides the program: what it runs over, where that has to be said. */
export interface AttachIterOptions {
  /** The map, for iterators over a map's elements or a map's sockets. */
  map?: FdSource | undefined;
  /** The cgroup, by descriptor or id, and the order. Since 6.1. */
  cgroup?: {
    /** The order. C name: `order`. */
    order: CgroupIterOrder;
    /** A descriptor of its directory. */
    fd?: FdSource | undefined;
    /** Its id. */
    id?: bigint | undefined;
  } | undefined;
  /** A thread, a process, or a pidfd, for iterators over tasks. Since 6.1. */
  task?: IterLinkInfo["task"];
}

/** What a read asks for: the kernel gives whole objects, a page or so at a time. */
const CHUNK_SIZE = 64 * 1024;

/**
 * A link of an iterator. Each reading runs the program over all objects anew.
 */
export class IterLink extends Link {
  /**
   * Runs the program, and gives what it writes as it comes.
   *
   * @returns Bytes; where one chunk ends says nothing.
   * @throws {SyscallError} What the program's run or read(2) says, such as E2BIG for an object that is told too long.
   */
  *chunks(): Generator<Bytes, void, undefined> {
    using reader = iterCreate(this.token, this.descriptor);
    while (true) {
      const chunk = allocate(CHUNK_SIZE);
      const count = kernel().read(reader.fd, chunk);
      if (count < 0) throw new SyscallError({ command: "read", errno: -count, action: "read an iterator" });
      if (count === 0) return;
      yield chunk.subarray(0, count);
    }
  }

  /**
   * Runs the program, and gives what it writes as lines of text.
   *
   * @returns The lines, without their ends.
   */
  async *lines(): AsyncGenerator<string, void, undefined> {
    const decoder = new TextDecoder();
    let rest = "";
    for (const chunk of this.chunks()) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop()!;
      yield* lines;
      // Between two chunks others have their turn: a system has many objects.
      await new Promise<void>((resolve) => void setTimeout(resolve, 0));
    }
    if (rest !== "") yield rest;
  }

  /**
   * Runs the program, and gives what it writes as records.
   *
   * @typeParam T A record.
   * @param codec The codec of a record.
   * @returns The records.
   * @throws {RangeError} Where the last one is cut short.
   */
  async *records<T>(codec: Codec<T>): AsyncGenerator<T, void, undefined> {
    let rest: Bytes = allocate(0);
    for (const chunk of this.chunks()) {
      const bytes = allocate(rest.length + chunk.length);
      bytes.set(rest);
      bytes.set(chunk, rest.length);
      const whole = bytes.length - bytes.length % codec.size;
      for (let at = 0; at < whole; at += codec.size) yield decode(codec, bytes.subarray(at, at + codec.size));
      rest = bytes.subarray(whole);
      await new Promise<void>((resolve) => void setTimeout(resolve, 0));
    }
    if (rest.length > 0) {
      throw new RangeError(`Cannot read an iterator: the last record has ${rest.length} bytes of its ${codec.size}`);
    }
  }
}

/**
 * Makes an iterator of a program that was loaded with the attach type `trace_iter`. Since Linux 5.8.
 *
 * @param token A permission token.
 * @param prog The program, of type `tracing`, whose target says what it runs over, such as `bpf_iter_task`.
 * @param options The map, cgroup or task that it runs over, where there are several.
 * @returns The link, which can be read any number of times.
 * @throws {TypeError} For an order that there is not.
 * @throws {SyscallError} EBADF, EINVAL where the iterator runs over something else.
 */
export function attachIter(token: AnyToken, prog: FdSource, options: AttachIterOptions = {}): IterLink {
  const { map, cgroup, task } = options;
  if (cgroup !== undefined && !Object.hasOwn(ORDERS, cgroup.order)) {
    throw new TypeError(`Cannot use order: "${cgroup.order}" is none of ${Object.keys(ORDERS).join(", ")}`);
  }
  const iter = map === undefined && cgroup === undefined && task === undefined
    ? undefined
    : { map, task, cgroup: cgroup === undefined ? undefined : { ...cgroup, order: ORDERS[cgroup.order] } };
  return new IterLink(token, linkCreate(token as never, { prog, attachType: "trace_iter", iter }));
}
