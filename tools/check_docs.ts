/**
 * Type-checks the examples in documentation comments and Markdown: `deno task check` does.
 *
 * Deno adds an import of all that a module exports to each of its examples, most of which an example does not use.
 * So this runs on `deno.json` without the two options that refuse what is unused.
 *
 * @module
 */

const ROOT = decodeURIComponent(new URL("..", import.meta.url).pathname);

/** Beside deno.json, since its paths start from there; for as long as the check lasts. */
const CONFIG = `${ROOT}.docs.deno.json`;

/** The Markdown files at the root and in docs/: Deno takes no folder for these. */
function markdown(): string[] {
  const files: string[] = [];
  for (const folder of ["", "docs/"]) {
    try {
      for (const { name } of Deno.readDirSync(ROOT + folder)) if (name.endsWith(".md")) files.push(folder + name);
    } catch {
      // There is no such folder.
    }
  }
  return files;
}

async function main(): Promise<number> {
  const config = JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`));
  delete config.compilerOptions.noUnusedLocals;
  delete config.compilerOptions.noUnusedParameters;
  await Deno.writeTextFile(CONFIG, JSON.stringify(config));
  try {
    const { code } = await new Deno.Command(Deno.execPath(), {
      args: ["check", "--config", CONFIG, "--doc-only", ".", ...markdown()],
      cwd: ROOT,
      stdin: "null",
      stdout: "inherit",
      stderr: "inherit",
    }).output();
    return code;
  } finally {
    await Deno.remove(CONFIG);
  }
}

if (import.meta.main) Deno.exit(await main());
