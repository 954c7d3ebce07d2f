/**
 * A system full of BPF objects, for what lists and shows them: every map type, filled; every program type; pins; links
 * of every kind that this kernel has.
 *
 * @module
 */

import { kernelSince } from "../_kernel_test.ts";
import { asm } from "../../asm/mod.ts";
import { BtfBuilder } from "../../btf/mod.ts";
import { btfLoad } from "../../cmds/btf.ts";
import { mapCreate, mapFreeze } from "../../cmds/map.ts";
import { mapUpdateElem } from "../../cmds/map_elem.ts";
import { objPin } from "../../cmds/obj.ts";
import { progLoad } from "../../cmds/prog.ts";
import { NotSupportedError, PermissionError, SyscallError } from "../../errors.ts";
import type { Fd } from "../../ffi/fd.ts";
import {
  attachCgroup,
  attachIter,
  attachNetfilter,
  attachNetns,
  attachRawTracepoint,
  attachTcx,
  attachTracing,
  attachUprobeMulti,
  attachXdp,
} from "../../links/mod.ts";
import { Program } from "../../progs/mod.ts";
import { MAP_TYPES, minimalMap } from "./_map_types.ts";
import { libcFunction, makeCgroup, place, returning, type RootToken, u32s, u64s, type Veth, veth } from "./_objects.ts";
import { minimalProg, PROG_TYPES } from "./_prog_types.ts";

/** The objects by their names. */
export interface Zoo extends AsyncDisposable {
  readonly maps: ReadonlyMap<string, Fd>;
  readonly progs: ReadonlyMap<string, Fd>;
  /** How many links there are, of which types. */
  readonly links: readonly string[];
  /** A map with BTF: keys of a struct, values with every kind of member. */
  readonly typed: Fd;
  /** Where some are pinned. */
  readonly folder: string;
  /** A cgroup with programs. */
  readonly cgroup: string;
  /** An interface with programs. */
  readonly veth: Veth;
}

/** A BTF whose values have integers, enums, bitfields, arrays, text, a union and pointers in them. */
function richBtf(): { bytes: Uint8Array<ArrayBuffer>; key: number; value: number; valueSize: number } {
  const builder = new BtfBuilder();
  const int = builder.int("int", 4, "signed");
  const long = builder.int("unsigned long", 8);
  const char = builder.int("char", 1, "char");
  const bool = builder.int("_Bool", 1, "bool");
  // Before 6.0 enums are unsigned.
  const error = kernelSince("6.0")() === undefined ? -1 : 7;
  const state = builder.enum("state", [{ name: "OFF", val: 0 }, { name: "ON", val: 1 }, { name: "ERROR", val: error }]);
  const text = builder.array(char, 8, int);
  const numbers = builder.array(int, 3, int);
  const key = builder.struct("key", 8, [
    { name: "host", typeId: int, bitsOffset: 0 },
    { name: "port", typeId: int, bitsOffset: 32 },
  ]);
  const half = builder.union("", 8, [
    { name: "whole", typeId: long, bitsOffset: 0 },
    { name: "part", typeId: int, bitsOffset: 0 },
  ]);
  const value = builder.struct("value", 56, [
    { name: "count", typeId: long, bitsOffset: 0 },
    { name: "state", typeId: state, bitsOffset: 64 },
    { name: "low", typeId: int, bitsOffset: 96, bitfieldSize: 3 },
    { name: "high", typeId: int, bitsOffset: 99, bitfieldSize: 5 },
    { name: "yes", typeId: bool, bitsOffset: 104 },
    { name: "name", typeId: text, bitsOffset: 128 },
    { name: "numbers", typeId: numbers, bitsOffset: 192 },
    { name: "", typeId: half, bitsOffset: 320 },
    { name: "next", typeId: builder.ptr(key), bitsOffset: 384 },
  ]);
  return { bytes: builder.bytes(), key, value, valueSize: 56 };
}

/** What a kernel that lacks something, or refuses it, says is no failure of the zoo. */
function trying<T>(make: () => T): T | undefined {
  try {
    return make();
  } catch (error) {
    if (error instanceof NotSupportedError || error instanceof PermissionError || error instanceof SyscallError) {
      return undefined;
    }
    throw error;
  }
}

/** Puts elements into the maps that take them from user space. */
function fill(token: RootToken, type: string, map: Fd, keySize: number, valueSize: number): void {
  for (let number = 0; number < 3; number++) {
    const key = new Uint8Array(keySize);
    if (keySize >= 4) new DataView(key.buffer).setUint32(keySize === 8 ? 4 : 0, number, true);
    if (type === "lpm_trie") new DataView(key.buffer).setUint32(0, 24 + number, true);
    trying(() => mapUpdateElem(token, map, { key, value: new Uint8Array(valueSize).map((_, at) => at + number) }));
  }
}

/**
 * Makes the objects.
 *
 * @param token What root may do.
 * @returns The objects, which go when this is disposed of.
 */
