/**
 * Making each step of some work fail in turn, through the gate to the kernel.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { openFds } from "../../ffi/fd.ts";
import { type Kernel, kernel, swapKernel } from "../../ffi/kernel.ts";
import { errnos } from "../../uapi/errno.gen.ts";

/** Tells the calls that are never made to fail. */
export type Spared = (name: string, args: readonly unknown[]) => boolean;

const HARMLESS: ReadonlySet<string> = new Set(["close", "munmap", "readlink", "sysconf"]);

/** Calls that give up what there is, or that no attaching depends on. */
export const isHarmless: Spared = (name) => HARMLESS.has(name);

/** The kernel, but the nth of its calls fails. */
export class FailingKernel implements Disposable {
  readonly #real: Kernel = kernel();
  calls = 0;
  failed: string | undefined;

  constructor(nth: number, isSpared: Spared = isHarmless) {
    swapKernel(
      new Proxy(this.#real, {
        get: (target, name) => {
          const member: unknown = Reflect.get(target, name, target);
          if (typeof member !== "function") return member;
          return (...args: unknown[]): unknown => {
            if (typeof name !== "string" || isSpared(name, args) || this.calls++ !== nth) {
              return member.apply(target, args);
            }
            this.failed = name;
            return -errnos.ENOMEM;
          };
        },
      }),
    );
  }

  [Symbol.dispose](): void {
    swapKernel(this.#real);
  }
}

/** Makes every step of attaching fail in turn, until none does; gives how many steps there were. */
export function failEach(attach: () => Disposable, isClean: () => boolean = () => true): number {
  const before = openFds().length;
  for (let nth = 0;; nth++) {
    assert(nth < 100, "attaching never ends");
    let attached: Disposable | undefined;
    let failed: string | undefined;
    {
      using failing = new FailingKernel(nth);
      try {
        attached = attach();
      } catch {
        // As it should.
      }
      failed = failing.failed;
    }
    if (failed === undefined) {
      assert(attached !== undefined, "attaching fails although no step of it does");
      attached[Symbol.dispose]();
      assertEquals([openFds().length, isClean()], [before, true], "after it was closed");
      return nth;
    }
    // A step whose failure changes nothing, such as one that only asks.
    attached?.[Symbol.dispose]();
    assertEquals([openFds().length, isClean()], [before, true], `after step ${nth}, ${failed}, failed`);
  }
}
