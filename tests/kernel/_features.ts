/**
 * What came after Linux 5.10, with the least that tries it.
 *
 * @module
 */

import { linkCreate } from "../../cmds/link.ts";
import { mapCreate } from "../../cmds/map.ts";
import {
  type BatchResult,
  mapDeleteBatch,
  mapLookupAndDeleteBatch,
  mapLookupBatch,
  mapUpdateBatch,
} from "../../cmds/map_batch.ts";
import { mapLookupAndDeleteElem } from "../../cmds/map_elem.ts";
import { objPin } from "../../cmds/obj.ts";
import { progAssocStructOps, progLoad } from "../../cmds/prog.ts";
import { progAttach, progDetach } from "../../cmds/prog_attach.ts";
import { progStreamRead, progTestRun } from "../../cmds/prog_run.ts";
import { rawTracepointOpen } from "../../cmds/raw_tracepoint.ts";
import { tokenCreate } from "../../cmds/token.ts";
import { possibleCpus } from "../../ffi/cpus.ts";
import type { Fd } from "../../ffi/fd.ts";
import { openPath } from "../../ffi/kernel_file.ts";
import { allocate } from "../../ffi/memory.ts";
import type { AttachType, MapType } from "../../uapi/enums.gen.ts";
import { mapTypeSince, progTypeSince } from "../../uapi/since.gen.ts";
import type { ProbeName } from "../_kernel_test.ts";
import { MAP_TYPES, minimalMap } from "./_map_types.ts";
import {
  arrayMap,
  assertRefused,
  clockEvent,
  constant,
  libcFunction,
  makeCgroup,
  place,
  returning,
  type RootToken,
  simpleProg,
  socketFilter,
  u32s,
} from "./_objects.ts";
import { minimalProg, PROG_TYPES } from "./_prog_types.ts";
import { tcpCongestionControl } from "./_struct_ops.ts";

/** A feature of later kernels. */
export interface Feature {
  /** What the error calls it. */
  readonly feature: string;
  /** The release that brought it. */
  readonly since: string;
  /** Series of stable kernels that are older and got it later on. */
  readonly backports?: readonly string[];
  /** What the try needs. */
  readonly needs?: readonly ProbeName[];
  /**
   * Tries it: succeeds where the kernel has it. What it gives is closed.
   *
   * @returns `"not built"` where the kernel is new enough, and built without it.
   */
  readonly attempt: (token: RootToken) => unknown;
}

function isLater(since: string): boolean {
  const [major, minor] = since.split(".").map(Number);
  return major > 5 || (major === 5 && minor > 10);
}

const COUNT = 2;

type Batch = (token: RootToken, map: Fd, type: MapType) => BatchResult;

/** Keys of 8 bytes and values of 16 bytes for each CPU are enough for all types here. */
const buffers = (): { keys: Uint8Array<ArrayBuffer>; values: Uint8Array<ArrayBuffer>; count: number } => ({
  keys: allocate(8 * COUNT),
  values: allocate(16 * possibleCpus() * COUNT),
  count: COUNT,
});

const BATCHES: Readonly<Record<string, Batch>> = {
  MAP_LOOKUP_BATCH: (token, map) => mapLookupBatch(token, map, { ...buffers(), outBatch: allocate(8) }),
  MAP_LOOKUP_AND_DELETE_BATCH: (token, map) =>
    mapLookupAndDeleteBatch(token, map, { ...buffers(), outBatch: allocate(8) }),
  MAP_UPDATE_BATCH: (token, map, type) => {
    // Maps in maps want a descriptor for a value; no element is an update, too.
    const count = type === "array_of_maps" || type === "hash_of_maps" ? 0 : COUNT;
    return mapUpdateBatch(token, map, { ...buffers(), count });
  },
  MAP_DELETE_BATCH: (token, map) => mapDeleteBatch(token, map, { ...buffers(), count: 0 }),
};

function batches(since: string, types: readonly MapType[], commands: readonly string[]): Feature[] {
  return types.flatMap((type) =>
    commands.map((command): Feature => ({
      feature: `BPF_${command} on maps of type ${type}`,
      since,
      attempt(token) {
        using map = minimalMap(token, type);
        BATCHES[command](token, map, type);
      },
    }))
  );
}

function attachType(
  type: AttachType,
  since: string,
  attempt: Feature["attempt"],
  needs: readonly ProbeName[] = [],
): Feature {
  return { feature: `attach type ${type}`, since, needs, attempt };
}

