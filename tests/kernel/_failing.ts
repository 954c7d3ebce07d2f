/**
 * Making each step of some work fail in turn, through the gate to the kernel.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { openFds } from "../../ffi/fd.ts";
import { type Kernel, kernel, swapKernel } from "../../ffi/kernel.ts";
import { errnos } from "../../uapi/errno.gen.ts";

/** Calls that give up what there is, or that no attaching depends on: they are not made to fail. */
export const HARMLESS: ReadonlySet<string> = new Set(["close", "munmap", "readlink", "sysconf"]);

/** The kernel, but the nth of its calls fails. */
export class FailingKernel implements Disposable {
  readonly #real: Kernel = kernel();
  calls = 0;
  failed: string | undefined;

  constructor(nth: number, harmless: ReadonlySet<string> = HARMLESS) {
    swapKernel(
      new Proxy(this.#real, {
        get: (target, name) => {
          const member: unknown = Reflect.get(target, name, target);
          if (typeof member !== "function") return member;
          return (...args: unknown[]): unknown => {
            if (typeof name !== "string" || harmless.has(name) || this.calls++ !== nth) {
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
