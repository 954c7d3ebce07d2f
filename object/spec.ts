/**
 * What a compiled object holds, as plain data: programs, maps, variables, externs. It is what `BpfObject.parse()` makes,
 * what a script may change before it loads, and what loading reads.
 *
 * @module
 */

import type { Btf, BtfCoreRelo } from "../btf/mod.ts";
import type { FdSource } from "../ffi/fd.ts";
import type { ProgFlag, ProgramTarget } from "../progs/mod.ts";
import type { AttachType, MapType, ProgType } from "../uapi/enums.gen.ts";
import type { SectionDef } from "./sections.ts";

/** What an instruction has to be given before it is loaded. `insn` counts from the function's first slot. */
export type Relocation =
  | {
    /** The descriptor of a map. */
    readonly kind: "map";
    /** The instruction. */
    readonly insn: number;
    /** The map's name. */
    readonly map: string;
  }
  | {
    /** The address of a variable. */
    readonly kind: "data";
    /** The instruction. */
    readonly insn: number;
    /** The name of the map that holds it. */
    readonly map: string;
    /** What is added to the offset that stands in the instruction. */
    readonly offset: number;
  }
  | {
    /** An extern: a variable, or a kernel function that is called. */
    readonly kind: "extern" | "kfunc";
    /** The instruction. */
    readonly insn: number;
    /** The number of the extern in {@linkcode ObjectSpec.externs}. */
    readonly extern: number;
  }
  | {
    /** Another function of the object: called, or its address taken. */
    readonly kind: "call" | "func";
    /** The instruction. */
    readonly insn: number;
    /** The number of the function in {@linkcode ObjectSpec.functions}. */
    readonly target: number;
  };

/** The code of a function: a program, or what programs call. */
export interface FunctionSpec {
  /** Its name. */
  readonly name: string;
  /** The section that it is in, with the `?` where it has one. */
  readonly section: string;
  /** The number of the section. */
  readonly sectionIndex: number;
  /** Its first slot, in slots of 8 bytes from the start of the section. */
  readonly start: number;
  /** Its instructions as they were compiled. */
  readonly insns: Uint8Array;
  /** What they have to be given, by instruction. */
  readonly relocations: readonly Relocation[];
  /** What in them depends on the kernel's types, by instruction; `insnOff` counts from the start of the section. */
  readonly coreRelos: readonly BtfCoreRelo[];
  /** Whether no other file can name it: then it is no program. C name: STB_LOCAL. */
  readonly local: boolean;
  /** Whether the verifier looks at each of its calls instead of once at the function. */
  readonly hidden: boolean;
  /** The number of the function that is called where this one throws. C name: `exception_callback`. */
  readonly exceptionCallback: number | undefined;
}

/** A program of an object. */
export interface ProgramSpec {
  /** Its name. */
  readonly name: string;
  /** The section that it is in, without `?`. */
  readonly section: string;
  /** What the section's name says; undefined where libbpf does not know it. */
  readonly def: SectionDef | undefined;
  /** The type; undefined where the section does not tell: then it has to be set. */
  type: ProgType | number | undefined;
  /** What it is loaded for. */
  expectedAttachType: AttachType | number | undefined;
  /** What it is loaded with. */
  flags: readonly ProgFlag[];
  /** What follows the slash in the section's name: what it attaches to. */
  target: string | undefined;
  /** What it is loaded to attach to, by name, where the type asks for that; from {@linkcode ProgramSpec.target}. */
  attachTo: ProgramTarget | undefined;
  /** Whether it is loaded. False for sections that start with `?`. */
  autoload: boolean;
  /** Whether `attach()` attaches it. */
  autoattach: boolean;
  /** The interface index of the device that it is for; 0 for none. */
  ifindex: number;
  /** The verifier's log level. */
  logLevel: number;
  /** The number of its function in {@linkcode ObjectSpec.functions}. */
  readonly function: number;
}

/** What a map of maps holds, or what stands in a slot of a program array from the start. */
export interface SlotSpec {
  /** The slot. */
  readonly index: number;
  /** The name of the map or the program. */
  readonly name: string;
}

