import { assert, assertEquals, assertGreater } from "@std/assert";
import { type CommandName, commands } from "../../uapi/enums.gen.ts";
import { kernelTest, SLOWNESS } from "../_kernel_test.ts";
import { run } from "../_tools.ts";

/** A call as a line of text says. */
interface Line {
  /** The command's name, or its number and a comment where strace does not know it. */
  readonly command: string;
  /** The attr's fields by dotted name; undefined where strace prints no more than its address. */
  readonly fields: ReadonlyMap<string, string> | undefined;
  /** The attr's size. */
  readonly size: number;
  /** The result, or the error number's name. */
  readonly result: string;
}

/** Splits at a separator that stands in no brackets, string or comment. */
function split(text: string, separator: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  for (let at = 0; at < text.length; at++) {
    if (text[at] === '"') {
      for (at++; text[at] !== '"'; at++) if (text[at] === "\\") at++;
    } else if (text.startsWith("/*", at)) at = text.indexOf("*/", at) + 1;
    else if ("{[(".includes(text[at])) depth++;
    else if ("}])".includes(text[at])) depth--;
    else if (depth === 0 && text.startsWith(separator, at)) {
      parts.push(text.slice(start, at));
      start = at + separator.length;
      at = start - 1;
    }
  }
  return [...parts, text.slice(start)];
}

/** The fields of `{a=1, b={c=2}}`: `a` and `b.c`. A structure of another level than the attr's own stays whole. */
function fieldsOf(text: string, prefix: string, into: Map<string, string>): void {
  const inner = text.slice(1, -1);
  if (inner === "") return;
  for (const part of split(inner, ", ")) {
    const at = part.indexOf("=");
    const [name, value] = [part.slice(0, at), part.slice(at + 1)];
    // What the kernel wrote comes after an arrow.
    const last = split(value, " => ").at(-1) ?? "";
    if (last.startsWith("{") && !`${prefix}${name}`.startsWith("info.info")) {
      fieldsOf(last, `${prefix}${name}.`, into);
    } else into.set(`${prefix}${name}`, last);
  }
}

function parse(line: string): Line {
  const match = /^(?:\d+\s+)?bpf\((.*)\)\s+= (-?\d+)(?: (\w+) \(.*\))?$/.exec(line);
  if (match === null) throw new SyntaxError(`Cannot parse ${line}`);
  const [command, attr, size] = split(match[1], ", ");
  let fields: Map<string, string> | undefined;
  if (attr.startsWith("{")) {
    fields = new Map();
    for (const part of split(attr, " => ")) fieldsOf(part, "", fields);
  }
  return { command, fields, size: Number(size), result: match[3] ?? match[2] };
}

/** How strace prints fields that are zero, which formatCall() leaves out. */
const ZEROS: ReadonlySet<string> = new Set([
  "0",
  "NULL",
  '""',
  "[]",
  "BPF_ANY",
  "KERNEL_VERSION(0, 0, 0)",
  // The attach type with number 0.
  "BPF_CGROUP_INET_INGRESS",
]);

const TEXT_OR_ADDRESS = /^(?:".*"(?:\.\.\.)?|0x[0-9a-f]+|NULL)$/;

