// These tests hold for the real JSR packages too: `deno task test:jsr` runs them there.
import * as std from "@std/assert";
import {
  assertAlmostEquals,
  assertArrayIncludes,
  assertEquals,
  assertGreater,
  assertGreaterOrEqual,
  assertInstanceOf,
  AssertionError,
  assertLess,
  assertLessOrEqual,
  assertMatch,
  assertNotEquals,
  assertObjectMatch,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { parseArgs } from "@std/cli";
import { parseArgs as sameParseArgs } from "@std/cli/parse-args";
import { decodeBase64, decodeHex, encodeBase64, encodeHex } from "@std/encoding";
import { decodeHex as sameDecodeHex } from "@std/encoding/hex";

function refuses(fn: () => void): void {
  assertThrows(fn, AssertionError);
}

Deno.test("assert() refuses falsy values with its message", () => {
  std.assert(1);
  const error = assertThrows(() => std.assert(0, "zero"), AssertionError, "zero");
  assertInstanceOf(error, Error);
  std.assertFalse(0);
  refuses(() => std.assertFalse("a"));
  std.assertExists(0);
  refuses(() => std.assertExists(undefined));
});

Deno.test("assertEquals() compares deeply", () => {
  assertEquals({ a: [1n, { b: new Uint8Array([1, 2]) }] }, { a: [1n, { b: new Uint8Array([1, 2]) }] });
  assertEquals(new Map([["a", new Set([1])]]), new Map([["a", new Set([1])]]));
  assertEquals(new Uint8Array([9, 1, 2]).subarray(1), new Uint8Array([1, 2]));
  assertEquals(NaN, NaN);
  refuses(() => assertEquals(new Uint8Array([1]), new Uint8Array([2])));
  refuses(() => assertEquals<unknown>(new Uint8Array([1]), new Uint16Array([1])));
  refuses(() => assertEquals<unknown>(1, 1n));
  refuses(() => assertEquals(new Map([["a", 1]]), new Map([["a", 2]])));
  refuses(() => assertEquals<unknown>({ a: undefined }, {}));
  refuses(() => assertEquals<unknown>([1, 2], [2, 1]));
});

Deno.test("assertEquals() ends its message with the caller's words", () => {
  const error = assertThrows(() => assertEquals(1, 2, "the sum"), AssertionError, "Values are not equal: the sum");
  assertStringIncludes(error.message, "2");
});

Deno.test("assertNotEquals() refuses deeply equal values", () => {
  assertNotEquals({ a: 1 }, { a: 2 });
  refuses(() => assertNotEquals({ a: 1 }, { a: 1 }));
});

Deno.test("assertStrictEquals() compares by identity", () => {
  const one = {};
  assertStrictEquals(one, one);
  refuses(() => assertStrictEquals({}, {}));
});

Deno.test("assertThrows() checks class and message, and gives the error", () => {
  const error = assertThrows(
    () => {
      throw new RangeError("Cannot go: too far");
    },
    RangeError,
    "too far",
  );
  assertEquals(error.message, "Cannot go: too far");
  refuses(() => assertThrows(() => {}));
  refuses(() =>
    assertThrows(() => {
      throw new TypeError("a");
    }, RangeError)
  );
  refuses(() =>
    assertThrows(
      () => {
        throw new TypeError("a");
      },
      TypeError,
      "b",
    )
  );
});

Deno.test("assertRejects() checks class and message, and gives the error", async () => {
  const error = await assertRejects(() => Promise.reject(new TypeError("abc")), TypeError, "b");
  assertEquals(error.message, "abc");
  await assertRejects(() => assertRejects(() => Promise.resolve(1)), AssertionError);
  await assertRejects(() => assertRejects(() => Promise.reject(new TypeError("a")), RangeError), AssertionError);
  await assertRejects(
    () =>
      assertRejects(() => {
        throw new TypeError("not a promise");
      }),
    AssertionError,
  );
});

Deno.test("the comparing assertions refuse what does not compare", () => {
  assertGreater(2, 1);
  refuses(() => assertGreater(1, 1));
  assertGreaterOrEqual(1n, 1n);
  refuses(() => assertGreaterOrEqual(0, 1));
  assertLess(1, 2);
  refuses(() => assertLess(1, 1));
  assertLessOrEqual(1, 1);
  refuses(() => assertLessOrEqual(2, 1));
  assertAlmostEquals(0.1 + 0.2, 0.3);
  assertAlmostEquals(10, 11, 1);
  refuses(() => assertAlmostEquals(10, 12, 1));
});

Deno.test("the searching assertions refuse what they do not find", () => {
  assertStringIncludes("hello", "ell");
  refuses(() => assertStringIncludes("hello", "bye"));
  assertMatch("abc", /b/);
  refuses(() => assertMatch("abc", /d/));
  assertArrayIncludes([{ a: 1 }, { a: 2 }], [{ a: 2 }]);
  refuses(() => assertArrayIncludes([1, 2], [3]));
  assertObjectMatch({ a: { b: 1, c: 2 }, d: [1, 2] }, { a: { b: 1 } });
  refuses(() => assertObjectMatch({ a: { b: 1 } }, { a: { b: 2 } }));
  refuses(() => assertObjectMatch({ a: 1 }, { b: 1 }));
  assertInstanceOf(new TypeError("a"), Error);
  refuses(() => assertInstanceOf({}, Map));
  refuses(() => std.fail("now"));
  refuses(() => std.unreachable());
});

Deno.test("parseArgs() reads booleans, strings and the rest", () => {
  const args = parseArgs(["map", "--json", "--type", "12", "-v", "x", "7"], {
    boolean: ["json", "verbose"],
    string: ["type"],
    alias: { verbose: "v" },
  });
  const json: boolean = args.json;
  const type: string | undefined = args.type;
  assertEquals(json, true);
  assertEquals(type, "12");
  assertEquals(args.verbose, true);
  assertEquals(args.v, true);
  assertEquals(args._, ["map", "x", 7]);
});

Deno.test("parseArgs() gives false, the default or undefined for what is not given", () => {
  const args = parseArgs([], { boolean: ["json"], string: ["type", "name"], default: { name: "x", depth: 3 } });
  assertEquals(args.json, false);
  assertEquals(args.type, undefined);
  assertEquals(args.name, "x");
  assertEquals(args.depth, 3);
  assertEquals(args._, []);
});

Deno.test("parseArgs() collects, negates and splits at --", () => {
  const args = parseArgs(["--pin=a", "--pin", "b", "--no-color", "--", "-x", "y"], {
    boolean: ["color"],
    string: ["pin"],
    collect: ["pin"],
    negatable: ["color"],
    default: { color: true },
    "--": true,
  });
  const pins: string[] = args.pin;
  const behind: string[] = args["--"];
  assertEquals(pins, ["a", "b"]);
  assertEquals(args.color, false);
  assertEquals(behind, ["-x", "y"]);
  assertEquals(parseArgs(["--", "-x"])._, ["-x"]);
  assertEquals(parseArgs([], { string: ["pin"], collect: ["pin"] }).pin, []);
});

Deno.test("parseArgs() guesses the kind of an option it does not know", () => {
  assertEquals(parseArgs(["--a", "1", "--b", "--c=x", "--d", "0x10", "--no-e", "--f", "true"]), {
    _: [],
    a: 1,
    b: true,
    c: "x",
    d: 16,
    "no-e": true,
    f: "true",
  });
  assertEquals(parseArgs(["-n5", "-abc", "-k=v", "-l", "w"]), {
    _: [],
    n: 5,
    a: true,
    b: true,
    c: true,
    k: "v",
    l: "w",
  });
  assertEquals(parseArgs(["--a.b=1", "--a.c", "x"]), { _: [], a: { b: 1, c: "x" } });
  assertEquals(parseArgs(["--x", "--s"], { string: "s" }), { _: [], x: true, s: "" });
  assertEquals(parseArgs(["--x", "y"], { boolean: true }), { _: ["y"], x: true });
  assertEquals(parseArgs(["--b=false", "--c", "false"], { boolean: ["b", "c"] }), { _: [], b: false, c: false });
});

Deno.test("parseArgs() tells of unknown options and stops early", () => {
  const seen: string[] = [];
  const args = parseArgs(["--bad=1", "--good", "w"], {
    boolean: ["good"],
    unknown: (arg) => {
      seen.push(arg);
      return false;
    },
  });
  assertEquals(seen, ["--bad=1", "w"]);
  assertEquals(args, { _: [], good: true });
  assertEquals(parseArgs(["-a", "run", "--b"], { stopEarly: true, boolean: ["a"] }), { _: ["run", "--b"], a: true });
  assertStrictEquals(sameParseArgs, parseArgs);
});

Deno.test("encodeHex() and decodeHex() are inverse", () => {
  assertEquals(encodeHex(new Uint8Array([0, 1, 255])), "0001ff");
  assertEquals(encodeHex("ab"), "6162");
  assertEquals(encodeHex(new Uint8Array([7]).buffer), "07");
  assertEquals(decodeHex("0001fF"), new Uint8Array([0, 1, 255]));
  assertThrows(() => decodeHex("zz"), TypeError);
  assertThrows(() => decodeHex("abc"));
  assertStrictEquals(sameDecodeHex, decodeHex);
});

Deno.test("encodeBase64() and decodeBase64() are inverse", () => {
  assertEquals(encodeBase64(new Uint8Array([1])), "AQ==");
  assertEquals(encodeBase64("hello"), "aGVsbG8=");
  assertEquals(decodeBase64("aGVsbG8="), new TextEncoder().encode("hello"));
  assertEquals(decodeBase64("AQ"), new Uint8Array([1]));
  assertThrows(() => decodeBase64("A!=="), TypeError);
  assertThrows(() => decodeBase64("A Q="), TypeError);
});
