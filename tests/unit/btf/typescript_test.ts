import { assertThrows } from "@std/assert";
import { Btf, codecFrom, printTypeScript } from "../../../btf/mod.ts";
import { everyValue } from "../../_btf_everything.ts";
import { compare, made, patterns } from "../../_btf_typescript.ts";

Deno.test("printTypeScript() makes codecs that do what codecFrom() does, with types that fit", async () => {
  const everything = everyValue();
  const btf = Btf.parse(everything.builder.bytes());
  const module = await made(
    btf,
    [everything.struct],
    `
const some: Partial<Everything> = { i: 1, ul: 2n, yes: true, text: "hi", color: "RED", points: [{ x: 1, y: 2 }], word: 3n };
export const wrong: Codec<Everything>["encode"] = (view, offset, value) => everything.encode(view, offset, { ...value, ...some });
// @ts-expect-error a name that the enum has not
export const none: Color = "GREEN";
`,
  );
  const theirs = codecFrom(btf, everything.struct);
  for (const bytes of patterns(everything.size)) compare(module.everything, theirs, bytes);
  assertThrows(() => printTypeScript(btf, [0]), TypeError);
});
