import { assert, assertEquals, assertGreater } from "@std/assert";
import { Elf } from "../../elf/mod.ts";
import { parseDirectory } from "../../ffi/kernel_file.ts";
import { readUsdtProbes } from "../../links/usdt.ts";
import { parseUsdtArguments } from "../../links/usdt_args.ts";
import { usdtElf } from "../unit/links/_usdt_elf.ts";
import { random } from "../_random.ts";

/** Where the numbers start: `LINKS_FUZZ_SEED` tries others, `LINKS_FUZZ_ROUNDS` more. */
const SEED = Number(Deno.env.get("LINKS_FUZZ_SEED") ?? 0x57a9);
const ROUNDS = Number(Deno.env.get("LINKS_FUZZ_ROUNDS") ?? 4000);

/** Calls a decoder; tells whether it read the bytes. Anything but a SyntaxError escapes. */
function reads(decode: () => unknown): boolean {
  try {
    decode();
    return true;
  } catch (error) {
    assert(error instanceof SyntaxError, String(error));
    assert(typeof (error as SyntaxError & { offset?: number }).offset === "number", String(error));
    return false;
  }
}

Deno.test("readUsdtProbes() throws nothing but a SyntaxError, whatever the file has", () => {
  const below = random(SEED);
  const texts = ["provider", "name", "-4@%edi 8@16(%rdx,%rcx,8) 4@$5"];
  const sample = usdtElf([{ location: 0x1010, base: 0x2000, semaphore: 0x4008, texts }, {
    location: 0x1020,
    base: 0x2000,
    semaphore: 0,
    texts,
  }]);
  const outcomes = { read: 0, refused: 0 };
  for (let round = 0; round < ROUNDS; round++) {
    const bytes = sample.slice();
    // Mostly the notes, then the headers.
    for (let change = below(6) + 1; change > 0; change--) {
      const at = below(3) === 0 ? below(600) : 1024 + below(180);
      bytes[at] = below(2) === 0 ? below(256) : [0, 1, 0x7f, 0x80, 0xff][below(5)];
    }
    outcomes[reads(() => readUsdtProbes(Elf.parse(bytes))) ? "read" : "refused"]++;
  }
  assertGreater(Math.min(outcomes.read, outcomes.refused), ROUNDS / 50);
});

Deno.test("parseUsdtArguments() throws nothing, and loses no text", () => {
  const below = random(SEED);
  const parts = ["-", "4", "8", "@", "%", "rax", "(", ")", "$", ",", " ", "[", "]", "x0", "sp", "f", "0x", "#", "é"];
  for (let round = 0; round < ROUNDS; round++) {
    const text = Array.from({ length: below(14) }, () => parts[below(parts.length)]).join("");
    for (const machine of ["x86_64", "aarch64"] as const) {
      const found = parseUsdtArguments(text, machine).map((one) => one.text).join("");
      assertEquals(found.replace(/\s/g, ""), text.replace(/\s/g, ""), text);
    }
  }
});

Deno.test("parseDirectory() throws nothing but a SyntaxError", () => {
  const below = random(SEED);
  const outcomes = { read: 0, refused: 0 };
  for (let round = 0; round < ROUNDS; round++) {
    const bytes = new Uint8Array(96);
    const view = new DataView(bytes.buffer);
    for (const at of [0, 32, 64]) {
      view.setUint16(at + 16, 32, true);
      bytes.set([4, 97, 98], at + 18);
    }
    for (let change = below(3); change > 0; change--) bytes[below(96)] = below(256);
    outcomes[reads(() => parseDirectory(bytes.subarray(0, 96 - below(2)))) ? "read" : "refused"]++;
  }
  assertGreater(Math.min(outcomes.read, outcomes.refused), ROUNDS / 20);
});