/** A link by name of function, which kernels without CONFIG_FPROBE refuse. */
function linkKprobes(token: RootToken, type: "trace_kprobe_multi" | "trace_kprobe_session"): unknown {
  using prog = simpleProg(token, "kprobe", { expectedAttachType: type });
  const options = { prog, attachType: type, kprobeMulti: { symbols: ["no_such_function_at_all"] } } as const;
  const { code } = assertRefused(() => linkCreate(token, options), ["ESRCH", "EOPNOTSUPP"]);
  return code === "EOPNOTSUPP" ? "not built" : undefined;
}

async function linkUprobes(token: RootToken, type: "trace_uprobe_multi" | "trace_uprobe_session"): Promise<Fd> {
  const { path, offset } = await libcFunction("getpgid");
  using prog = simpleProg(token, "kprobe", { expectedAttachType: type });
  return linkCreate(token, { prog, attachType: type, uprobeMulti: { path, offsets: [offset], pid: Deno.pid } });
}

function attachUnix(token: RootToken, type: AttachType): void {
  using cgroup = makeCgroup("since");
  using prog = simpleProg(token, "cgroup_sock_addr", { value: 1, expectedAttachType: type });
  const place = { target: { fd: cgroup.fd }, attachType: type };
  progAttach(token, prog, place);
  progDetach(token, { ...place, prog });
}

/** A socket filter that takes its map from `fdArray`. */
function withFdArray(token: RootToken, bindFdArray: boolean): Fd {
  using map = arrayMap(token);
  return progLoad(token, { type: "socket_filter", insns: returning(0), license: "GPL", fdArray: [map], bindFdArray });
}

const FIELDS: readonly Feature[] = [
  {
    feature: "field fd_array of BPF_PROG_LOAD",
    since: "5.14",
    attempt: (token) => withFdArray(token, false),
  },
  {
    feature: "field fd_array_cnt of BPF_PROG_LOAD",
    since: "6.14",
    attempt: (token) => withFdArray(token, true),
  },
  {
    feature: "field map_extra of BPF_MAP_CREATE",
    since: "5.16",
    // Only bloom filters take it, and came with it.
    attempt: (token) =>
      void assertRefused(
        () => mapCreate(token, { type: "array", keySize: 4, valueSize: 4, maxEntries: 1, extra: 1 }),
        "EINVAL",
      ),
  },
  {
    feature: "field excl_prog_hash of BPF_MAP_CREATE",
    since: "6.18",
    attempt: (token) =>
      mapCreate(token, {
        ...{ type: "array", keySize: 4, valueSize: 4, maxEntries: 1 },
        exclusiveProgHash: allocate(32),
      }),
  },
  {
    feature: "field batch_size of BPF_PROG_TEST_RUN",
    since: "5.18",
    attempt(token) {
      using prog = simpleProg(token, "xdp", { value: 1 });
      const flags = constant("BPF_F_TEST_XDP_LIVE_FRAMES");
      progTestRun(token, prog, { data: allocate(64), ctx: u32s(0, 64, 0, 0, 0, 0), flags, batchSize: 4 });
    },
  },
  {
    feature: "field path_fd of BPF_OBJ_PIN",
    since: "6.5",
    needs: ["bpffs"],
    attempt(token) {
      using map = arrayMap(token);
      using directory = openPath(place("BPFFS"));
      objPin(token, map, { path: "since", directory });
      Deno.removeSync(`${place("BPFFS")}/since`);
    },
  },
  {
    feature: "field cookie of BPF_RAW_TRACEPOINT_OPEN",
    since: "6.10",
    attempt(token) {
      using prog = simpleProg(token, "raw_tracepoint");
      return rawTracepointOpen(token, prog, { name: "sched_process_exec", cookie: 1n });
    },
  },
  {
    feature: "field cgroup.relative_fd of BPF_LINK_CREATE",
    since: "6.16",
    backports: ["6.12"],
    needs: ["cgroup"],
    attempt(token) {
      using cgroup = makeCgroup("since");
      using prog = simpleProg(token, "cgroup_device", { value: 1 });
      const options = { prog, target: { fd: cgroup.fd }, attachType: "cgroup_device" } as const;
      using first = linkCreate(token, options);
      const flags = constant("BPF_F_BEFORE") | constant("BPF_F_LINK");
      linkCreate(token, { ...options, flags, cgroup: { anchor: { fd: first } } }).close();
    },
  },
];

