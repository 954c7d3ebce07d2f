/**
 * A program that counts its runs: to see that one runs while it is attached, and not after.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { asm, BpfMap, type Fd, progLoad, type ProgLoadOptions, type ProgType, u64 } from "../../mod.ts";
import { SLOWNESS } from "../_kernel_test.ts";
import { eventually, type RootToken } from "./_objects.ts";

/** What is attached: a link, an attachment without one, or several. */
interface Closeable {
  readonly closed: boolean;
  close(): void;
}

/** A program that counts its runs, in an array of one element. */
export class Counter implements Disposable {
  readonly prog: Fd;
  readonly #runs: BpfMap<number, bigint, "get" | "set">;
  readonly #token: RootToken;

  constructor(token: RootToken, type: ProgType, answer: number, more: Partial<ProgLoadOptions> = {}, head = "") {
    this.#token = token;
    const runs = BpfMap.create(token, { type: "array", value: u64, maxEntries: 1 });
    this.#runs = runs;
    try {
      this.prog = progLoad(token, {
        type,
        license: "GPL",
        insns: asm`
          ${head}
          *(u32 *)(r10 -4) = 0
          r1 = map_fd ${runs} ll
          r2 = r10
          r2 += -4
          call map_lookup_elem
          if r0 == 0 goto out
          r1 = 1
          lock *(u64 *)(r0 +0) += r1
        out:
          r0 = ${answer}
          exit
        `,
        ...more,
      });
    } catch (error) {
      runs.close();
      throw error;
    }
  }

  get runs(): number {
    return Number(this.#runs.get(0));
  }

  /** Asserts that it runs while it is attached, and not once the attachment is closed. */
  async seen(attachment: Closeable, provoke: () => unknown): Promise<void> {
    const before = this.runs;
    await provoke();
    assert(await eventually(() => this.runs > before), "the program did not run");
    attachment.close();
    attachment.close();
    assertEquals(attachment.closed, true);
    // What was on its way may still arrive.
    await new Promise((resolve) => setTimeout(resolve, 20 * SLOWNESS));
    const after = this.runs;
    await provoke();
    await new Promise((resolve) => setTimeout(resolve, 20 * SLOWNESS));
    assertEquals(this.runs, after, "the program ran after it was detached");
  }

  [Symbol.dispose](): void {
    this.prog.close();
    this.#runs.close();
    assertEquals(this.#token.revoked, false);
  }
}
