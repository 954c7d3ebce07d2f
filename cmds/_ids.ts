/**
 * The ids of objects, and descriptors by them: with attrs that serve for any number of objects of a kind.
 *
 * @module
 */

import { Attr } from "../ffi/attr.ts";
import { aboveStandard } from "../ffi/fd.ts";
import type { AnyToken } from "../tokens/token.ts";
import { BPF_F_RDONLY, BPF_F_TOKEN_FD } from "../uapi/constants.gen.ts";
import { errnos } from "../uapi/errno.gen.ts";
import { attempt, type CallContext } from "./_call.ts";
import { failure } from "./_failure.ts";
import type { ObjectKind } from "./obj.ts";

/** What people call objects of each kind, and the field that has an id. */
const KINDS = {
  prog: { noun: "program", field: "prog_id" },
  map: { noun: "map", field: "map_id" },
  btf: { noun: "BTF object", field: "btf_id" },
  link: { noun: "link", field: "link_id" },
} as const;

type NextAttr = Attr<"prog_get_next_id">;
type OpenAttr = Attr<"map_get_fd_by_id">;

/** Finds and opens objects of one kind. */
export class ObjectIds {
  readonly #token: AnyToken;
  readonly #kind: ObjectKind;
  readonly #looking: CallContext;
  readonly #flags: number | undefined;
  #nextAttr: NextAttr | undefined;
  #openAttr: OpenAttr | undefined;

  /** Finds and opens objects of a kind; `flags` is for maps. */
  constructor(token: AnyToken, kind: ObjectKind, flags?: number) {
    this.#token = token;
    this.#kind = kind;
    this.#flags = flags;
    this.#looking = { action: `look for the next ${kind} id` };
  }

  /** The lowest id above another; undefined where there is none. */
  next(after: number): number | undefined {
    const attr = this.#nextAttr ??= new Attr(`${this.#kind}_get_next_id`) as NextAttr;
    const result = attempt(this.#token, attr.u32("start_id", after), this.#looking);
    if (result === -errnos.ENOENT) return undefined;
    if (result < 0) throw failure(this.#token, attr, -result, this.#looking);
    return attr.getU32("next_id");
  }

  /** Opens an object: a descriptor that the caller closes. */
  open(id: number): number {
    const fd = this.tryOpen(id);
    if (fd < 0) throw this.failure(id, -fd);
    return fd;
  }

  /** What went wrong where an object could not be opened. */
  failure(id: number, errno: number): Error {
    const attr = this.#openAttr ??= this.#makeOpenAttr();
    return failure(this.#token, attr, errno, { action: this.#opening(id) });
  }

  /** Opens an object: a descriptor that the caller closes, or −errno. */
  tryOpen(id: number): number {
    const attr = this.#openAttr ??= this.#makeOpenAttr();
    const { field } = KINDS[this.#kind];
    const fd = attempt(this.#token, attr.u32(field as "map_id", id), { action: this.#opening(id) });
    return fd < 0 ? fd : aboveStandard(fd);
  }

  #opening(id: number): string {
    return `open ${KINDS[this.#kind].noun} ${id}`;
  }

  #makeOpenAttr(): OpenAttr {
    const attr = new Attr(`${this.#kind}_get_fd_by_id`) as OpenAttr;
    if (this.#kind === "map") {
      attr.u32("open_flags", (this.#flags ?? 0) | (this.#token.readOnly ? BPF_F_RDONLY : 0));
    } else if (this.#kind === "btf" && this.#token.bpfToken !== undefined) {
      const ofBtf = attr as unknown as Attr<"btf_get_fd_by_id">;
      ofBtf.s32("fd_by_id_token_fd", this.#token.bpfToken.fd).u32("open_flags", BPF_F_TOKEN_FD);
    }
    return attr;
  }
}
