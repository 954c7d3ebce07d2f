/**
 * What remains to be done once an attachment's descriptors are closed, also where the attachment was forgotten.
 *
 * @module
 */

import type { Fd } from "../ffi/fd.ts";

const forgotten = new FinalizationRegistry<() => void>((run) => run());

/** Work that is done once, after some descriptors are closed. */
export class Afterwards {
  readonly #run: () => void;

  /**
   * Remembers the work, and does it when the owner is collected.
   *
   * @param owner What owns the descriptors. The work must not hold it.
   * @param descriptors What is closed first.
   * @param work The work.
   */
  constructor(owner: object, descriptors: readonly Fd[], work: () => void) {
    let done = false;
    this.#run = () => {
      for (const descriptor of descriptors) descriptor.close();
      if (done) return;
      done = true;
      work();
    };
    forgotten.register(owner, this.#run, this);
  }

  /** Closes the descriptors, and does the work unless it is done. */
  run(): void {
    forgotten.unregister(this);
    this.#run();
  }
}
