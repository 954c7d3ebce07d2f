import { assertEquals } from "@std/assert";
import { CAPSTONE, VIZ } from "../../../cli/_packages.ts";

Deno.test("VIZ and CAPSTONE are the packages that deno.json has", async () => {
  const { imports } = JSON.parse(await Deno.readTextFile(new URL("../../../deno.json", import.meta.url)));
  assertEquals([VIZ, CAPSTONE], [imports["@viz-js/viz"], imports["@alexaltea/capstone-js"]]);
});

Deno.test("packages of single commands are no part of what Deno fetches before the first command", async () => {
  const main = decodeURIComponent(new URL("../../../cli/main.ts", import.meta.url).pathname);
  const { stdout } = await new Deno.Command(Deno.execPath(), { args: ["info", "--json", "--no-lock", main] }).output();
  const { modules } = JSON.parse(new TextDecoder().decode(stdout)) as {
    modules: { specifier: string; dependencies?: { code?: { specifier: string } }[] }[];
  };
  const fetched = modules.flatMap(({ dependencies = [] }) => dependencies.map(({ code }) => code?.specifier));
  assertEquals(fetched.filter((specifier) => specifier?.startsWith("npm:")), []);
});
