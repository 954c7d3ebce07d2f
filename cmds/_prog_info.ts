/**
 * BPF_OBJ_GET_INFO_BY_FD for programs: asked once for the sizes of the arrays, and once more for the arrays.
 *
 * @module
 */

import type { FdSource } from "../ffi/fd.ts";
import type { Bytes } from "../ffi/kernel.ts";
import { allocate, LITTLE_ENDIAN } from "../ffi/memory.ts";
import { structBuffer } from "../ffi/struct_buffer.ts";
import { BPF_TAG_SIZE } from "../uapi/constants.gen.ts";
import { type ProgType, progTypes } from "../uapi/enums.gen.ts";
import type { AnyToken } from "../tokens/token.ts";

import { fillInfo, type InfoBuffer } from "./_info.ts";
import { nameOrNumber } from "./_types.ts";
import type { InfoDetail, ProgInfo } from "./info.ts";

type Field = Parameters<InfoBuffer<"bpf_prog_info">["getU32"]>[0];

interface DetailLayout {
  /** The field of the array's address. */
  readonly pointer: Field;
  /** The field of its length. */
  readonly count: Field;
  /** Bytes of an element, or the field that tells. */
  readonly size: number | Field;
  /** How its bytes are given to the caller. */
  readonly decode: (bytes: Bytes) => unknown;
}

const decodeBytes = (bytes: Bytes): Bytes => bytes;
const decodeU32 = (bytes: Bytes): number[] => {
  const view = new DataView(bytes.buffer);
  return Array.from({ length: bytes.length / 4 }, (_, index) => view.getUint32(4 * index, LITTLE_ENDIAN));
};
const decodeU64 = (bytes: Bytes): bigint[] => {
  const view = new DataView(bytes.buffer);
  return Array.from({ length: bytes.length / 8 }, (_, index) => view.getBigUint64(8 * index, LITTLE_ENDIAN));
};
const hex = (bytes: Bytes): string => bytes.toHex();
const decodeTags = (bytes: Bytes): string[] =>
  Array.from(
    { length: bytes.length / BPF_TAG_SIZE },
    (_, index) => hex(bytes.subarray(index * BPF_TAG_SIZE, (index + 1) * BPF_TAG_SIZE)),
  );

const DETAILS: Readonly<Record<Exclude<InfoDetail, "btf">, DetailLayout>> = {
  mapIds: { pointer: "map_ids", count: "nr_map_ids", size: 4, decode: decodeU32 },
  xlatedInsns: { pointer: "xlated_prog_insns", count: "xlated_prog_len", size: 1, decode: decodeBytes },
  jitedInsns: { pointer: "jited_prog_insns", count: "jited_prog_len", size: 1, decode: decodeBytes },
  jitedKsyms: { pointer: "jited_ksyms", count: "nr_jited_ksyms", size: 8, decode: decodeU64 },
  jitedFuncLens: { pointer: "jited_func_lens", count: "nr_jited_func_lens", size: 4, decode: decodeU32 },
  funcInfo: { pointer: "func_info", count: "nr_func_info", size: "func_info_rec_size", decode: decodeBytes },
  lineInfo: { pointer: "line_info", count: "nr_line_info", size: "line_info_rec_size", decode: decodeBytes },
  jitedLineInfo: {
    pointer: "jited_line_info",
    count: "nr_jited_line_info",
    size: "jited_line_info_rec_size",
    decode: decodeU64,
  },
  progTags: { pointer: "prog_tags", count: "nr_prog_tags", size: BPF_TAG_SIZE, decode: decodeTags },
};

/** What the kernel tells about a program. */
export function readProgInfo(token: AnyToken, prog: FdSource, details: readonly InfoDetail[]): ProgInfo {
  let info = structBuffer("bpf_prog_info");
  fillInfo<"bpf_prog_info">(token, prog, info);
  const wanted = [...new Set(details)].filter((name): name is Exclude<InfoDetail, "btf"> =>
    Object.hasOwn(DETAILS, name)
  );
  if (wanted.length > 0) {
    const sizes = info;
    info = structBuffer("bpf_prog_info");
    for (const name of wanted) {
      const { pointer, count, size } = DETAILS[name];
      const length = sizes.getU32(count);
      const each = typeof size === "number" ? size : sizes.getU32(size);
      info.pointer(pointer, allocate(length * each)).u32(count, length);
      if (typeof size !== "number") info.u32(size, each);
    }
    fillInfo<"bpf_prog_info">(token, prog, info);
  }
  const arrays = wanted.map((name) => {
    const { pointer, count, size, decode } = DETAILS[name];
    const used = info.getU32(count) * (typeof size === "number" ? size : info.getU32(size));
    const bytes = info.getBytes(pointer);
    // Where the program changed under us, or hides its code from us, the kernel says less than it did before.
    return [name, decode(bytes.slice(0, Math.min(used, bytes.length)))];
  });
  return { ...progInfoOf(info), ...Object.fromEntries(arrays) };
}

/** A program's information, its arrays left out, by the struct that the kernel filled. */
export function progInfoOf(info: InfoBuffer<"bpf_prog_info">): ProgInfo {
  return {
    type: nameOrNumber<ProgType>(progTypes, info.getU32("type")),
    id: info.getU32("id"),
    tag: hex(info.getBytes("tag")),
    jitedProgLen: info.getU32("jited_prog_len"),
    xlatedProgLen: info.getU32("xlated_prog_len"),
    loadTime: info.getU64("load_time"),
    createdByUid: info.getU32("created_by_uid"),
    nrMapIds: info.getU32("nr_map_ids"),
    name: info.getChars("name"),
    ifindex: info.getU32("ifindex"),
    gplCompatible: (info.getU32("gpl_compatible") & 1) === 1,
    netnsDev: info.getU64("netns_dev"),
    netnsIno: info.getU64("netns_ino"),
    nrJitedKsyms: info.getU32("nr_jited_ksyms"),
    nrJitedFuncLens: info.getU32("nr_jited_func_lens"),
    btfId: info.getU32("btf_id"),
    funcInfoRecSize: info.getU32("func_info_rec_size"),
    nrFuncInfo: info.getU32("nr_func_info"),
    nrLineInfo: info.getU32("nr_line_info"),
    nrJitedLineInfo: info.getU32("nr_jited_line_info"),
    lineInfoRecSize: info.getU32("line_info_rec_size"),
    jitedLineInfoRecSize: info.getU32("jited_line_info_rec_size"),
    nrProgTags: info.getU32("nr_prog_tags"),
    runTimeNs: info.getU64("run_time_ns"),
    runCnt: info.getU64("run_cnt"),
    recursionMisses: info.getU64("recursion_misses"),
    verifiedInsns: info.getU32("verified_insns"),
    attachBtfObjId: info.getU32("attach_btf_obj_id"),
    attachBtfId: info.getU32("attach_btf_id"),
  };
}
