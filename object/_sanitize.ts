/**
 * What older kernels do not know is taken out of an object before it is loaded: kinds of BTF become kinds of the same
 * words that they do know, helpers that came later become those that were there before.
 */

import type { Btf, BtfKind } from "../btf/mod.ts";
import { type Feature, hasFeature, hasHelper } from "../features/mod.ts";
import { LITTLE_ENDIAN } from "../ffi/memory.ts";
import type { Bytes } from "../ffi/kernel.ts";
import type { AnyToken } from "../tokens/token.ts";
import { helpers } from "../uapi/enums.gen.ts";
import { BtfEditor } from "./_btf_editor.ts";
import { CALL, LD_IMM64, SLOT } from "./_functions.ts";
import type { ObjectSpec } from "./spec.ts";

/** Linkage of a func. */
const STATIC = 0;
/** Number of bits of an integer of one byte. */
const ONE_BYTE_INT = 8;

/** Which kinds of BTF came after the others, and the feature that they are. */
const LATER_KINDS: { readonly [K in BtfKind]?: Feature } = {
  func: "btf_func",
  func_proto: "btf_func",
  var: "btf_datasec",
  datasec: "btf_datasec",
  float: "btf_float",
  decl_tag: "btf_decl_tag",
  type_tag: "btf_type_tag",
  enum64: "btf_enum64",
};

/** What is known of the kernel while BTF is gone through: each question is asked once. */
type Knows = (feature: Feature) => boolean;

/** How a type of a kind that the kernel does not know is changed. Nothing moves: each keeps its words. */
const REPLACE: { readonly [K in BtfKind]?: (btf: BtfEditor, id: number, spare: () => number) => void } = {
  func: (btf, id) => btf.setKind(id, "typedef", 0),
  func_proto: (btf, id) => {
    btf.setKind(id, "enum");
    btf.setWord(id, 2, 4);
  },
  // The least size: a larger one may be larger than the variable was.
  var: (btf, id) => toByte(btf, id),
  decl_tag: (btf, id) => toByte(btf, id),
  datasec: (btf, id) => {
    const [names, places] = [[], []] as [number[], number[]];
    for (let index = 0; index < btf.count(id); index++) {
      names.push(btf.word(btf.memberWord(id, index, 0), 0));
      places.push(btf.memberWord(id, index, 1));
    }
    const types = names.map((_, index) => btf.memberWord(id, index, 0));
    btf.setWord(id, 0, btf.addString(btf.name(id).replaceAll(/[^A-Za-z0-9_]/g, "_")));
    btf.setKind(id, "struct");
    names.forEach((name, index) => {
      [name, types[index], 8 * places[index]].forEach((word, at) => btf.setMemberWord(id, index, at, word));
    });
  },
  float: (btf, id) => btf.setKind(id, "struct", 0),
  type_tag: (btf, id) => {
    btf.setWord(id, 0, 0);
    btf.setKind(id, "const", 0);
  },
  enum64: (btf, id, spare) => {
    btf.setKind(id, "union");
    for (let index = 0; index < btf.count(id); index++) {
      btf.setMemberWord(id, index, 1, spare());
      btf.setMemberWord(id, index, 2, 0);
    }
  },
};

function toByte(btf: BtfEditor, id: number): void {
  btf.setKind(id, "int", 0);
  btf.setWord(id, 2, 1);
  btf.setWord(id, 3, ONE_BYTE_INT);
}

/**
 * The BTF of an object as the running kernel takes it.
 *
 * @param token A permission token.
 * @param spec The object, with BTF.
 * @returns The bytes.
 */
export function sanitizeBtf(token: AnyToken, spec: ObjectSpec): Bytes {
  const known = new Map<Feature, boolean>();
  const knows: Knows = (feature) => {
    let answer = known.get(feature);
    // What could not be told is taken as there: the kernel says otherwise.
    if (answer === undefined) known.set(feature, answer = hasFeature(token, feature) !== false);
    return answer;
  };
  const btf = spec.btf as Btf;
  const hidden = new Set(spec.functions.filter((one) => one.hidden).map(({ name }) => name));
  const editor = new BtfEditor(btf.bytes);
  let changed = false;
  let spareId: number | undefined;
  const spare = (): number =>
    spareId ??= editor.addType([editor.addString("__enum64_placeholder"), 1 << 24, 1, ONE_BYTE_INT]);
  for (let id = 1; id < btf.typeCount; id++) {
    const kind = editor.kind(id);
    const feature = LATER_KINDS[kind];
    if (kind === "func" && editor.count(id) === 1 && (hidden.has(editor.name(id)) || !knows("btf_func_global"))) {
      editor.setKind(id, "func", STATIC);
      changed = true;
    }
    if (feature !== undefined && !knows(feature)) {
      REPLACE[kind]!(editor, id, spare);
      changed = true;
    } else if (kind === "datasec" && editor.name(id).includes("?") && !knows("btf_qmark_datasec")) {
      editor.setWord(id, 0, editor.addString(editor.name(id).replaceAll("?", "_")));
      changed = true;
    } else if (kind === "enum" && editor.flag(id) && !knows("btf_enum64")) {
      editor.setKind(id, "enum");
      changed = true;
    }
  }
  return changed ? editor.bytes() : new Uint8Array(btf.bytes);
}

/** Helpers that tell apart where they read, since 5.5, and those that did not. */
const BEFORE: ReadonlyMap<number, number> = new Map([
  [helpers.probe_read_kernel, helpers.probe_read],
  [helpers.probe_read_user, helpers.probe_read],
  [helpers.probe_read_kernel_str, helpers.probe_read_str],
  [helpers.probe_read_user_str, helpers.probe_read_str],
]);

/** Replaces helpers that the kernel does not know by those that came before, in place. */
export function sanitizeInsns(token: AnyToken, insns: Bytes): void {
  const view = new DataView(insns.buffer, insns.byteOffset, insns.length);
  for (let at = 0; at < insns.length; at += SLOT) {
    if (insns[at] === LD_IMM64) at += SLOT;
    else if (insns[at] === CALL && insns[at + 1] >> 4 === 0) {
      const before = BEFORE.get(view.getInt32(at + 4, LITTLE_ENDIAN));
      if (before === undefined) continue;
      if (hasHelper(token, "kprobe", "probe_read_kernel") !== false) return;
      view.setInt32(at + 4, before, LITTLE_ENDIAN);
    }
  }
}
