/**
 * The results that `deno test --junit-path` writes.
 *
 * @module
 */

/** What became of a test. */
export interface Result {
  /** The file that it is in. */
  readonly file: string;
  /** Its name, without the reason why it was skipped. */
  readonly name: string;
  /** What became of it. */
  readonly outcome: "passed" | "failed" | "skipped";
  /** Why it was skipped; empty where it was not. */
  readonly reason: string;
}

const ENTITIES: Readonly<Record<string, string>> = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" };

function unescape(text: string): string {
  return text.replace(/&(#x?[0-9a-fA-F]+|\w+);/g, (whole, name: string) => {
    if (name.startsWith("#x")) return String.fromCodePoint(parseInt(name.slice(2), 16));
    if (name.startsWith("#")) return String.fromCodePoint(Number(name.slice(1)));
    return ENTITIES[name] ?? whole;
  });
}

const REASON = / \(skipped: (.*)\)$/;

/**
 * Reads a JUnit file as Deno writes it.
 *
 * @param xml The file's text; an empty one has no results.
 * @returns The results, in their order.
 */
export function parseJunit(xml: string): Result[] {
  const results: Result[] = [];
  for (const [, attributes, body = ""] of xml.matchAll(/<testcase\s([^>]*?)(?:\/>|>(.*?)<\/testcase>)/gs)) {
    const attribute = (name: string): string =>
      unescape(new RegExp(`\\b${name}="([^"]*)"`).exec(attributes)?.[1] ?? "");
    const name = attribute("name");
    const reason = REASON.exec(name)?.[1] ?? "";
    const outcome = /<skipped/.test(body) ? "skipped" : /<(failure|error)/.test(body) ? "failed" : "passed";
    results.push({ file: attribute("classname"), name: name.replace(REASON, ""), outcome, reason });
  }
  return results;
}

/** The line, coloured or not, in which deno test says which file comes next, and how many tests it has. */
const ANNOUNCEMENT = /running (\d+) tests? from (\S+\.ts)/;

/**
 * Puts results in the files that deno test said they are from: JUnit has the place of the call of `Deno.test()`, which
 * is in the same helper for all.
 *
 * @param results The results, in the order in which the tests ran.
 * @param lines What deno test printed.
 * @returns The results, with the test files.
 * @throws {RangeError} Where the numbers do not agree.
 */
export function inFiles(results: readonly Result[], lines: readonly string[]): Result[] {
  const files = lines.flatMap((line) => {
    const [, count, file] = ANNOUNCEMENT.exec(line) ?? [];
    return file === undefined ? [] : Array.from({ length: Number(count) }, () => file);
  });
  if (files.length !== results.length) {
    throw new RangeError(`Cannot tell which files ${results.length} results are from: ${files.length} were announced`);
  }
  return results.map((result, index) => ({ ...result, file: files[index] }));
}
