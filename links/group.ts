/**
 * Several attachments as one.
 *
 * @module
 */

import type { AnyToken, Handle } from "../tokens/token.ts";
import { Afterwards } from "./_afterwards.ts";
import type { Attachment } from "./link.ts";

/** Attachments that were made together, and are closed together. */
export class AttachmentGroup implements Disposable, Handle {
  /** The attachments, in the order of their places. */
  readonly attachments: readonly Attachment[];
  readonly #afterwards: Afterwards | undefined;

  /**
   * Takes over some attachments.
   *
   * @param token The token that attached them.
   * @param attachments The attachments.
   * @param afterwards What is done once they are closed: what was made for them goes.
   */
  constructor(token: AnyToken, attachments: readonly Attachment[], afterwards?: () => void) {
    this.attachments = attachments;
    if (afterwards === undefined) return;
    this.#afterwards = new Afterwards(this, attachments.map(({ descriptor }) => descriptor), afterwards);
    token.adopt(this);
  }

  /** Whether all are closed. */
  get closed(): boolean {
    return this.attachments.every(({ closed }) => closed);
  }

  /**
   * Closes all; a second call does nothing.
   *
   * @param reason What a later use is told, after "Cannot use link:".
   */
  close(reason?: string): void {
    for (const attachment of this.attachments) attachment.close(reason);
    this.#afterwards?.run();
  }

  /** Closes all. */
  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * Attaches to some places, one after the other. Where one cannot be, those before it are closed again.
 *
 * @param places The places.
 * @param attach Attaches to one.
 * @returns The attachments.
 */
export function attachEach<T>(places: Iterable<T>, attach: (place: T) => Attachment): Attachment[] {
  const attachments: Attachment[] = [];
  try {
    for (const place of places) attachments.push(attach(place));
    return attachments;
  } catch (error) {
    for (const attachment of attachments) attachment.close();
    throw error;
  }
}
