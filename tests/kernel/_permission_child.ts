/**
 * One row of the permission test: becomes somebody with few privileges, asks a token about every call, and makes it.
 * Its argument is a {@link Row} as JSON; it prints a {@link Seen} a call, as one JSON array.
 *
 * @module
 */

import { acquire } from "../../mod.ts";
import { raiseMemlock } from "../../ffi/memlock.ts";
import type { Capability } from "../../tokens/capabilities.ts";
import { dropTo, enterNetworkNamespace } from "../_credentials.ts";
import { allCells } from "./_permission_cells.ts";
import { makeObjects, type Surroundings } from "./_permission_objects.ts";

/** Who makes the calls, and where. */
export interface Row extends Surroundings {
  /** The user; absent for the one who keeps all privileges. */
  readonly uid?: number;
  /** The capabilities that remain. */
  readonly capabilities: readonly Capability[];
}

/** What was foretold and what came. */
export interface Seen {
  /** The call. */
  readonly name: string;
  /** Whether the token allows it. */
  readonly allowed: boolean;
  /** The errno that it foretells, where it does not. */
  readonly errno: number | undefined;
  /** What the kernel answered. */
  readonly answer: string;
}

if (import.meta.main) {
  const row: Row = JSON.parse(Deno.args[0]);
  // What is attached to an interface goes with it.
  enterNetworkNamespace();
  // Where memory counts against a limit, it shall not be what refuses.
  raiseMemlock();
  const objects = makeObjects(row);
  const cells = allCells();
  if (row.uid !== undefined) dropTo(row.uid, row.capabilities);
  const token = acquire(...row.capabilities);
  const seen = cells.map(({ name, request, make }): Seen => {
    const { allowed, errno } = token.check(request);
    let answer: string;
    try {
      answer = make(objects);
    } catch (error) {
      answer = `${error}`;
    }
    return { name, allowed, errno, answer };
  });
  await new Response(JSON.stringify(seen)).body!.pipeTo(Deno.stdout.writable);
}
