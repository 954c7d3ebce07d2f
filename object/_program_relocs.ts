/** What instructions of a linked program are given once maps and externs are known. */

import type { Fd } from "../ffi/fd.ts";
import type { Bytes } from "../ffi/kernel.ts";
import { LITTLE_ENDIAN } from "../ffi/memory.ts";
import {
  BPF_PSEUDO_BTF_ID,
  BPF_PSEUDO_KFUNC_CALL,
  BPF_PSEUDO_MAP_FD,
  BPF_PSEUDO_MAP_VALUE,
} from "../uapi/constants.gen.ts";
import { CALL, SLOT } from "./_functions.ts";
import type { OpenRelocation } from "./_link.ts";
import type { ResolvedExtern } from "./_resolve_externs.ts";

/** Numbers of helpers that there are not, as libbpf makes them: the rest says which map or function is meant. */
export const POISON_MAP = 2001000000;
/** As {@linkcode POISON_MAP}, for functions of the kernel. */
export const POISON_KFUNC = 2002000000;

/** Where what instructions name is. */
export interface Resolution {
  /** The descriptor of a map; undefined where it is not made. */
  mapFd(name: string): number | undefined;
  /** The number of a map in the object, for messages. */
  mapNumber(name: string): number;
  /** What is added to the offset of a map's variables: those of arenas are at its end. */
  dataOffset(map: string): number;
  /** What externs are, by number. */
  readonly externs: readonly ResolvedExtern[];
  /** The descriptor of a module's BTF, and its place among those that functions are looked up in. */
  moduleBtf(module: string): { readonly fd: Fd; readonly index: number };
}

/** Gives the instructions of a program what they lack, in place. */
export function applyRelocations(insns: Bytes, open: readonly OpenRelocation[], resolution: Resolution): void {
  const view = new DataView(insns.buffer, insns.byteOffset, insns.length);
  const source = (insn: number, value: number): void => {
    insns[insn * SLOT + 1] = insns[insn * SLOT + 1] & 0x0f | value << 4;
  };
  const imm = (insn: number, value: number): void => view.setInt32(insn * SLOT + 4, value, LITTLE_ENDIAN);
  const poison = (insn: number, number: number): void => {
    view.setBigUint64(insn * SLOT, 0n);
    insns[insn * SLOT] = CALL;
    imm(insn, number);
  };
  for (const relocation of open) {
    const { insn } = relocation;
    switch (relocation.kind) {
      case "map":
      case "data": {
        const fd = resolution.mapFd(relocation.map);
        if (fd === undefined) {
          const number = POISON_MAP + resolution.mapNumber(relocation.map);
          poison(insn, number);
          poison(insn + 1, number);
          break;
        }
        if (relocation.kind === "data") {
          const within = view.getInt32(insn * SLOT + 4, LITTLE_ENDIAN);
          imm(insn + 1, within + relocation.offset + resolution.dataOffset(relocation.map));
        }
        source(insn, relocation.kind === "map" ? BPF_PSEUDO_MAP_FD : BPF_PSEUDO_MAP_VALUE);
        imm(insn, fd);
        break;
      }
      case "extern": {
        const extern = resolution.externs[relocation.extern];
        if (extern.kind === "kconfig") {
          source(insn, BPF_PSEUDO_MAP_VALUE);
          imm(insn, resolution.mapFd(".kconfig") ?? 0);
          imm(insn + 1, extern.offset);
        } else if (extern.kind === "btf") {
          source(insn, BPF_PSEUDO_BTF_ID);
          imm(insn, extern.id);
          imm(insn + 1, extern.module === undefined ? 0 : resolution.moduleBtf(extern.module).fd.fd);
        } else {
          const address = extern.kind === "address" ? extern.address : 0n;
          imm(insn, Number(BigInt.asIntN(32, address)));
          imm(insn + 1, Number(BigInt.asIntN(32, address >> 32n)));
        }
        break;
      }
      case "kfunc": {
        const extern = resolution.externs[relocation.extern];
        if (extern.kind !== "btf") {
          poison(insn, POISON_KFUNC + relocation.extern);
          break;
        }
        source(insn, BPF_PSEUDO_KFUNC_CALL);
        imm(insn, extern.id);
        const index = extern.module === undefined ? 0 : resolution.moduleBtf(extern.module).index;
        view.setInt16(insn * SLOT + 2, index, LITTLE_ENDIAN);
        break;
      }
    }
  }
}
