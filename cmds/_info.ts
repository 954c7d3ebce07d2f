/**
 * BPF_OBJ_GET_INFO_BY_FD for maps and BTF objects, and what the readers of all kinds share.
 *
 * @module
 */

import { Attr } from "../ffi/attr.ts";
import type { FdSource } from "../ffi/fd.ts";
import { allocate } from "../ffi/memory.ts";
import { type StructBuffer, structBuffer, type StructName, textOf } from "../ffi/struct_buffer.ts";
import { SyscallError } from "../errors.ts";
import { errnos } from "../uapi/errno.gen.ts";
import type { structLayouts } from "../uapi/structs.gen.ts";
import { type MapType, mapTypes } from "../uapi/enums.gen.ts";
import type { AnyToken } from "../tokens/token.ts";
import { call, type CallContext } from "./_call.ts";
import { nameOrNumber } from "./_types.ts";
import type { BtfInfo, InfoDetail, MapInfo } from "./info.ts";

/** A struct's buffer, by the struct's name. */
export type InfoBuffer<N extends StructName> = StructBuffer<keyof (typeof structLayouts)[N]["fields"] & string>;

/** Asks about objects, any number of them, with one attr and one struct. */
export class InfoQuery<N extends StructName> {
  /** What the kernel told last. */
  readonly info: InfoBuffer<N>;
  readonly #token: AnyToken;
  readonly #attr: Attr<"obj_get_info_by_fd">;

  /** Makes the attr, which points at a struct that may have pointers in it. */
  constructor(token: AnyToken, info: InfoBuffer<N>) {
    this.info = info;
    this.#token = token;
    this.#attr = new Attr("obj_get_info_by_fd").pointer("info", info.bytes);
  }

  /** Fills the struct. */
  ask(object: FdSource): InfoBuffer<N> {
    // The kernel has written over it how much it knows.
    this.#attr.fd("bpf_fd", object).u32("info_len", this.info.bytes.length);
    call(this.#token, this.#attr, LOOK_UP);
    return this.info;
  }

  /** Fills the struct, of which nothing is left of what it had. */
  askAnew(object: FdSource): InfoBuffer<N> {
    this.info.bytes.fill(0);
    return this.ask(object);
  }
}

const LOOK_UP: CallContext = { action: "look up an object's information" };

/** Fills an info struct. */
export function fillInfo<N extends StructName>(token: AnyToken, object: FdSource, info: InfoBuffer<N>): void {
  new InfoQuery(token, info).ask(object);
}

/** What the kernel tells about a map. */
export function readMapInfo(token: AnyToken, map: FdSource): MapInfo {
  return mapInfoOf(new InfoQuery(token, structBuffer("bpf_map_info")).ask(map));
}

/** A map's information by the struct that the kernel filled. */
export function mapInfoOf(info: InfoBuffer<"bpf_map_info">): MapInfo {
  return {
    type: nameOrNumber<MapType>(mapTypes, info.getU32("type")),
    id: info.getU32("id"),
    keySize: info.getU32("key_size"),
    valueSize: info.getU32("value_size"),
    maxEntries: info.getU32("max_entries"),
    flags: info.getU32("map_flags"),
    name: info.getChars("name"),
    ifindex: info.getU32("ifindex"),
    btfVmlinuxValueTypeId: info.getU32("btf_vmlinux_value_type_id"),
    netnsDev: info.getU64("netns_dev"),
    netnsIno: info.getU64("netns_ino"),
    btfId: info.getU32("btf_id"),
    btfKeyTypeId: info.getU32("btf_key_type_id"),
    btfValueTypeId: info.getU32("btf_value_type_id"),
    btfVmlinuxId: info.getU32("btf_vmlinux_id"),
    mapExtra: info.getU64("map_extra"),
  };
}

const MAX_MODULE_NAME = 64;

/** What the kernel tells about a BTF object. */
export function readBtfInfo(token: AnyToken, btf: FdSource, details: readonly InfoDetail[]): BtfInfo {
  const name = allocate(MAX_MODULE_NAME);
  let asksName = true;
  const ask = (size: number): InfoBuffer<"bpf_btf_info"> => {
    const info = structBuffer("bpf_btf_info");
    info.pointer("btf", allocate(size)).u32("btf_size", size);
    if (asksName) info.pointer("name", name).u32("name_len", name.length);
    try {
      fillInfo<"bpf_btf_info">(token, btf, info);
    } catch (error) {
      // Before 5.11 BTF had no name, and the kernel refuses to be asked for one.
      if (!asksName || !(error instanceof SyscallError) || error.errno !== errnos.E2BIG) throw error;
      asksName = false;
      return ask(size);
    }
    return info;
  };
  let info = ask(0);
  const size = info.getU32("btf_size");
  const wanted = details.includes("btf");
  if (wanted) info = ask(size);
  return {
    id: info.getU32("id"),
    btfSize: size,
    name: textOf(name),
    kernelBtf: info.getU32("kernel_btf") !== 0,
    ...(wanted ? { btf: info.getBytes("btf") } : {}),
  };
}
