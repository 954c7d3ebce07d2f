/**
 * Compiles the objects of tests/testdata from the C beside them: `deno task gen:testdata`. With `--check` it compares
 * instead. It needs clang-19 and libbpf's headers; the same versions give the same bytes.
 *
 * @module
 */

const FOLDER = new URL("../tests/testdata/objects/", import.meta.url);

/** How an object is compiled, besides what all have. */
interface Target {
  readonly source: string;
  readonly object: string;
  readonly flags: readonly string[];
}

const FLAGS = [
  ...["-O2", "-g", "-Wall", "-Werror", "-D__TARGET_ARCH_x86", "-I/usr/include/x86_64-linux-gnu"],
  // Nothing of where it is compiled gets into it.
  "-fdebug-compilation-dir=.",
];

/** Objects that are compiled once more in another way. */
const MORE: readonly Target[] = [
  { source: "calls.bpf.c", object: "calls_big.bpf.o", flags: ["-target", "bpfeb", "-DWITHOUT_CALLBACKS"] },
  { source: "opens.bpf.c", object: "opens_compressed.bpf.o", flags: ["-target", "bpf", "-gz=zlib"] },
  { source: "calls.bpf.c", object: "calls_bare.bpf.o", flags: ["-target", "bpf", "-g0", "-DWITHOUT_CALLBACKS"] },
];

/** All objects. */
function targets(): Target[] {
  const sources = [...Deno.readDirSync(FOLDER)].map(({ name }) => name).filter((name) => name.endsWith(".bpf.c"))
    .sort();
  const plain = sources.map((source) => ({ source, object: source.replace(/c$/, "o"), flags: ["-target", "bpf"] }));
  return [...plain, ...MORE];
}

async function compile({ source, flags }: Target): Promise<Uint8Array> {
  const output = await Deno.makeTempFile({ suffix: ".o" });
  try {
    const args = [...FLAGS, ...flags, "-c", source, "-o", output];
    const { success, stderr } = await new Deno.Command("clang-19", { args, cwd: FOLDER }).output();
    if (!success) throw new Error(`Cannot compile ${source}: ${new TextDecoder().decode(stderr)}`);
    return await Deno.readFile(output);
  } finally {
    await Deno.remove(output);
  }
}

async function main(check: boolean): Promise<number> {
  let different = 0;
  for (const target of targets()) {
    const bytes = await compile(target);
    const path = new URL(target.object, FOLDER);
    if (!check) await Deno.writeFile(path, bytes);
    else {
      const known = await Deno.readFile(path);
      if (known.length === bytes.length && known.every((byte, index) => byte === bytes[index])) continue;
      different++;
      console.error(`${target.object} is not what ${target.source} compiles to: run deno task gen:testdata`);
    }
  }
  return different === 0 ? 0 : 1;
}

if (import.meta.main) Deno.exitCode = await main(Deno.args.includes("--check"));
