/**
 * Revokes a token whose derived tokens are gone while their handles are not. Run with `--v8-flags=--expose-gc`.
 *
 * @module
 */

import { grantToken, type PermissionToken } from "../../../tokens/token.ts";
import { environment } from "./_environments.ts";

class Handle {
  closed = false;
  close(): void {
    this.closed = true;
  }
}

const { gc } = globalThis as unknown as { gc: () => void };
const token = grantToken(environment(), ["CAP_BPF"]);

/** A handle that was opened with a derived token which nobody holds any more. */
function openWithDerived(from: PermissionToken<"CAP_BPF">): { handle: Handle; derived: WeakRef<object> } {
  const derived = from.only({ commands: ["map_create"] });
  return { handle: derived.adopt(new Handle()), derived: new WeakRef(derived) };
}

const { handle, derived } = openWithDerived(token);
const forgotten = new WeakRef(token.adopt(new Handle()));
// References that were made or read in this turn of the event loop are kept until its end.
for (let turn = 0; turn < 5; turn++) {
  await new Promise((resolve) => setTimeout(resolve, 1));
  gc();
}
const gone = { derived: derived.deref() === undefined, forgotten: forgotten.deref() === undefined };
token.revoke();
console.log(JSON.stringify({ ...gone, closed: handle.closed }));