/** Fields that strace prints otherwise on purpose, and how. */
const OTHERWISE: Readonly<Record<string, { readonly like: RegExp; readonly why: string }>> = {
  insns: { like: /^\[\{code=/, why: "strace -v decodes the instructions" },
  btf: { like: /^"\\237\\353/, why: "strace prints the bytes" },
  log_buf: { like: TEXT_OR_ADDRESS, why: "strace prints the text that was there before the call" },
  "info.info": {
    like: /^(?:\{.*\}|0x[0-9a-f]+)$/,
    why: "strace -v decodes the struct, and formatCall() does not look",
  },
  "link_create.iter_info": { like: /^\[\{map=/, why: "strace -v decodes the struct" },
  "test.retval": { like: /^0$/, why: "strace reads it before the call" },
  "test.duration": { like: /^0$/, why: "strace reads it before the call" },
  "test.data_size_out": { like: /^\d+$/, why: "strace reads it before the call" },
  "query.attach_flags": { like: /^0$/, why: "strace reads it before the call" },
  "task_fd_query.buf": { like: /^".*"\.\.\.$/, why: "strace stops before the NUL, and marks that" },
  file_flags: { like: /^0x4000 /, why: "strace 6.1 is older than BPF_F_PATH_FD" },
};

/** Fields that Debian 12's strace does not print at all. */
const UNPRINTED: Readonly<Record<string, string>> = {
  path_fd: "newer than strace 6.1, which prints extra_data",
  log_true_size: "newer than strace 6.1, which prints extra_data",
  btf_log_true_size: "newer than strace 6.1",
  fd_array: "newer than strace 6.1",
  "query.revision": "newer than strace 6.1, which prints extra_data",
  "query.link_ids": "newer than strace 6.1",
  attach_bpf_fd: "strace prints it for BPF_PROG_ATTACH only",
};

/** Fields that strace prints and formatCall() does not, besides those that are zero. */
const STRACE_ONLY: ReadonlySet<string> = new Set(["extra_data", "query.extra_data"]);

/** Commands of which strace 6.1 prints the address of the attr only. */
const OPAQUE: ReadonlySet<CommandName> = new Set<CommandName>([
  "enable_stats",
  "iter_create",
  "link_detach",
  "prog_bind_map",
  "token_create",
  "prog_stream_read_by_fd",
  "prog_assoc_struct_ops",
]);

/** The name of a command as strace prints it: its number in a comment where it is newer. */
function commandOf(line: Line): string {
  const number = /^0x([0-9a-f]+) \/\* BPF_\?\?\? \*\/$/.exec(line.command)?.[1];
  if (number === undefined) return line.command;
  const name = (Object.keys(commands) as CommandName[]).find((one) => commands[one] === parseInt(number, 16));
  return `BPF_${name?.toUpperCase()}`;
}

/** What differs between a line of ours and strace's of the same call; counts the fields that are the same. */
function differences(ours: Line, theirs: Line, tally: { same: number; explained: Set<string> }): string[] {
  const found: string[] = [];
  if (theirs.fields === undefined) return found;
  for (const [name, value] of ours.fields ?? []) {
    const other = theirs.fields.get(name);
    if (other === undefined) {
      if (!(name in UNPRINTED)) found.push(`${name}=${value} is not in strace's line`);
      tally.explained.add(name);
    } else if (other === value) tally.same++;
    else if (OTHERWISE[name]?.like.test(other)) tally.explained.add(name);
    else found.push(`${name}=${value}, and ${other} in strace's line`);
  }
  for (const [name, other] of theirs.fields) {
    if (ours.fields?.has(name) || ZEROS.has(other) || STRACE_ONLY.has(name)) continue;
    found.push(`${name}=${other} in strace's line is missing`);
  }
  return found;
}

/** Puts the halves of calls together during which another thread was heard: strace prints those as unfinished. */
function whole(lines: readonly string[]): string[] {
  const halves = new Map<string, string>();
  return lines.flatMap((line) => {
    const [, pid, text] = /^(\d+)\s+(.*)$/.exec(line) ?? ["", "", ""];
    const half = halves.get(pid);
    const rest = /^<\.\.\. bpf resumed>(.*)$/.exec(text)?.[1];
    if (text.endsWith(" <unfinished ...>")) {
      halves.set(pid, line.slice(0, -" <unfinished ...>".length));
      return [];
    }
    if (half === undefined || rest === undefined) return [line];
    halves.delete(pid);
    return [half + rest];
  });
}

kernelTest("formatCall() prints each call as strace does", {
  needs: ["btf", "bpffs", "cgroup"],
  tools: ["strace"],
}, async () => {
  const folder = Deno.makeTempDirSync();
  const root = decodeURIComponent(new URL("../..", import.meta.url).pathname);
  const child = `${root}tests/kernel/_strace_child.ts`;
  // With a seccomp filter only bpf(2) stops the child, which takes a tenth of the time.
  const traced = ["-f", "--seccomp-bpf", "-e", "trace=bpf", "-v", "-s", "4096", "-o", `${folder}/strace`];
  const deno = [Deno.execPath(), "run", "-A", "--no-check", "--cached-only", "--config", `${root}deno.json`];
  const { code, stderr } = await run("strace", [...traced, ...deno, child, `${folder}/ours`], {
    timeoutMs: 60_000 * SLOWNESS,
  });
  assertEquals(code, 0, stderr);
  const read = (name: string): string[] => Deno.readTextFileSync(`${folder}/${name}`).trimEnd().split("\n");
  const strace = whole(read("strace")).filter((line) => line.includes("bpf(")).map(parse);
  const ours = read("ours").map(parse);
  Deno.removeSync(folder, { recursive: true });

  const tally = { same: 0, explained: new Set<string>() };
  const wrong: string[] = [];
  const opaque = new Set<string>();
  const seen = new Set<string>();
  let skipped = 0;
  let next = 0;
  const isSame = (line: Line, other: Line): boolean =>
    line.command === commandOf(other) && line.size === other.size && line.result === other.result;
  for (const line of ours) {
    // The library asks whether the kernel knows a command with a call of its own, which is in strace's lines only.
    while (next < strace.length && !isSame(line, strace[next])) {
      next++;
      skipped++;
    }
    assert(next < strace.length, `strace has no line for ${line.command} of size ${line.size} = ${line.result}`);
    const theirs = strace[next++];
    seen.add(line.command);
    if (theirs.fields === undefined) opaque.add(line.command);
    wrong.push(...differences(line, theirs, tally).map((text) => `${line.command}: ${text}`));
  }
  console.log(`${ours.length} calls, ${tally.same} fields as strace prints them; ${skipped} probes in strace only`);
  console.log(`  explained: ${[...tally.explained].sort().join(", ")}; opaque: ${[...opaque].sort().join(", ")}`);
  assertEquals(wrong, []);
  assertEquals([...seen].sort(), Object.keys(commands).map((name) => `BPF_${name.toUpperCase()}`).sort());
  assert([...opaque].every((name) => OPAQUE.has(name.slice(4).toLowerCase() as CommandName)), [...opaque].join());
  assertGreater(ours.length, 100);
  assertGreater(tally.same, 250);
  // A probe or two for each refusal that could be a command's age, and no more.
  assert(skipped < ours.length / 4, `${skipped} lines of strace are no calls of ours`);
});

kernelTest("the comparison with strace finds a field that is wrong, missing or made up", { root: false }, () => {
  const theirs = parse('12 bpf(BPF_OBJ_GET, {pathname="/a, b", bpf_fd=0, file_flags=BPF_F_RDONLY}, 20) = 3');
  const compare = (text: string): number => differences(parse(text), theirs, { same: 0, explained: new Set() }).length;
  assertEquals(compare('bpf(BPF_OBJ_GET, {pathname="/a, b", file_flags=BPF_F_RDONLY}, 20) = 3'), 0);
  assertEquals(compare('bpf(BPF_OBJ_GET, {pathname="/a, c", file_flags=BPF_F_RDONLY}, 20) = 3'), 1);
  assertEquals(compare('bpf(BPF_OBJ_GET, {pathname="/a, b"}, 20) = 3'), 1);
  assertEquals(compare('bpf(BPF_OBJ_GET, {pathname="/a, b", bpf_fd=4, file_flags=BPF_F_RDONLY}, 20) = 3'), 1);
  assertEquals(compare('bpf(BPF_OBJ_GET, {pathname="/a, b", new=4, file_flags=BPF_F_RDONLY}, 20) = 3'), 1);
  const call = "12    bpf(BPF_MAP_FREEZE, {map_fd=3}, 4";
  assertEquals(whole([`${call} <unfinished ...>`, "13    other", "12    <... bpf resumed>) = 0"]), [
    "13    other",
    `${call}) = 0`,
  ]);
  const batch = parse(
    "bpf(BPF_MAP_LOOKUP_BATCH, {batch={count=16, map_fd=3}} => {batch={count=2}}, 56) = -1 ENOENT (No)",
  );
  assertEquals([batch.fields?.get("batch.count"), batch.result, batch.size], ["2", "ENOENT", 56]);
});
