/**
 * Structs of kernel functions that programs implement: the object's struct is copied into the kernel's, member by member,
 * by name.
 */

import type { MapCreateOptions } from "../cmds/map.ts";
import { type Btf, type BtfMember, coreEssentialName } from "../btf/mod.ts";
import { NotSupportedError } from "../errors.ts";
import type { Fd } from "../ffi/fd.ts";
import { LITTLE_ENDIAN } from "../ffi/memory.ts";
import { openModuleBtf } from "../progs/module_btf.ts";
import type { AnyToken } from "../tokens/token.ts";
import type { Modules } from "./_modules.ts";
import type { MapSpec, ObjectSpec } from "./spec.ts";

/** What the kernel calls the struct that holds a struct of functions and its state. */
const WRAPPER = "bpf_struct_ops_";

/** A member that a program implements. */
export interface StructOpsMember {
  /** The program. */
  readonly program: string;
  /** Its number in the kernel's struct, which programs are loaded for. */
  readonly index: number;
  /** Where the program's descriptor is written in the value, in bytes. */
  readonly at: number;
}

/** A struct of functions as the kernel has it. */
export interface KernelStructOps {
  /** The map. */
  readonly map: string;
  /** The module that has the struct; undefined for the kernel itself. */
  readonly module: string | undefined;
  /** The id of the struct's type in the BTF of the kernel or the module. */
  readonly typeId: number;
  /** The id of the type of the map's values. */
  readonly valueTypeId: number;
  /** The map's value, with what the object has set; programs are missing yet. */
  readonly value: Uint8Array<ArrayBuffer>;
  /** The members that programs implement. */
  readonly members: readonly StructOpsMember[];
}

/** Copies the object's structs of functions into the kernel's. */
export function kernelStructOps(spec: ObjectSpec, modules: Modules): Map<string, KernelStructOps> {
  const found = new Map<string, KernelStructOps>();
  for (const map of Object.values(spec.maps)) {
    if (map.structOps !== undefined && map.autocreate) found.set(map.name, copyInto(spec, map, modules));
  }
  return found;
}

/** Turns off programs whose structs are all left out, as libbpf does. */
export function structOpsUsers(spec: ObjectSpec): Map<string, boolean> {
  const users = new Map<string, boolean>();
  for (const { structOps, autocreate } of Object.values(spec.maps)) {
    for (const program of Object.values(structOps?.programs ?? {})) {
      users.set(program, (users.get(program) ?? false) || autocreate);
    }
  }
  return users;
}

function copyInto(spec: ObjectSpec, map: MapSpec, modules: Modules): KernelStructOps {
  const { struct, typeId: localId, programs } = map.structOps!;
  const btf = spec.btf as Btf;
  const name = coreEssentialName(struct);
  const wrapper = modules.find("struct", WRAPPER + name);
  const fail = (reason: string): NotSupportedError => new NotSupportedError(`struct_ops ${map.name}`, { reason });
  if (wrapper === undefined) throw fail(`the kernel has no ${WRAPPER}${name}`);
  const { btf: kernel, id: valueTypeId, module } = wrapper;
  const data = kernel.members(valueTypeId).find((member) => member.name === "data");
  const typeId = data === undefined ? undefined : kernel.resolve(data.typeId);
  if (data === undefined || typeId === undefined || kernel.nameOf(typeId) !== name) {
    throw fail(`the kernel's ${WRAPPER}${name} has no member data of struct ${name}`);
  }
  const value = new Uint8Array(kernel.sizeOf(valueTypeId) ?? 0);
  const start = data.bitsOffset / 8;
  const kernelMembers = kernel.members(typeId);
  const members: StructOpsMember[] = [];
  for (const member of btf.members(localId)) {
    const bytes = bytesOf(btf, map, member);
    const index = kernelMembers.findIndex((one) => one.name === member.name);
    const program = Object.hasOwn(programs, member.name) ? programs[member.name] : undefined;
    if (index < 0) {
      // What the kernel does not know may stay what it would be without.
      if (program === undefined && bytes?.every((byte) => byte === 0)) continue;
      throw fail(`the kernel's struct ${name} has no member ${member.name}, which is set`);
    }
    const other = kernelMembers[index];
    const at = start + other.bitsOffset / 8;
    if (program !== undefined) {
      members.push({ program, index, at });
      continue;
    }
    if (member.bitfieldSize > 0 || other.bitfieldSize > 0 || bytes === undefined) {
      throw fail(`member ${member.name} is a bitfield, which cannot be copied`);
    }
    const kernelSize = kernel.sizeOf(other.typeId);
    if (kernelSize !== bytes.length) {
      throw fail(`member ${member.name} has ${bytes.length} bytes in the object, and ${kernelSize} in the kernel`);
    }
    value.set(bytes, at);
  }
  return { map: map.name, module, typeId, valueTypeId, value, members };
}

/** The bytes of a member; undefined for a bitfield. */
function bytesOf(btf: Btf, map: MapSpec, member: BtfMember): Uint8Array | undefined {
  if (member.bitfieldSize > 0 || member.bitsOffset % 8 !== 0) return undefined;
  const at = member.bitsOffset / 8;
  return map.data!.subarray(at, at + (btf.sizeOf(member.typeId) ?? 0));
}

/** What the maps of structs of functions are made with. */
export function structOpsMapOptions(
  token: AnyToken,
  structs: ReadonlyMap<string, KernelStructOps>,
  stack: DisposableStack,
  btf: Fd | undefined,
): Map<string, Partial<MapCreateOptions>> {
  return new Map([...structs].map(([name, { value, valueTypeId, module }]) => [name, {
    valueSize: value.length,
    vmlinuxValueTypeId: valueTypeId,
    ...(module === undefined ? {} : { valueTypeBtf: stack.use(openModuleBtf(token, module)) }),
    ...(btf === undefined ? {} : { btf: { fd: btf, valueTypeId: 0 } }),
  }]));
}

/** Writes the descriptors of the programs into the value. */
export function fillStructOps(
  { value, members }: KernelStructOps,
  fdOf: (program: string) => number | undefined,
): void {
  const view = new DataView(value.buffer);
  for (const { program, at } of members) {
    const fd = fdOf(program);
    if (fd !== undefined) view.setBigUint64(at, BigInt(fd), LITTLE_ENDIAN);
  }
}