/** What every map is made by. */
export interface MapDefinition {
  /** The type. */
  type: MapType | number;
  /** Bytes of a key. */
  keySize: number;
  /** Bytes of a value, of one CPU for per-CPU maps. */
  valueSize: number;
  /** Elements at most. */
  maxEntries: number;
  /** BPF_F_* flags. C name: `map_flags`. */
  flags: number;
  /** What the type takes besides. C name: `map_extra`. */
  extra: bigint;
  /** The node for its memory. */
  numaNode: number | undefined;
  /** The interface index of the device that holds it; 0 for none. */
  ifindex: number;
  /** The id of its keys' type in the object's BTF; 0 for none. */
  keyTypeId: number;
  /** The id of its values' type in the object's BTF; 0 for none. */
  valueTypeId: number;
}

/** What a map is for. */
export type MapKind = "map" | "rodata" | "data" | "bss" | "kconfig" | "percpu" | "struct_ops";

/** A map of an object. */
export interface MapSpec extends MapDefinition {
  /** Its name in the object: of the variable, or of the section. */
  readonly name: string;
  /** What it is for: `"map"` for those that C declares, others hold variables. */
  readonly kind: MapKind;
  /** Its name in the kernel, at most 15 characters. */
  kernelName: string;
  /** Whether it has a pin by its name, which is opened where it exists, and made where not. C name: LIBBPF_PIN_BY_NAME. */
  pinByName: boolean;
  /** Where it is pinned instead of under the folder and its name. */
  pinPath: string | undefined;
  /** Whether it is made. Programs that use a map that is not, fail where they reach it. */
  autocreate: boolean;
  /** For structs of kernel functions: whether `attach()` registers it. */
  autoattach: boolean;
  /** For maps of maps: what they hold. */
  inner: MapDefinition | undefined;
  /** What stands in its slots from the start. */
  readonly slots: readonly SlotSpec[];
  /** The variables' first values, which a script may change; undefined for other maps. */
  data: Uint8Array<ArrayBuffer> | undefined;
  /** The struct of kernel functions that programs implement. */
  readonly structOps: StructOpsSpec | undefined;
  /** The name of the codec that events have: a struct of the object's BTF. For ring buffers and perf event arrays. */
  eventType: string | undefined;
  /** A map that exists, and is used instead of a new one. */
  reuse: FdSource | undefined;
}

/** A struct of kernel functions that programs implement. */
export interface StructOpsSpec {
  /** The struct's name, as `tcp_congestion_ops`. */
  readonly struct: string;
  /** The id of the struct's type in the object's BTF. */
  readonly typeId: number;
  /** Whether it is attached by a link. C name: BPF_F_LINK. */
  readonly link: boolean;
  /** The programs by the member that each is. */
  readonly programs: Readonly<Record<string, string>>;
}

/** What the kernel defines and the object uses. */
export interface ExternSpec {
  /** Its name. */
  readonly name: string;
  /** Whether it is of the kernel's configuration, a symbol of the kernel, or a function of the kernel. */
  readonly kind: "kconfig" | "ksym" | "kfunc";
  /** Whether it may be lacking. */
  readonly weak: boolean;
  /** The id of its var or func in the object's BTF. */
  readonly btfId: number;
  /** The id of its type behind qualifiers in the object's BTF; 0 for void. */
  readonly typeId: number;
  /** Bytes, of those of the configuration. */
  readonly size: number;
  /** Where it is in the map of the configuration. */
  readonly offset: number;
}

/** What a compiled object holds. */
export interface ObjectSpec {
  /** Its name, which starts those of its maps of variables. */
  readonly name: string;
  /** The license of its programs. */
  license: string;
  /** The kernel version that kprobes needed before 5.0; 0 for that of the running kernel. */
  kernelVersion: number;
  /** The byte order of its instructions. */
  readonly byteOrder: "little" | "big";
  /** Its programs by name, in the order of the file. */
  readonly programs: Readonly<Record<string, ProgramSpec>>;
  /** Its maps by name, in the order in which they are made. */
  readonly maps: Readonly<Record<string, MapSpec>>;
  /** What the kernel defines and it uses. */
  readonly externs: readonly ExternSpec[];
  /** The code of its programs and of what they call. */
  readonly functions: readonly FunctionSpec[];
  /** Its types, with the places of its variables; undefined where it has none. */
  readonly btf: Btf | undefined;
  /** The folder in which maps are pinned by name. */
  pinFolder: string;
}
