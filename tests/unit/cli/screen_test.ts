import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import fc from "fast-check";
import { bar, printable, type Row, Screen, tableLines } from "../../../cli/_screen.ts";

const row = (more: Partial<Row> = {}): Row => ({ comm: "deno", pid: 1234, syscall: "read", rate: 100, ...more });

/** What a piece of code writes to the standard output. */
function written(code: () => void): string {
  const { writeSync } = Deno.stdout;
  const chunks: Uint8Array[] = [];
  Deno.stdout.writeSync = (bytes) => {
    // As much as a pipe takes at a time.
    chunks.push(bytes.slice(0, 7));
    return Math.min(bytes.length, 7);
  };
  try {
    code();
  } finally {
    Deno.stdout.writeSync = writeSync;
  }
  const all = new Uint8Array(chunks.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return new TextDecoder().decode(all);
}

Deno.test("bar() is as long as the fraction says, in eighths of a character", () => {
  assertEquals([0, 0.5, 1].map((fraction) => bar(fraction, 4)), ["", "██", "████"]);
  assertEquals([1, 2, 3, 7, 8, 9].map((eighths) => bar(eighths / 16, 2)), ["▏", "▎", "▍", "▉", "█", "█▏"]);
  assertEquals([bar(2, 3), bar(-1, 3), bar(0.5, 0), bar(1, 0)], ["███", "", "", ""]);
  fc.assert(
    fc.property(fc.double({ min: -1, max: 2, noNaN: true }), fc.nat(100), (fraction, width) => {
      assertLessOrEqual([...bar(fraction, width)].length, width);
    }),
    { seed: 1 },
  );
});

Deno.test("printable() takes what would change the terminal out of names", () => {
  assertEquals(printable("a\x1b[2Jb\n\x7f\x9b"), "a?[2Jb???");
  assertEquals(printable("naïve ✓"), "naïve ✓");
});

Deno.test("tableLines() has a title, a head and a line for each row, none wider than asked", () => {
  const lines = tableLines([row({ rate: 2000 }), row({ rate: 5, comm: "x" })], "the title", 80);
  assertEquals(lines.length, 4);
  assertEquals(lines[0], "the title");
  assertEquals(lines[1], "PROCESS               PID SYSCALL                   CALLS/S");
  assertEquals(lines[2], `deno                 1234 read                         2000 ${"█".repeat(19)}`);
  assertEquals(lines[3], "x                    1234 read                          5.0");
  assertEquals(tableLines([], "nothing", 80).length, 2);
});

Deno.test("tableLines() cuts long names, and lets none of them out of its column", () => {
  const [, , line] = tableLines([row({ comm: "a\tname that is too long", syscall: "s".repeat(40) })], "", 80);
  assert(line.includes(`${"s".repeat(21)}…`));
  fc.assert(
    fc.property(fc.string(), fc.string(), fc.nat(1e7), fc.nat(200), (comm, syscall, rate, width) => {
      const [, , text] = tableLines([row({ comm, syscall, rate })], "", width);
      // deno-lint-ignore no-control-regex
      assert(!/[\u0000-\u001f\u007f-\u009f]/.test(text));
      assertLessOrEqual(text.length, Math.max(width, 61));
    }),
    { seed: 1 },
  );
});

Deno.test("Screen prints plainly where there is no terminal", () => {
  const text = written(() => {
    using screen = new Screen(false);
    assertEquals(screen.size, { columns: 80, rows: Infinity });
    screen.table(["title", "row"]);
    screen.line("a line");
    screen.table(["title", "other"]);
  });
  assertEquals(text, "title\nrow\n\na line\ntitle\nother\n\n");
});

Deno.test("Screen redraws its table in place, below the lines, and gives the cursor back", () => {
  const { consoleSize } = Deno;
  Deno.consoleSize = () => ({ columns: 6, rows: 4 });
  try {
    const text = written(() => {
      using screen = new Screen(true);
      screen.table(["one", "two"]);
      screen.line("a long line");
      screen.table(["1", "2", "3", "4", "5"]);
      screen.table(["end"]);
    });
    assertEquals(
      text,
      "\x1b[?25l" +
        "\x1b[Jone\ntwo\n" +
        "\x1b[2F\x1b[Ja long\none\ntwo\n" +
        // One line less than the terminal has, so that it does not scroll.
        "\x1b[2F\x1b[J1\n2\n3\n" +
        "\x1b[3F\x1b[Jend\n" +
        "\x1b[?25h",
    );
  } finally {
    Deno.consoleSize = consoleSize;
  }
});

Deno.test("Screen prints a line before there is a table", () => {
  const { consoleSize } = Deno;
  Deno.consoleSize = () => ({ columns: 80, rows: 24 });
  try {
    const text = written(() => {
      using screen = new Screen(true);
      screen.line("first");
      screen.table(["table"]);
    });
    assertEquals(text, "\x1b[?25l\x1b[Jfirst\n\x1b[Jtable\n\x1b[?25h");
  } finally {
    Deno.consoleSize = consoleSize;
  }
});
