/**
 * Keys and values that are descriptors when they are written, and ids or cookies when they are read.
 *
 * @module
 */

import { Codec, enumOf, struct, u32, u64 } from "../codec.ts";
import { fdNumber, type FdSource } from "../ffi/fd.ts";
import { LITTLE_ENDIAN } from "../ffi/memory.ts";
import { type AttachType, attachTypes } from "../uapi/enums.gen.ts";

type View = DataView<ArrayBuffer>;

/** A descriptor that goes in, and an id that comes out. */
class FdCodec extends Codec<number> {
  decode(view: View, offset: number): number {
    return view.getUint32(offset, LITTLE_ENDIAN);
  }

  override encode(view: View, offset: number, value: FdSource): void {
    view.setUint32(offset, fdNumber(value, this.name), LITTLE_ENDIAN);
  }
}

/** A descriptor of a socket that goes in, and its cookie that comes out. */
class SocketCodec extends Codec<bigint> {
  decode(view: View, offset: number): bigint {
    return this.size === 8 ? view.getBigUint64(offset, LITTLE_ENDIAN) : BigInt(view.getUint32(offset, LITTLE_ENDIAN));
  }

  override encode(view: View, offset: number, value: bigint | FdSource): void {
    const fd = fdNumber(typeof value === "bigint" ? Number(value) : value, this.name);
    if (this.size === 8) view.setBigUint64(offset, BigInt(fd), LITTLE_ENDIAN);
    else view.setUint32(offset, fd, LITTLE_ENDIAN);
  }
}

/** Where a devmap sends packets. C name: `struct bpf_devmap_val`. */
export interface DevMapValue {
  /** The interface's index. C name: `ifindex`. */
  readonly ifindex: number;
  /** Written: a program of attach type `xdp_devmap` that runs on the way. C name: `bpf_prog.fd`. Since 5.8. */
  readonly prog?: FdSource | undefined;
  /** Read: the program's id, 0 for none. C name: `bpf_prog.id`. */
  readonly progId?: number | undefined;
}

/** What a cpumap knows of a CPU. C name: `struct bpf_cpumap_val`. */
export interface CpuMapValue {
  /** How many packets its queue holds. C name: `qsize`. */
  readonly queueSize: number;
  /** Written: a program of attach type `xdp_cpumap` that runs there. C name: `bpf_prog.fd`. Since 5.9. */
  readonly prog?: FdSource | undefined;
  /** Read: the program's id, 0 for none. C name: `bpf_prog.id`. */
  readonly progId?: number | undefined;
}

/** A number and a program: the second is left out of the short form. */
class WithProgCodec<T extends DevMapValue | CpuMapValue> extends Codec<T> {
  readonly #field: "ifindex" | "queueSize";

  constructor(name: string, size: number, field: "ifindex" | "queueSize") {
    super(name, size, 4);
    this.#field = field;
  }

  decode(view: View, offset: number): T {
    const progId = this.size === 8 ? view.getUint32(offset + 4, LITTLE_ENDIAN) : 0;
    return { [this.#field]: view.getUint32(offset, LITTLE_ENDIAN), progId } as unknown as T;
  }

  encode(view: View, offset: number, value: T): void {
    u32.encode(view, offset, (value as unknown as Record<string, number>)[this.#field]);
    if (this.size === 8) {
      view.setInt32(offset + 4, value.prog === undefined ? 0 : fdNumber(value.prog, "prog"), LITTLE_ENDIAN);
    } else if (value.prog !== undefined) {
      throw new RangeError(`Cannot encode prog: values of ${this.size} bytes have no room for a program`);
    }
  }
}

/** The codec of a descriptor, for a message. */
export function fdCodec(name: string): Codec<number> {
  return new FdCodec(name, 4);
}

/** The codec of a socket. */
export function socketCodec(size = 8): Codec<bigint> {
  return new SocketCodec("socket", size);
}

/** The codec of a devmap's values. */
export function devMapCodec(size = 8): Codec<DevMapValue> {
  return new WithProgCodec<DevMapValue>("bpf_devmap_val", size, "ifindex");
}

/** The codec of a cpumap's values. */
export function cpuMapCodec(size = 8): Codec<CpuMapValue> {
  return new WithProgCodec<CpuMapValue>("bpf_cpumap_val", size, "queueSize");
}

/** The key of a cgroup storage. C name: `struct bpf_cgroup_storage_key`. */
export interface CgroupStorageKey {
  /** The cgroup's id, which is its inode number. C name: `cgroup_inode_id`. */
  cgroupInodeId: bigint;
  /** Where the program is attached. C name: `attach_type`. */
  attachType: AttachType | number;
}

/** The codec of a cgroup storage's keys. */
export const cgroupStorageKey: Codec<CgroupStorageKey> = struct(
  { cgroupInodeId: u64, attachType: enumOf(attachTypes) },
  { name: "bpf_cgroup_storage_key" },
);

/** A value of an insn_array. C name: `struct bpf_insn_array_value`. */
export interface InsnArrayValue {
  /** The instruction's index in the program as it is loaded. C name: `orig_off`. */
  readonly origOff: number;
  /** Its index after the verifier's changes; 0 when written. C name: `xlated_off`. */
  readonly xlatedOff: number;
  /** Its byte in the machine code; 0 when written. C name: `jitted_off`. */
  readonly jittedOff: number;
  /** Padding, zero. */
  readonly reserved: number;
}

/** The codec of an insn_array's values. */
export const insnArrayValue: Codec<InsnArrayValue> = struct(
  { origOff: u32, xlatedOff: u32, jittedOff: u32, reserved: u32 },
  { name: "bpf_insn_array_value" },
);
