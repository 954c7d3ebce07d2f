/**
 * Commands on single elements, prepared: one a command and set of flags, with views of key and value.
 *
 * @module
 */

import { type ElemCommand, MapElemCall, type UpdateMode } from "../cmds/map_elem.ts";
import type { Fd } from "../ffi/fd.ts";
import type { AnyToken } from "../tokens/token.ts";
import { BPF_F_LOCK } from "../uapi/constants.gen.ts";

/** A prepared command with views of its key and value. */
export interface PreparedElem {
  readonly call: MapElemCall;
  readonly key: DataView<ArrayBuffer>;
  readonly value: DataView<ArrayBuffer>;
}

function viewOf(bytes: Uint8Array<ArrayBuffer>): DataView<ArrayBuffer> {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** The prepared commands of one map, made when they are first needed. */
export class PreparedElems {
  readonly #token: AnyToken;
  readonly #map: Fd;
  readonly #made = new Map<string, PreparedElem>();

  constructor(token: AnyToken, map: Fd) {
    this.#token = token;
    this.#map = map;
  }

  /** The command with its flags. */
  get(command: ElemCommand, lock = false, mode: UpdateMode = "any"): PreparedElem {
    const name = `${command} ${mode} ${lock}`;
    let prepared = this.#made.get(name);
    if (prepared === undefined) {
      const options = { flags: lock ? BPF_F_LOCK : 0, mode };
      const call = new MapElemCall(this.#token, this.#map, command, options);
      prepared = { call, key: viewOf(call.key), value: viewOf(call.value) };
      this.#made.set(name, prepared);
    }
    return prepared;
  }
}
