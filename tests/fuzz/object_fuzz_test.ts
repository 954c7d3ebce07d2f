/**
 * Objects that were tampered with: whatever is in them, only errors that name a place come out, in bounded time.
 *
 * @module
 */

import { assert, assertEquals, assertGreater } from "@std/assert";
import { NotSupportedError } from "../../errors.ts";
import { CoreAdapter } from "../../object/_core.ts";
import { linkAll } from "../../object/_loader.ts";
import { Modules } from "../../object/_modules.ts";
import { objectNeeds } from "../../object/needs.ts";
import { parseObject } from "../../object/parse.ts";
import { Variables } from "../../object/variables.ts";
import { Btf } from "../../btf/mod.ts";
import { random } from "../_random.ts";

/** How long it runs, and from which seed. */
const MILLISECONDS = Number(Deno.env.get("OBJECT_FUZZ_MS") ?? 4000);
const SEED = Number(Deno.env.get("OBJECT_FUZZ_SEED") ?? 0x0b1ec7);
/** What one object may take, in milliseconds: these are some kilobytes. */
const LONGEST = 2000;

const FOLDER = new URL("../testdata/objects/", import.meta.url);

const WORDS = [0, 1, 2, 7, 8, 0x7f, 0xff, 0xfff1, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xfffffff8, 0xffffffff];

/** An object with some bytes changed, cut off or moved. */
function mutated(original: Uint8Array, next: (below: number) => number): Uint8Array<ArrayBuffer> {
  let bytes = new Uint8Array(original);
  const view = (): DataView => new DataView(bytes.buffer);
  // The headers of sections are at the end; what they say decides how all else is read.
  const tables = Number(new DataView(original.buffer, original.byteOffset).getBigUint64(40, true));
  const place = (size: number): number => {
    const end = bytes.length - size;
    if (end <= 0) return 0;
    return next(3) === 0 ? Math.min(end, tables + next(Math.max(1, end - tables))) : next(end);
  };
  for (let count = 1 + next(6); count > 0; count--) {
    switch (next(8)) {
      case 0:
        bytes = bytes.slice(0, next(bytes.length) + 1);
        break;
      case 1:
      case 2:
        bytes[place(1)] = next(256);
        break;
      case 3:
      case 4:
        if (bytes.length > 4) view().setUint32(place(4) & ~3, WORDS[next(WORDS.length)], true);
        break;
      case 5:
        if (bytes.length > 8) view().setBigUint64(place(8) & ~7, BigInt(WORDS[next(WORDS.length)]), true);
        break;
      case 6: {
        const length = next(64) + 1;
        bytes.copyWithin(place(length), place(length), place(length) + length);
        break;
      }
      case 7:
        bytes[place(1)] ^= 1 << next(8);
        break;
    }
  }
  return bytes;
}

/** Whether an error is one that hostile bytes may give. */
function checkError(error: unknown, context: string): void {
  if (!(error instanceof SyntaxError)) throw new Error(context, { cause: error });
  const { offset } = error as { offset?: unknown };
  assert("section" in error && typeof offset === "number" && offset >= 0, `${context}: ${error.message}`);
  assert(/^Cannot read /.test(error.message), error.message);
}

Deno.test("parseObject() gives a description of tampered objects, or a SyntaxError with a place", () => {
  const next = random(SEED);
  const names = [...Deno.readDirSync(FOLDER)].map(({ name }) => name).filter((name) => name.endsWith(".o")).sort();
  const originals = names.map((name) => Deno.readFileSync(new URL(name, FOLDER)));
  assertGreater(originals.length, 10);
  let kernel: Btf | undefined;
  try {
    kernel = Btf.parse(Deno.readFileSync("/sys/kernel/btf/vmlinux"));
  } catch {
    // Instructions are not adapted then.
  }
  const end = performance.now() + MILLISECONDS;
  let [tried, read, linked] = [0, 0, 0];
  for (; performance.now() < end; tried++) {
    const which = tried % originals.length;
    const bytes = mutated(originals[which], next);
    const context = `object ${tried} of seed ${SEED}, made of ${names[which]}`;
    const start = performance.now();
    try {
      const parsed = parseObject(bytes, { legacyMaps: true });
      read++;
      const { spec } = parsed;
      for (const map of Object.values(spec.maps)) {
        if (map.data !== undefined) assertEquals(typeof new Variables(spec.btf, map).get(), "object");
      }
      linked += linkTampered(parsed, kernel, context);
    } catch (error) {
      checkError(error, context);
    }
    assert(performance.now() - start < LONGEST, `${context} takes ${performance.now() - start} ms`);
  }
  assertGreater(tried, 50);
  assertGreater(read, tried / 20);
  assertGreater(linked, 0);
});

/** Goes on with what could be read: this says what is wrong by other errors, too. */
function linkTampered(parsed: ReturnType<typeof parseObject>, kernel: Btf | undefined, context: string): number {
  const { spec } = parsed;
  const programs = Object.values(spec.programs);
  try {
    objectNeeds(spec);
    if (kernel === undefined || spec.byteOrder === "big") return 0;
    return linkAll(parsed, programs, new CoreAdapter(spec, new Modules(), kernel)).length;
  } catch (error) {
    const isExpected = error instanceof SyntaxError || error instanceof NotSupportedError ||
      (error instanceof RangeError && error.message.startsWith("Cannot link"));
    if (!isExpected) throw new Error(context, { cause: error });
    return 0;
  }
}
