/**
 * What the kernel tells about maps, programs, BTF objects and links.
 *
 * @module
 */

import type { Bytes } from "../ffi/kernel.ts";
import type { AttachType, MapType, ProgType } from "../uapi/enums.gen.ts";

/** What the kernel tells about a map. C name: `struct bpf_map_info`. */
export interface MapInfo {
  /** Its type; a number that this library does not know otherwise. */
  readonly type: MapType | number;
  /** Its id. */
  readonly id: number;
  /** Bytes of a key. */
  readonly keySize: number;
  /** Bytes of a value, of one CPU for per-CPU maps. */
  readonly valueSize: number;
  /** Elements at most. */
  readonly maxEntries: number;
  /** BPF_F_* flags. C name: `map_flags`. */
  readonly flags: number;
  /** Its name. Since 4.15. */
  readonly name: string;
  /** The device that it is offloaded to; 0 for none. */
  readonly ifindex: number;
  /** The type id of a struct_ops value in the kernel's BTF. */
  readonly btfVmlinuxValueTypeId: number;
  /** The device's network namespace: its device number. */
  readonly netnsDev: bigint;
  /** The device's network namespace: its inode number. */
  readonly netnsIno: bigint;
  /** The id of its BTF; 0 for none. */
  readonly btfId: number;
  /** The type id of its keys. */
  readonly btfKeyTypeId: number;
  /** The type id of its values. */
  readonly btfValueTypeId: number;
  /** The id of the kernel's BTF that a struct_ops value is of. */
  readonly btfVmlinuxId: number;
  /** What was given as `map_extra`. Since 5.16. */
  readonly mapExtra: bigint;
}

/** What can be fetched of a program or BTF object besides its numbers. */
export type InfoDetail =
  | "mapIds"
  | "xlatedInsns"
  | "jitedInsns"
  | "jitedKsyms"
  | "jitedFuncLens"
  | "funcInfo"
  | "lineInfo"
  | "jitedLineInfo"
  | "progTags"
  | "btf";

/** What the kernel tells about a program. C name: `struct bpf_prog_info`. */
export interface ProgInfo {
  /** Its type; a number that this library does not know otherwise. */
  readonly type: ProgType | number;
  /** Its id. */
  readonly id: number;
  /** The first 8 bytes of the SHA of its instructions, in hexadecimal. */
  readonly tag: string;
  /** Bytes of machine code; 0 where it is not compiled, or where the caller may not see it. */
  readonly jitedProgLen: number;
  /** Bytes of instructions after the verifier's changes. */
  readonly xlatedProgLen: number;
  /** When it was loaded: nanoseconds since boot. */
  readonly loadTime: bigint;
  /** Who loaded it. */
  readonly createdByUid: number;
  /** How many maps it uses. */
  readonly nrMapIds: number;
  /** Its name. Since 4.15. */
  readonly name: string;
  /** The device that it is offloaded to; 0 for none. */
  readonly ifindex: number;
  /** Whether its license is compatible with the GPL. */
  readonly gplCompatible: boolean;
  /** The device's network namespace: its device number. */
  readonly netnsDev: bigint;
  /** The device's network namespace: its inode number. */
  readonly netnsIno: bigint;
  /** How many addresses `jitedKsyms` has: one a function. */
  readonly nrJitedKsyms: number;
  /** How many lengths `jitedFuncLens` has. */
  readonly nrJitedFuncLens: number;
  /** The id of its BTF; 0 for none. */
  readonly btfId: number;
  /** Bytes of one record of `funcInfo`. */
  readonly funcInfoRecSize: number;
  /** How many records `funcInfo` has. */
  readonly nrFuncInfo: number;
  /** How many records `lineInfo` has. */
  readonly nrLineInfo: number;
  /** How many addresses `jitedLineInfo` has. */
  readonly nrJitedLineInfo: number;
  /** Bytes of one record of `lineInfo`. */
  readonly lineInfoRecSize: number;
  /** Bytes of one record of `jitedLineInfo`. */
  readonly jitedLineInfoRecSize: number;
  /** How many tags `progTags` has. */
  readonly nrProgTags: number;
  /** Nanoseconds that it ran, while statistics were enabled. Since 5.1. */
  readonly runTimeNs: bigint;
  /** How often it ran, while statistics were enabled. Since 5.1. */
  readonly runCnt: bigint;
  /** How often it was not run because it was running already. Since 5.12. */
  readonly recursionMisses: bigint;
  /** Instructions that the verifier looked at. Since 5.16. */
  readonly verifiedInsns: number;
  /** The id of the BTF object that `attachBtfId` is of. Since 6.0. */
  readonly attachBtfObjId: number;
  /** The type id of what it attaches to. Since 6.0. */
  readonly attachBtfId: number;
  /** The ids of its maps, where `"mapIds"` was asked for. */
  readonly mapIds?: readonly number[];
  /** Its instructions after the verifier's changes, where `"xlatedInsns"` was asked for. */
  readonly xlatedInsns?: Bytes;
  /** Its machine code, where `"jitedInsns"` was asked for. */
  readonly jitedInsns?: Bytes;
  /** The addresses of its functions, where `"jitedKsyms"` was asked for. */
  readonly jitedKsyms?: readonly bigint[];
  /** Bytes of machine code of each function, where `"jitedFuncLens"` was asked for. */
  readonly jitedFuncLens?: readonly number[];
  /** `struct bpf_func_info` records, where `"funcInfo"` was asked for. */
  readonly funcInfo?: Bytes;
  /** `struct bpf_line_info` records, where `"lineInfo"` was asked for. */
  readonly lineInfo?: Bytes;
  /** The address of each line, where `"jitedLineInfo"` was asked for. */
  readonly jitedLineInfo?: readonly bigint[];
  /** The tag of each function in hexadecimal, where `"progTags"` was asked for. */
  readonly progTags?: readonly string[];
}

