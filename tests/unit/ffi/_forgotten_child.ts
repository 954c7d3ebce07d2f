/**
 * Forgets a descriptor, and looks whether the garbage collector closed it. Run with `--v8-flags=--expose-gc`.
 *
 * @module
 */

import { enableLedger, Fd, openFds } from "../../../ffi/fd.ts";
import { FakeKernel } from "../_fake_kernel.ts";

const { gc } = globalThis as unknown as { gc: () => void };
using fake = new FakeKernel();
enableLedger();
const held = Fd.own(fake.newFd());

/** Makes descriptors and forgets them: one that is open, and one that was closed. */
function forget(): { forgotten: number; closed: number } {
  const [forgotten, closed] = [Fd.own(fake.newFd()), Fd.own(fake.newFd())];
  const numbers = { forgotten: forgotten.fd, closed: closed.fd };
  closed.close();
  return numbers;
}

const numbers = forget();
for (let turn = 0; turn < 10; turn++) {
  await new Promise((resolve) => setTimeout(resolve, 5));
  gc();
}
const state = (fd: number): string => {
  const times = fake.closed.filter((closed) => closed === fd).length;
  return times === 0 ? "open" : times === 1 ? "closed once" : `closed ${times} times`;
};
console.log(JSON.stringify({
  forgotten: state(numbers.forgotten),
  closed: state(numbers.closed),
  held: state(held.fd),
  ledger: openFds().length,
}));
