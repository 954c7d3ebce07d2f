/**
 * What became of the tests on each kernel, kept in tests/vm/results/: one file a kernel, so that a run on one kernel
 * leaves what was seen on the others alone.
 *
 * @module
 */

import { parseJunit, type Result } from "./_junit.ts";

/** A feature, and whether a kernel was seen to have it. */
export interface SeenFeature {
  /** What it is. */
  readonly feature: string;
  /** The release that brought it. */
  readonly since: string;
  /** Whether the kernel has it; it may be new enough and built without. */
  readonly has: boolean | "not built";
}

/** The results of one kernel. */
export interface KernelResults {
  /** The version that was asked for. */
  readonly kernel: string;
  /** The release that ran. */
  readonly release: string;
  /** Which features tests/kernel/since_test.ts saw. */
  readonly features: readonly SeenFeature[];
  /** What became of each test. */
  readonly tests: readonly Result[];
}

const FOLDER = decodeURIComponent(new URL("results", import.meta.url).pathname);

/** What is added to the names of tests that ran with the sysctl at 1. */
const DISABLED = ", with kernel.unprivileged_bpf_disabled at 1";

function compareVersions(a: string, b: string): number {
  const [x, y] = [a, b].map((version) => version.split(".").map(Number));
  return x[0] - y[0] || x[1] - y[1];
}

/**
 * Reads what a guest left behind.
 *
 * @param folder Where.
 * @param kernel The version that was asked for.
 * @returns Its results; none where it did not get to the end.
 */
export async function readShared(folder: string, kernel: string): Promise<KernelResults> {
  const read = (name: string): Promise<string> => Deno.readTextFile(`${folder}/${name}`).catch(() => "");
  const disabled = parseJunit(await read("disabled.xml")).map((test) => ({ ...test, name: test.name + DISABLED }));
  const features = new Map<string, SeenFeature>();
  for (const line of (await read("features")).split("\n").filter(Boolean)) {
    const seen: SeenFeature = JSON.parse(line);
    features.set(seen.feature, seen);
  }
  return {
    kernel,
    release: (await read("release")).trim(),
    features: [...features.values()],
    tests: [...parseJunit(await read("junit.xml")), ...disabled],
  };
}

const lines = (items: readonly unknown[]): string => items.map((item) => `    ${JSON.stringify(item)}`).join(",\n");

/**
 * The text of a kernel's file: one line a test, so that a change of one is a change of one line.
 *
 * @param results The results.
 * @returns JSON.
 */
export function formatResults({ kernel, release, features, tests }: KernelResults): string {
  const featureLines = lines(features.map(({ feature, since, has }) => [feature, since, has]));
  const testLines = lines(
    tests.map(({ file, name, outcome, reason }) =>
      reason === "" ? [file, name, outcome] : [file, name, outcome, reason]
    ),
  );
  return `{
  "kernel": ${JSON.stringify(kernel)},
  "release": ${JSON.stringify(release)},
  "features": [
${featureLines}
  ],
  "tests": [
${testLines}
  ]
}
`;
}

/**
 * Reads the text of a kernel's file.
 *
 * @param text JSON, as {@linkcode formatResults} writes it.
 * @returns The results.
 */
export function parseResults(text: string): KernelResults {
  const { kernel, release, features, tests } = JSON.parse(text) as {
    kernel: string;
    release: string;
    features: [string, string, SeenFeature["has"]][];
    tests: [string, string, Result["outcome"], string?][];
  };
  return {
    kernel,
    release,
    features: features.map(([feature, since, has]) => ({ feature, since, has })),
    tests: tests.map(([file, name, outcome, reason = ""]) => ({ file, name, outcome, reason })),
  };
}

/** Results by the names of their files, and in their order in each. */
function inOrder(tests: readonly Result[]): Result[] {
  return tests.toSorted((a, b) => a.file < b.file ? -1 : a.file > b.file ? 1 : 0);
}

/**
 * Results of some files in the place of older ones of theirs.
 *
 * @param before What was kept.
 * @param after What was seen since, on the same kernel.
 * @returns Both, in the order of the files' names; features are as they were seen last.
 */
export function mergeResults(before: KernelResults, after: KernelResults): KernelResults {
  const files = new Set(after.tests.map(({ file }) => file));
  const others = before.tests.filter(({ file }) => !files.has(file));
  const features = after.features.length > 0 ? after.features : before.features;
  return { ...after, features, tests: inOrder([...others, ...after.tests]) };
}

/**
 * Keeps the results of a kernel.
 *
 * @param results The results.
 * @param isWhole Whether they are of all files: else those of other files stay.
 */
export async function keepResults(results: KernelResults, isWhole: boolean): Promise<void> {
  await Deno.mkdir(FOLDER, { recursive: true });
  const before = (await keptResults()).find(({ kernel }) => kernel === results.kernel);
  const kept = isWhole || before === undefined ? results : mergeResults(before, results);
  await Deno.writeTextFile(
    `${FOLDER}/${results.kernel}.json`,
    formatResults({ ...kept, tests: inOrder(kept.tests) }),
  );
}

/** What is kept of all kernels, oldest first. */
export async function keptResults(): Promise<KernelResults[]> {
  const all: KernelResults[] = [];
  for await (const { name } of Deno.readDir(FOLDER)) {
    if (name.endsWith(".json")) all.push(parseResults(await Deno.readTextFile(`${FOLDER}/${name}`)));
  }
  return all.sort((a, b) => compareVersions(a.kernel, b.kernel));
}