const LINKS: readonly Feature[] = [
  attachType("perf_event", "5.15", (token) => {
    using event = clockEvent();
    using prog = simpleProg(token, "perf_event");
    linkCreate(token, { prog, target: { fd: event }, attachType: "perf_event" }).close();
  }),
  attachType("trace_kprobe_multi", "5.18", (token) => linkKprobes(token, "trace_kprobe_multi")),
  attachType("struct_ops", "6.4", (token) => {
    // Kernels before 6.4 have no link for these maps, and no flag for maps that are to have one.
    using bare = minimalMap(token, "struct_ops");
    assertRefused(() => linkCreate(token, { prog: bare, attachType: "struct_ops" }), "EINVAL");
    using map = tcpCongestionControl(token, "bpf_test_since");
    linkCreate(token, { prog: map, attachType: "struct_ops" }).close();
  }, ["btf", "netns"]),
  attachType("tcx_ingress", "6.6", (token) => {
    const target = { ifindex: 1 };
    using prog = simpleProg(token, "sched_cls", { value: -1 });
    linkCreate(token, { prog, target, attachType: "tcx_ingress" }).close();
  }, ["netns"]),
  attachType("trace_uprobe_multi", "6.6", (token) => linkUprobes(token, "trace_uprobe_multi")),
  attachType("cgroup_unix_connect", "6.7", (token) => attachUnix(token, "cgroup_unix_connect"), ["cgroup", "btf"]),
  attachType("netkit_primary", "6.7", (token) => {
    using prog = simpleProg(token, "sched_cls", { value: -1 });
    const options = { prog, target: { ifindex: 1 }, attachType: "netkit_primary" } as const;
    // The loopback interface is no netkit device.
    const { code } = assertRefused(() => linkCreate(token, options), ["ENXIO", "EINVAL"]);
    return code === "EINVAL" ? "not built" : undefined;
  }, ["netns"]),
  attachType("trace_kprobe_session", "6.10", (token) => linkKprobes(token, "trace_kprobe_session")),
  {
    feature: "BPF_LINK_CREATE for attach type sk_msg_verdict",
    since: "6.10",
    attempt(token) {
      using sockmap = minimalMap(token, "sockmap");
      using prog = simpleProg(token, "sk_msg", { value: 1, expectedAttachType: "sk_msg_verdict" });
      linkCreate(token, { prog, target: { fd: sockmap }, attachType: "sk_msg_verdict" }).close();
    },
  },
  attachType("trace_uprobe_session", "6.13", (token) => linkUprobes(token, "trace_uprobe_session")),
];

const COMMANDS: readonly Feature[] = [
  {
    feature: "BPF_TOKEN_CREATE",
    since: "6.9",
    // Here as far as the kernel looks at the file system; tests/kernel/token_create_test.ts makes a token.
    attempt: (token) => void assertRefused(() => tokenCreate(token, 9999), "EBADF"),
  },
  {
    feature: "BPF_PROG_STREAM_READ_BY_FD",
    since: "6.17",
    attempt(token) {
      using prog = socketFilter(token);
      progStreamRead(token, prog, { stream: "stdout", buffer: allocate(16) });
    },
  },
  {
    feature: "BPF_PROG_ASSOC_STRUCT_OPS",
    since: "7.0",
    needs: ["btf"],
    attempt(token) {
      using map = minimalMap(token, "struct_ops");
      // Programs of type syscall have it; where there are none, neither is the command.
      using prog = simpleProg(token, "kprobe");
      progAssocStructOps(token, prog, { map });
    },
  },
];

const TAKING = (["hash", "percpu_hash", "lru_hash", "lru_percpu_hash"] as const).map((type): Feature => ({
  feature: `BPF_MAP_LOOKUP_AND_DELETE_ELEM on maps of type ${type}`,
  since: "5.14",
  attempt(token) {
    using map = minimalMap(token, type);
    mapLookupAndDeleteElem(token, map, { key: u32s(0) });
  },
}));

const READING_AND_WRITING = ["MAP_LOOKUP_BATCH", "MAP_UPDATE_BATCH"];

/** Every feature, by kind. */
export const FEATURES: readonly Feature[] = [
  ...COMMANDS,
  ...MAP_TYPES.filter((type) => isLater(mapTypeSince[type])).map((type): Feature => ({
    feature: `map type ${type}`,
    since: mapTypeSince[type],
    attempt: (token) => minimalMap(token, type),
  })),
  ...TAKING,
  ...batches("5.6", ["hash", "array", "percpu_hash", "lru_hash"], READING_AND_WRITING),
  ...batches("5.13", ["percpu_array"], READING_AND_WRITING),
  ...batches("5.13", ["lpm_trie"], [...READING_AND_WRITING, "MAP_DELETE_BATCH"]),
  ...batches("5.19", ["array_of_maps"], READING_AND_WRITING),
  ...batches("5.19", ["hash_of_maps"], Object.keys(BATCHES)),
  ...PROG_TYPES.filter((type) => isLater(progTypeSince[type])).map((type): Feature => ({
    feature: `program type ${type}`,
    since: progTypeSince[type],
    attempt: (token) => minimalProg(token, type),
  })),
  ...LINKS,
  ...FIELDS,
];
