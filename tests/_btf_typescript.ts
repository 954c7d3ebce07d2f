/**
 * Modules that printTypeScript() makes, checked and imported, and their codecs beside those of codecFrom().
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { type Btf, type Codec, printTypeScript } from "../btf/mod.ts";
import { SLOWNESS } from "./_kernel_test.ts";
import { run } from "./_tools.ts";

const CODEC = new URL("../codec.ts", import.meta.url).href;

/** The module that printTypeScript() makes: its types are checked, and it is imported. */
export async function made(btf: Btf, ids: readonly number[], uses: string): Promise<Record<string, Codec<unknown>>> {
  const folder = await Deno.makeTempDir();
  try {
    const file = `${folder}/types.ts`;
    await Deno.writeTextFile(file, printTypeScript(btf, ids, { from: CODEC }) + uses);
    const config = new URL("../deno.json", import.meta.url).pathname;
    const { code, stderr } = await run(Deno.execPath(), ["check", "--no-lock", "--config", config, file], {
      timeoutMs: 60_000 * SLOWNESS,
    });
    assertEquals(code, 0, stderr);
    return await import(`file://${file}`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Reads the same bytes by both codecs, and writes what was read. */
export function compare(ours: Codec<unknown>, theirs: Codec<unknown>, bytes: Uint8Array<ArrayBuffer>): void {
  assertEquals([ours.name, ours.size, ours.alignment], [theirs.name, theirs.size, theirs.alignment]);
  const view = new DataView(bytes.buffer);
  assertEquals(JSON.stringify(ours.decode(view, 0), bigints), JSON.stringify(theirs.decode(view, 0), bigints));
}

function bigints(_: string, value: unknown): unknown {
  return typeof value === "bigint" ? `${value}n` : value;
}

/** Bytes of a size: the same throughout, and all different. */
export function patterns(size: number): Uint8Array<ArrayBuffer>[] {
  return [0, 0xff, 0x5a].map((byte) => new Uint8Array(size).fill(byte))
    .concat(Uint8Array.from({ length: size }, (_, index) => (index * 37 + 11) & 0x7f));
}