export async function zoo(token: RootToken): Promise<Zoo> {
  await using stack = new AsyncDisposableStack();
  const keep = <T extends Disposable>(made: T): T => stack.use(made);
  const maps = new Map<string, Fd>();
  for (const type of MAP_TYPES) {
    const map = trying(() => minimalMap(token, type, { name: `m_${type}`.slice(0, 15) }));
    if (map === undefined) continue;
    maps.set(type, keep(map));
  }
  for (const type of ["hash", "array", "lru_hash", "queue", "stack", "lpm_trie"]) {
    const sizes = {
      hash: [4, 8],
      array: [4, 8],
      lru_hash: [4, 8],
      queue: [0, 8],
      stack: [0, 8],
      lpm_trie: [8, 8],
    }[type]!;
    fill(token, type, maps.get(type)!, sizes[0], sizes[1]);
  }
  const rich = richBtf();
  using btf = btfLoad(token, rich.bytes);
  const typed = keep(mapCreate(token, {
    type: "hash",
    name: "typed",
    keySize: 8,
    valueSize: rich.valueSize,
    maxEntries: 8,
    btf: { fd: btf, keyTypeId: rich.key, valueTypeId: rich.value },
  }));
  maps.set("typed", typed);
  for (const number of [1, 2]) {
    const value = new Uint8Array(rich.valueSize).map((_, at) => at * number);
    value.set(new TextEncoder().encode("text"), 16);
    mapUpdateElem(token, typed, { key: u32s(number, 80), value });
  }
  const frozen = keep(
    mapCreate(token, { type: "array", name: "frozen", keySize: 4, valueSize: 8, maxEntries: 1, flags: 0x80 }),
  );
  mapUpdateElem(token, frozen, { key: u32s(0), value: u64s(7n) });
  mapFreeze(token, frozen);
  maps.set("frozen", frozen);
  const progs = new Map<string, Fd>();
  for (const type of PROG_TYPES) {
    const prog = trying(() => minimalProg(token, type, { name: `p_${type}`.slice(0, 15) }));
    if (prog !== undefined) progs.set(type, keep(prog));
  }
  const counting = keep(progLoad(token, {
    type: "xdp",
    name: "counting",
    license: "GPL",
    insns: asm`
      *(u32 *)(r10 -4) = 0
      r1 = map_fd ${maps.get("array")!} ll
      r2 = r10
      r2 += -4
      call map_lookup_elem
      if r0 == 0 goto out
      r1 = 1
      lock *(u64 *)(r0 +0) += r1
    out:
      r0 = 2
      exit
    `,
  }));
  progs.set("counting", counting);
  const folder = `${place("BPFFS")}/zoo`;
  Deno.mkdirSync(folder);
  stack.defer(() => Deno.removeSync(folder, { recursive: true }));
  objPin(token, typed, { path: `${folder}/typed` });
  objPin(token, counting, { path: `${folder}/counting` });
  objPin(token, counting, { path: `${folder}/again` });
  const group = keep(makeCgroup("zoo"));
  const net = stack.use(await veth());
  const links: string[] = [];
  const prog = (type: string): Fd => {
    const made = progs.get(type);
    if (made === undefined) throw new NotSupportedError(`program type ${type}`, { reason: "the zoo has none" });
    return made;
  };
  const attach = (name: string, make: () => Disposable): void => {
    const made = trying(make);
    if (made === undefined) return;
    keep(made);
    links.push(name);
  };
  attach("raw_tracepoint", () => attachRawTracepoint(token, prog("raw_tracepoint"), "sched_process_exec"));
  attach("tracing", () => attachTracing(token, prog("tracing")));
  attach("xdp", () => attachXdp(token, counting, { interface: net.names[0], mode: "generic" }));
  attach("tcx", () => attachTcx(token, prog("sched_cls"), { interface: net.names[0], direction: "ingress" }));
  attach(
    "cgroup",
    () => attachCgroup(token, prog("cgroup_skb"), { cgroup: group.path, attachType: "cgroup_inet_egress" }),
  );
  attach(
    "cgroup",
    () => attachCgroup(token, prog("cgroup_device"), { cgroup: group.path, attachType: "cgroup_device" }),
  );
  attach("netns", () => attachNetns(token, prog("flow_dissector"), { attachType: "flow_dissector" }));
  attach(
    "netfilter",
    () => attachNetfilter(token, prog("netfilter"), { family: "ipv4", hook: "input", priority: -128, defrag: true }),
  );
  attach("iter", () => {
    using prog = Program.load(token, {
      type: "tracing",
      license: "GPL",
      attachTo: "task",
      expectedAttachType: "trace_iter",
      insns: returning(0),
    });
    return attachIter(token, prog.descriptor);
  });
  const { path, offset } = await libcFunction("getpid");
  attach("uprobe_multi", () => {
    using prog = progLoad(token, {
      type: "kprobe",
      license: "GPL",
      expectedAttachType: "trace_uprobe_multi",
      insns: returning(0),
    });
    return attachUprobeMulti(token, prog, { path, offsets: [offset] });
  });
  const owned = stack.move();
  return {
    maps,
    progs,
    links,
    typed,
    folder,
    cgroup: group.path,
    veth: net,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