/** What the kernel tells about a BTF object. C name: `struct bpf_btf_info`. */
export interface BtfInfo {
  /** Its id. */
  readonly id: number;
  /** Bytes of the BTF. */
  readonly btfSize: number;
  /** The module's name, `"vmlinux"`, or empty. Since 5.11. */
  readonly name: string;
  /** Whether it is the kernel's own or a module's. Since 5.11. */
  readonly kernelBtf: boolean;
  /** The BTF, where `"btf"` was asked for. */
  readonly btf?: Bytes;
}

/** What the kernel tells about every link. C name: `struct bpf_link_info`. */
export interface LinkInfoBase {
  /** Its id. */
  readonly id: number;
  /** The id of its program; 0 for struct_ops links. */
  readonly progId: number;
}

/** What the kernel tells about a link, by its type: the members of the union in `struct bpf_link_info`. */
export type LinkInfo =
  & LinkInfoBase
  & (
    | { readonly type: "raw_tracepoint"; readonly tpName: string; readonly cookie: bigint }
    | {
      readonly type: "tracing";
      readonly attachType: AttachType | number;
      readonly targetObjId: number;
      readonly targetBtfId: number;
      readonly cookie: bigint;
    }
    | { readonly type: "cgroup"; readonly cgroupId: bigint; readonly attachType: AttachType | number }
    | {
      readonly type: "iter";
      readonly targetName: string;
      readonly map?: { readonly mapId: number };
      readonly cgroup?: { readonly cgroupId: bigint; readonly order: number };
      readonly task?: { readonly tid: number; readonly pid: number };
    }
    | { readonly type: "netns"; readonly netnsIno: number; readonly attachType: AttachType | number }
    | { readonly type: "xdp"; readonly ifindex: number }
    | { readonly type: "struct_ops"; readonly mapId: number }
    | {
      readonly type: "netfilter";
      readonly pf: number;
      readonly hooknum: number;
      readonly priority: number;
      readonly flags: number;
    }
    | {
      readonly type: "kprobe_multi";
      readonly addrs: readonly bigint[];
      readonly cookies: readonly bigint[];
      readonly count: number;
      readonly flags: number;
      readonly missed: bigint;
    }
    | {
      readonly type: "uprobe_multi";
      readonly path: string;
      readonly offsets: readonly bigint[];
      readonly refCtrOffsets: readonly bigint[];
      readonly cookies: readonly bigint[];
      readonly count: number;
      readonly flags: number;
      readonly pid: number;
    }
    | {
      readonly type: "tracing_multi";
      readonly attachType: AttachType | number;
      readonly count: number;
      readonly btfObjId: number;
      readonly ids: readonly number[];
      readonly addrs: readonly bigint[];
      readonly cookies: readonly bigint[];
    }
    | { readonly type: "perf_event"; readonly event: PerfEventLinkInfo }
    | { readonly type: "tcx"; readonly ifindex: number; readonly attachType: AttachType | number }
    | { readonly type: "netkit"; readonly ifindex: number; readonly attachType: AttachType | number }
    | { readonly type: "sockmap"; readonly mapId: number; readonly attachType: AttachType | number }
    | { readonly type: number }
  );

/** What a perf event link is attached to. C name: `bpf_link_info.perf_event`. Since 6.6. */
export type PerfEventLinkInfo =
  | {
    readonly type: "uprobe" | "uretprobe";
    readonly fileName: string;
    readonly offset: number;
    readonly cookie: bigint;
    readonly refCtrOffset: bigint;
  }
  | {
    readonly type: "kprobe" | "kretprobe";
    readonly funcName: string;
    readonly offset: number;
    readonly addr: bigint;
    readonly missed: bigint;
    readonly cookie: bigint;
  }
  | { readonly type: "tracepoint"; readonly tpName: string; readonly cookie: bigint }
  | { readonly type: "event"; readonly eventType: number; readonly config: bigint; readonly cookie: bigint }
  | { readonly type: "unspec" | number };
