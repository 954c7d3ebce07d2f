import { assertEquals, assertStringIncludes } from "@std/assert";
import plugin from "../../tools/lint_plugin.ts";

/** The rules that a file breaks, without the plugin's name before them. */
function broken(path: string, source: string): string[] {
  return Deno.lint.runPlugin(plugin, path, source).map(({ id }) => id.replace("bpf/", ""));
}

Deno.test("floors refuses an import from a higher floor", () => {
  assertEquals(broken("asm/encode.ts", `import { a } from "../ffi/kernel.ts";`), ["floors"]);
  assertEquals(broken("btf/parse.ts", `import { a } from "../cmds/map.ts";`), ["floors"]);
  assertEquals(broken("ffi/kernel.ts", `import { a } from "../tokens/token.ts";`), ["floors"]);
  assertEquals(broken("tokens/token.ts", `import { a } from "../cmds/map.ts";`), ["floors"]);
  assertEquals(broken("cmds/map.ts", `import { a } from "../maps/hash.ts";`), ["floors"]);
  assertEquals(broken("features/probe.ts", `import { a } from "../progs/load.ts";`), ["floors"]);
  assertEquals(broken("maps/hash.ts", `import { a } from "../progs/load.ts";`), ["floors"]);
  assertEquals(broken("progs/load.ts", `import { a } from "../links/xdp.ts";`), ["floors"]);
  assertEquals(broken("links/xdp.ts", `import { a } from "../object/elf.ts";`), ["floors"]);
  assertEquals(broken("object/elf.ts", `import { a } from "../mod.ts";`), ["floors"]);
  assertEquals(broken("mod.ts", `import { a } from "./cli/main.ts";`), ["floors"]);
  assertEquals(broken("errors.ts", `import { a } from "./ffi/kernel.ts";`), ["floors"]);
  assertEquals(broken("codec.ts", `import { a } from "./btf/parse.ts";`), ["floors"]);
});

Deno.test("floors accepts an import from the base, the same floor or a lower one", () => {
  assertEquals(broken("errors.ts", `import { a } from "./uapi/errno.gen.ts";`), []);
  assertEquals(broken("asm/encode.ts", `import { a } from "./decode.ts"; import { b } from "../errors.ts";`), []);
  assertEquals(broken("btf/parse.ts", `import { a } from "../asm/insn.ts"; import { u8 } from "../codec.ts";`), []);
  assertEquals(
    broken("cmds/map.ts", `import { a } from "../tokens/token.ts"; import { b } from "../ffi/attr.ts";`),
    [],
  );
  assertEquals(
    broken("progs/load.ts", `import { a } from "../asm/insn.ts"; import { b } from "../uapi/a.gen.ts";`),
    [],
  );
  assertEquals(broken("links/xdp.ts", `import { a } from "../progs/load.ts"; import { b } from "../maps/a.ts";`), []);
  assertEquals(broken("mod.ts", `export { a } from "./object/load.ts"; export { b } from "./errors.ts";`), []);
  assertEquals(broken("cli/main.ts", `import { a } from "../mod.ts"; import { parseArgs } from "@std/cli";`), []);
  for (const folder of ["tests/unit", "bench", "tools", "examples"]) {
    assertEquals(broken(`${folder}/a.ts`, `import { a } from "../object/_b.ts"; import { b } from "@std/assert";`), []);
  }
});

Deno.test("floors reads every form of import and export", () => {
  for (
    const source of [
      `import "../maps/a.ts";`,
      `import type { A } from "../maps/a.ts";`,
      `export { a } from "../maps/a.ts";`,
      `export * from "../maps/a.ts";`,
      `await import("../maps/a.ts");`,
      `type A = import("../maps/a.ts").A;`,
    ]
  ) assertEquals(broken("cmds/a.ts", source), ["floors"], source);
  assertEquals(broken("cmds/a.ts", `export const a = 1;`), []);
});

