/**
 * What objects of all kinds show alike: their ids, the names under which they are pinned, and who holds them.
 *
 * @module
 */

import type { FdSource } from "../ffi/fd.ts";
import type { Fields, Held, HeldKind, Holder } from "./_held.ts";
import { fdinfoOf, findHeld, holdersText } from "./_holders.ts";
import type { Writable } from "./_json.ts";
import { findPins } from "./_pins.ts";
import type { Session } from "./_session.ts";
import { safe } from "./_style.ts";

/** Where an object is, besides in the hands of whoever looks. */
export interface Whereabouts {
  /** Where it is pinned; empty where that was not asked for. */
  readonly pinned: readonly string[];
  /** Which processes hold it. */
  readonly pids: readonly Holder[];
}

/** Finds the whereabouts of objects of one kind; looks through the machine once, when the first is asked for. */
export class Finder {
  readonly #session: Session;
  readonly #kind: Exclude<HeldKind, "btf">;
  #held: ReadonlyMap<number, Held> | undefined;
  #pins: ReadonlyMap<number, readonly string[]> | undefined;

  /** Finds objects of a kind. */
  constructor(session: Session, kind: Exclude<HeldKind, "btf">) {
    this.#session = session;
    this.#kind = kind;
  }

  #heldBy(id: number): Held | undefined {
    this.#held ??= findHeld(this.#session.token, this.#kind);
    return this.#held.get(id);
  }

  /** Where an object is. */
  find(id: number): Whereabouts {
    const { token, options } = this.#session;
    if (options.bpffs) this.#pins ??= findPins(token, this.#kind);
    return { pinned: this.#pins?.get(id) ?? [], pids: this.#heldBy(id)?.holders ?? [] };
  }

  /** What /proc shows of an object. Who holds it has been looked at; what nobody holds is looked at by a descriptor. */
  fields(id: number, fd: FdSource): Fields {
    return this.#heldBy(id)?.fields ?? fdinfoOf(typeof fd === "number" ? fd : fd.fd);
  }
}

/** An id for people. On a terminal ids stand below each other. */
export function idText(id: number, { style, output }: Session): string {
  return style.id(output.terminal ? `${id}`.padStart(6) : `${id}`);
}

/** The lines of the names under which an object is pinned. */
export function pinsText(pinned: readonly string[]): string {
  return pinned.map((path) => `\n\tpinned ${safe(path)}`).join("");
}

/** The line of who holds an object, where somebody does. */
export function pidsText(pids: readonly Holder[], { style }: Session): string {
  return pids.length > 0 ? `\n\t${style.dim(`pids ${safe(holdersText(pids))}`)}` : "";
}

/** Who holds an object, in bpftool's JSON; undefined where nobody does. */
export function pidsJson(pids: readonly Holder[]): Writable | undefined {
  return pids.length > 0 ? pids.map(({ pid, comm }) => ({ pid, comm })) : undefined;
}
