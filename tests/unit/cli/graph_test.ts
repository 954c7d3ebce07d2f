import { assertEquals } from "@std/assert";
import { VIZ } from "../../../cli/graph.ts";

Deno.test("VIZ is the package that the types are checked against", async () => {
  const { imports } = JSON.parse(await Deno.readTextFile(new URL("../../../deno.json", import.meta.url)));
  assertEquals(VIZ, imports["@viz-js/viz"]);
});

Deno.test("graph is no part of what Deno fetches before the first command", async () => {
  const main = decodeURIComponent(new URL("../../../cli/main.ts", import.meta.url).pathname);
  const { stdout } = await new Deno.Command(Deno.execPath(), { args: ["info", "--json", "--no-lock", main] }).output();
  const { modules } = JSON.parse(new TextDecoder().decode(stdout)) as {
    modules: { specifier: string; dependencies?: { code?: { specifier: string } }[] }[];
  };
  const fetched = modules.flatMap(({ dependencies = [] }) => dependencies.map(({ code }) => code?.specifier));
  assertEquals(fetched.filter((specifier) => specifier?.startsWith("npm:")), []);
});