Deno.test("floors refuses a private file of another folder", () => {
  assertEquals(broken("maps/a.ts", `import { a } from "./_b.ts";`), []);
  assertEquals(broken("maps/a.ts", `import { a } from "../ffi/_b.ts";`), ["floors"]);
  assertEquals(broken("mod.ts", `export { a } from "./maps/_b.ts";`), ["floors"]);
});

Deno.test("floors refuses packages outside cli/", () => {
  assertEquals(broken("maps/a.ts", `import { a } from "@std/assert";`), ["floors"]);
  assertEquals(broken("mod.ts", `import { a } from "npm:fast-check";`), ["floors"]);
  assertEquals(broken("ffi/a.ts", `import { a } from "node:os";`), []);
});

Deno.test("floors says what the folder may import", () => {
  const [found] = Deno.lint.runPlugin(plugin, "asm/a.ts", `import { a } from "../ffi/b.ts";`);
  assertStringIncludes(found.message, "asm may not import from ffi");
  assertStringIncludes(found.hint ?? "", "asm may import base");
  assertStringIncludes(Deno.lint.runPlugin(plugin, "new/a.ts", `import "../ffi/b.ts";`)[0].message, "not a floor");
});

Deno.test("unsafe-in-ffi refuses Deno's unsafe API outside ffi/", () => {
  assertEquals(broken("maps/a.ts", `Deno.dlopen("libc.so.6", {});`), ["unsafe-in-ffi"]);
  assertEquals(broken("maps/a.ts", `new Deno.UnsafePointerView(p);`), ["unsafe-in-ffi"]);
  assertEquals(broken("mod.ts", `Deno["UnsafePointer"].of(a);`), ["unsafe-in-ffi"]);
  assertEquals(broken("mod.ts", `const { dlopen, UnsafePointer } = Deno;`), ["unsafe-in-ffi", "unsafe-in-ffi"]);
});

Deno.test("unsafe-in-ffi leaves the rest of Deno, types and the free folders alone", () => {
  assertEquals(broken("maps/a.ts", `Deno.build; type P = Deno.PointerValue | Deno.UnsafeCallback;`), []);
  assertEquals(broken("tests/unit/a.ts", `Deno.dlopen("libc.so.6", {});`), []);
  assertEquals(broken("bench/a.ts", `Deno.UnsafePointer.of(a);`), []);
});

Deno.test("safety-comment wants a comment on each unsafe statement of ffi/", () => {
  assertEquals(broken("ffi/a.ts", `const p = Deno.UnsafePointer.of(a);`), ["safety-comment"]);
  assertEquals(broken("ffi/a.ts", `// SAFETY: a lives on.\n\nconst p = Deno.UnsafePointer.of(a);`), ["safety-comment"]);
  assertEquals(broken("ffi/a.ts", `// It is safe.\nconst p = Deno.UnsafePointer.of(a);`), ["safety-comment"]);
  assertEquals(broken("ffi/a.ts", `// SAFETY:\nconst p = Deno.UnsafePointer.of(a);`), ["safety-comment"]);
  assertEquals(
    broken("ffi/a.ts", `// SAFETY: one only.\nfoo();\nDeno.dlopen("a", {});`),
    ["safety-comment"],
  );
});

Deno.test("safety-comment accepts a comment above or on the statement", () => {
  assertEquals(broken("ffi/a.ts", `// SAFETY: a lives on.\nconst p = Deno.UnsafePointer.of(a);`), []);
  assertEquals(broken("ffi/a.ts", `const p = Deno.UnsafePointer.of(a); // SAFETY: a lives on.`), []);
  assertEquals(
    broken("ffi/a.ts", `// SAFETY: a lives on,\n// as b does.\nexport const p = Deno.UnsafePointer.of(a);`),
    [],
  );
  assertEquals(broken("ffi/a.ts", `/* SAFETY: a lives on. */\nif (x || Deno.UnsafePointer.value(a)) y();`), []);
  assertEquals(broken("ffi/a.ts", `class A {\n  // SAFETY: ö lives on.\n  #p = Deno.UnsafePointer.of(a);\n}`), []);
});
