/**
 * Writes a TypeScript module for a compiled object: `deno task gen:object FILE.bpf.o`.
 *
 * @module
 */

import { BpfObject, generateModule } from "../mod.ts";

const USAGE = `deno task gen:object FILE.bpf.o [--out FILE.ts] [--beside] [--from MODULE]

  --out FILE.ts    where the module goes; by default beside the object
  --beside         the module reads the object from its own folder, instead of having it inside
  --from MODULE    where it imports the library from; by default @bpf/deno`;

/** The value of an option, which is taken out of the arguments. */
function take(args: string[], option: string): string | undefined {
  const at = args.indexOf(option);
  return at < 0 ? undefined : args.splice(at, 2)[1];
}

async function main(args: string[]): Promise<number> {
  const [out, from] = [take(args, "--out"), take(args, "--from")];
  const isBeside = args.includes("--beside");
  const files = args.filter((arg) => arg !== "--beside");
  if (files.length !== 1 || files[0].startsWith("--")) {
    console.error(USAGE);
    return 2;
  }
  const [file] = files;
  const base = file.slice(file.lastIndexOf("/") + 1);
  const name = base.split(".")[0];
  const bytes = await Deno.readFile(file);
  const object = BpfObject.parse(bytes, { name, legacyMaps: true });
  const place = isBeside ? { beside: `./${base}` } : { bytes };
  const generator = `\`deno task gen:object\` from ${base}`;
  const path = out ?? file.replace(/(\.bpf)?\.o$/, "") + ".ts";
  await Deno.writeTextFile(path, generateModule(object, { ...place, name, from, generator }));
  console.log(path);
  return 0;
}

if (import.meta.main) Deno.exitCode = await main([...Deno.args]);
