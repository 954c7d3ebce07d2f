import { assertEquals, assertThrows } from "@std/assert";
import { splitLine } from "../../../cli/batch.ts";
import { parseBytes } from "../../../cli/_bytes.ts";
import { hexBytes, RawJson, toJsonV1, writeJson } from "../../../cli/_json.ts";
import { parseOptions } from "../../../cli/_options.ts";
import { CommandError, exitCodeOf, isPrefix, parseNumber, UsageError, Words } from "../../../cli/_words.ts";
import { bpf } from "../../../cli/main.ts";

Deno.test("parseOptions() takes options anywhere, and leaves words and numbers alone", () => {
  const parsed = (...args: string[]): unknown => {
    const { options: { format, pretty, bpffs, noMount, baseBtf }, words } = parseOptions(args);
    return [format, pretty, bpffs, noMount, baseBtf, words];
  };
  assertEquals(parsed("prog", "show"), ["text", false, false, false, undefined, ["prog", "show"]]);
  assertEquals(parsed("-jp", "net"), ["json", true, false, false, undefined, ["net"]]);
  assertEquals(parsed("-p", "net"), ["json", true, false, false, undefined, ["net"]]);
  assertEquals(parsed("prog", "--bpffs"), ["text", false, true, false, undefined, ["prog"]]);
  assertEquals(parsed("--json=v1", "-n", "map"), ["v1", false, false, true, undefined, ["map"]]);
  assertEquals(parsed("btf", "dump", "id", "7", "-B", "/x"), ["text", false, false, false, "/x", [
    "btf",
    "dump",
    "id",
    "7",
  ]]);
  assertEquals(parsed("batch", "file", "-"), ["text", false, false, false, undefined, ["batch", "file", "-"]]);
  assertEquals(parsed("map", "show", "id", "-1"), ["text", false, false, false, undefined, [
    "map",
    "show",
    "id",
    "-1",
  ]]);
  assertEquals(parsed("top", "--seconds", "3"), ["text", false, false, false, undefined, ["top", "--seconds", "3"]]);
  assertEquals(parsed("map", "--", "-j"), ["text", false, false, false, undefined, ["map", "-j"]]);
  assertThrows(() => parseOptions(["--json=v2"]), UsageError);
  assertThrows(() => parseOptions(["--frob"]), UsageError);
});

Deno.test("Words are taken one by one, shortened as far as they are clear", () => {
  const words = new Words(["pin", "0x10", "x"]);
  assertEquals([words.accept("pinned"), words.number("a number"), words.left], [true, 16, 1]);
  assertThrows(() => words.end(), CommandError, "unexpected argument 'x'");
  assertThrows(() => words.expect("key"), CommandError, "expected 'key', got: 'x'?");
  assertEquals([isPrefix("", "prog"), isPrefix("p", "prog"), isPrefix("progs", "prog"), isPrefix(undefined, "prog")], [
    false,
    true,
    false,
    false,
  ]);
  const numbers = ["0", "10", "0x1F", "010", "-3", "+4", "1e3", "", "0x", "9".repeat(20)];
  assertEquals(numbers.map(parseNumber), [0, 10, 31, 8, -3, 4, undefined, undefined, undefined, undefined]);
  assertEquals([2, 17, 524].map(exitCodeOf), [254, 239, 244]);
});

Deno.test("parseBytes() takes numbers of any base, or hexadecimal ones after hex", () => {
  assertEquals([...parseBytes(new Words(["0x20", "196", "0267", "0"]), 4, "key")], [32, 196, 183, 0]);
  assertEquals([...parseBytes(new Words(["hex", "20", "c4", "0xb7", "00"]), 4, "key")], [32, 196, 183, 0]);
  for (const words of [["1"], ["1", "x"], ["1", "256"], ["hex", "1", "zz"], ["1", "-1"]]) {
    assertThrows(() => parseBytes(new Words(words), 2, "key"), CommandError);
  }
});

Deno.test("splitLine() keeps what stands in quotes together, and passes over comments", () => {
  assertEquals(splitLine(`map update name 'a b' key "1 2" # three`), ["map", "update", "name", "a b", "key", "1 2"]);
  assertEquals([splitLine("  # nothing"), splitLine(""), splitLine("a#b ''")], [[], [], ["a#b", ""]]);
  assertThrows(() => splitLine("map 'show"), CommandError, "a quotation mark is missing");
});

Deno.test("writeJson() writes 64-bit numbers digit by digit, on one line or on many", () => {
  const value = { a: 1n << 63n, b: [], c: [1, { d: null }], e: undefined, f: new RawJson('{"g":9223372036854775807}') };
  assertEquals(writeJson(value), '{"a":9223372036854775808,"b":[],"c":[1,{"d":null}],"f":{"g":9223372036854775807}}');
  assertEquals(
    writeJson({ c: [{ d: 1 }], f: new RawJson('{"g":9223372036854775807,"h":"1234567890123456789"}') }, true),
    '{\n    "c": [{\n            "d": 1\n        }\n    ],\n    "f": {\n        "g": 9223372036854775807,\n        "h": "1234567890123456789"\n    }\n}',
  );
  assertEquals(hexBytes(new Uint8Array([0, 255])), ["0x00", "0xff"]);
  assertEquals(
    toJsonV1({ a: 1n, b: new Uint8Array([1, 255]), c: new Map([["k", 2n]]), d: undefined, e: NaN, f: [true, null] }),
    { a: "1", b: "01ff", c: [["k", "2"]], e: "NaN", f: [true, null] },
  );
});

Deno.test("bpf version is that of the package", async () => {
  let out = "";
  const output = { out: (text: string) => void (out += text), err: () => {}, terminal: false, colours: false };
  assertEquals(await bpf(["-j", "version"], output), 0);
  const { version } = JSON.parse(await Deno.readTextFile(new URL("../../../deno.json", import.meta.url)));
  assertEquals(JSON.parse(out).version, version);
});
