import { assert, assertEquals } from "@std/assert";
import { parseTraceLine } from "../../progs/trace_pipe.ts";
import { parseVerifierLog, verifierSteps } from "../../verifier_log.ts";
import { random } from "../_random.ts";

/** Where the numbers start: `PROGS_FUZZ_SEED` tries others. */
const SEED = Number(Deno.env.get("PROGS_FUZZ_SEED") ?? 0xb0f);
const ROUNDS = 3000;

const FOLDER = new URL("../testdata/verifier/", import.meta.url);
const LINES: readonly string[] = [...Deno.readDirSync(FOLDER)].map(({ name }) => name).sort()
  .flatMap((name) => Deno.readTextFileSync(new URL(name, FOLDER)).split("\n"));

Deno.test("parseVerifierLog() takes any mixture of lines, cut anywhere, and counts each step once", () => {
  const next = random(SEED);
  let steps = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const lines = Array.from({ length: next(30) }, () => {
      const line = LINES[next(LINES.length)];
      return next(4) === 0 ? line.slice(next(line.length + 1), next(line.length + 1)) : line;
    });
    const log = lines.join("\n");
    const report = parseVerifierLog(log);
    const found = [...verifierSteps(log)];
    steps += found.length;
    assertEquals(found.length, lines.filter((line) => /^\d+: \([0-9a-f]{2}\) /.test(line)).length);
    assertEquals(report.step?.insn, found.at(-1)?.insn);
    // What it says is what the log says.
    for (const line of report.reason.split("\n")) assert(line === "" || lines.includes(line), line);
    assertEquals(report.insn === undefined || Number.isInteger(report.insn), true);
  }
  assert(steps > ROUNDS);
});

Deno.test("parseVerifierLog() and parseTraceLine() take long lines in no time", () => {
  const long = 200_000;
  const texts = [
    `; ${" @ a:".repeat(long / 5)}`,
    `0: (b7) r0 = 0${" ".repeat(long)}`,
    `0: (b7) r0 = 0 ; ${"R1=".repeat(long / 3)}`,
    `from 1 to 2: ${"R1=x ".repeat(long / 5)}`,
    "1".repeat(long),
    `${" ".repeat(long)}-1`,
    `a${"-1 ".repeat(long / 3)}`,
  ];
  const start = performance.now();
  for (const text of texts) {
    parseVerifierLog(text);
    assertEquals(parseTraceLine(text).line, text);
  }
  assert(performance.now() - start < 20_000, `it took ${performance.now() - start} ms`);
});

Deno.test("parseTraceLine() keeps any line", () => {
  const next = random(SEED + 1);
  const good = "           <...>-1234    (   1200) [001] d..21  1234.567890: bpf_trace_printk: hello: world";
  let read = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const [from, to] = [next(good.length), next(good.length)];
    const line = next(3) === 0 ? good : good.slice(0, from) + good.slice(to);
    const parsed = parseTraceLine(line);
    assertEquals(parsed.line, line);
    assert(line.endsWith(parsed.text));
    if (parsed.pid !== undefined) read++;
  }
  assert(read > ROUNDS / 4);
});
