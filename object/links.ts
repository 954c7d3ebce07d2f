/**
 * What an object has attached.
 *
 * @module
 */

import type { AttachmentGroup, IterLink, Link, UnlinkedAttachment } from "../links/mod.ts";
import type { AnyToken, Handle } from "../tokens/token.ts";
import { emptyRecord } from "./_malformed.ts";

/** Something that is attached: most programs by a link; see what attaches each. */
export type ObjectLink = Disposable & {
  /** Whether it is detached. */
  readonly closed: boolean;
  /** Detaches it. */
  close(reason?: string): void;
};

/** The kinds of attachments that programs have, for whoever wants to tell them apart by `instanceof`. */
export type AnyLink = Link | IterLink | AttachmentGroup | UnlinkedAttachment;

/** The programs and structs of an object that are attached, until its `using` ends. */
export class ObjectLinks implements Disposable, Handle {
  /** The attachments by the names of their programs and struct_ops maps. */
  readonly links: Readonly<Record<string, ObjectLink>>;
  /** The programs that were not attached: neither their sections nor the caller say where. */
  readonly left: readonly string[];
  #closed = false;

  /**
   * Takes over some attachments.
   *
   * @param token The token that attached them.
   * @param links The attachments by name.
   * @param left The names of programs that were not attached.
   */
  constructor(token: AnyToken, links: ReadonlyMap<string, ObjectLink>, left: readonly string[]) {
    const byName = emptyRecord<ObjectLink>();
    for (const [name, link] of links) byName[name] = link;
    this.links = byName;
    this.left = left;
    token.adopt(this);
  }

  /** The attachment of a program or struct_ops map; undefined where it is not attached. */
  get(name: string): ObjectLink | undefined {
    return this.links[name];
  }

  /** Whether all are detached. */
  get closed(): boolean {
    return this.#closed;
  }

  /**
   * Detaches all, the last one first; a second call does nothing.
   *
   * @param reason What a later use is told.
   */
  close(reason?: string): void {
    if (this.#closed) return;
    this.#closed = true;
    using stack = new DisposableStack();
    // All are closed, whatever one of them throws.
    for (const link of Object.values(this.links)) stack.defer(() => link.close(reason));
  }

  /** Detaches all. */
  [Symbol.dispose](): void {
    this.close();
  }
}
