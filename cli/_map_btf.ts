/**
 * What keys and values of a map mean, where it has BTF.
 *
 * @module
 */

import { Btf, codecFrom, decode, formatValue } from "../btf/mod.ts";
import { btfGetFdById } from "../cmds/id.ts";
import type { MapInfo } from "../cmds/info.ts";
import { objGetInfoByFd } from "../cmds/obj.ts";
import { PermissionError, SyscallError } from "../errors.ts";
import type { Bytes } from "../ffi/kernel.ts";
import { kernelBtf } from "../features/kernel_btf.ts";
import { RawJson } from "./_json.ts";
import type { HeldToken } from "./_session.ts";

/** The types of a map. */
export class MapTypes {
  readonly #btf: Btf;
  readonly #key: number;
  readonly #value: number;

  private constructor(btf: Btf, key: number, value: number) {
    this.#btf = btf;
    this.#key = key;
    this.#value = value;
  }

  /** The types of a map; undefined where it has none, or they may not be seen. */
  static of(token: HeldToken, info: MapInfo): MapTypes | undefined {
    if (info.btfVmlinuxValueTypeId > 0) {
      const btf = kernelBtf();
      return new MapTypes(btf, info.btfKeyTypeId, info.btfVmlinuxValueTypeId);
    }
    if (info.btfId === 0 || info.btfValueTypeId === 0) return undefined;
    try {
      using fd = btfGetFdById(token, info.btfId);
      const { btf } = objGetInfoByFd(token, fd, { kind: "btf", details: ["btf"] });
      return new MapTypes(Btf.parse(btf as Uint8Array), info.btfKeyTypeId, info.btfValueTypeId);
    } catch (error) {
      if (error instanceof PermissionError || error instanceof SyscallError) return undefined;
      throw error;
    }
  }

  /** Whether keys have a type. */
  get hasKey(): boolean {
    return this.#key !== 0;
  }

  /** A key or a value as JSON, as bpftool formats it. */
  json(what: "key" | "value", bytes: Bytes): RawJson {
    const id = this.#idOf(what);
    // Without a type for its keys a map has numbers for them.
    if (id === 0) return new RawJson(JSON.stringify(number(bytes)));
    return new RawJson(formatValue(this.#btf, id, bytes, { style: "json" }));
  }

  /** A key or a value as text, as bpftool prints it inside of some objects and arrays. */
  text(what: "key" | "value", bytes: Bytes, depth: number): string {
    const id = this.#idOf(what);
    return id === 0 ? `${number(bytes)}` : formatValue(this.#btf, id, bytes, { depth });
  }

  /** A key or a value as JavaScript has it; its bytes where no codec fits. */
  value(what: "key" | "value", bytes: Bytes): unknown {
    const id = this.#idOf(what);
    try {
      return id === 0 ? number(bytes) : decode(codecFrom(this.#btf, id), bytes);
    } catch (error) {
      if (error instanceof TypeError || error instanceof RangeError || error instanceof SyntaxError) return bytes;
      throw error;
    }
  }

  #idOf(what: "key" | "value"): number {
    return what === "key" ? this.#key : this.#value;
  }
}

function number(bytes: Uint8Array): number {
  return bytes.reduceRight((sum, byte) => sum * 256 + byte, 0);
}
