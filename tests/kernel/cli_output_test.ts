import { assert, assertEquals, assertGreater, assertMatch, assertStringIncludes } from "@std/assert";
import { Program } from "../../progs/mod.ts";
import { kernelSince, kernelTest, type KernelTestOptions } from "../_kernel_test.ts";
import { run } from "../_tools.ts";
import { hashMap, place, returning, rootToken } from "./_objects.ts";
import { MAIN, OBJECTS, type Result, ROOT, shown } from "./_cli.ts";

/** A function, as `-j prog dump jited … opcodes` has it. */
interface JitedFunction {
  readonly name: string;
  readonly insns: readonly { readonly pc: string; readonly operation: string; readonly opcodes: readonly string[] }[];
}

/** The instructions of machine code, as binutils sees them. */
async function objdump(file: string): Promise<{ pc: number; operation: string }[]> {
  const machine = Deno.build.arch === "x86_64" ? ["-m", "i386:x86-64", "-M", "att,suffix"] : ["-m", "aarch64"];
  const { stdout } = await run("objdump", ["-D", "-b", "binary", ...machine, "--no-show-raw-insn", file]);
  return [...stdout.matchAll(/^ +([0-9a-f]+):\s+(\S+)/gm)].map(([, pc, operation]) => ({
    pc: parseInt(pc, 16),
    operation,
  }));
}

const OPTIONS: KernelTestOptions = { needs: ["btf", "bpffs"] };

const ours = (args: readonly string[], terminal = false): Promise<Result> => shown(args, terminal);

// deno-lint-ignore no-control-regex
const COLOURS = /\x1b\[\d*m/g;

kernelTest("bpf shows colours and aligned ids on a terminal, and the same words", OPTIONS, async () => {
  using _map = hashMap(rootToken(), { name: "coloured" });
  using _prog = Program.load(rootToken(), { type: "xdp", license: "GPL", insns: returning(2), name: "coloured" });
  for (const kind of ["map", "prog"]) {
    const [plain, shown] = [
      await ours([kind, "show", "name", "coloured"]),
      await ours([kind, "show", "name", "coloured"], true),
    ];
    assertMatch(shown.out, COLOURS);
    assertEquals(shown.out.replace(COLOURS, "").trimStart(), plain.out);
    assertMatch(shown.out.replace(COLOURS, ""), /^ *\d+: /);
    assertGreater(shown.out.replace(COLOURS, "").indexOf(":"), 5);
  }
  const failed = await ours(["map", "show", "id", "4294967295"], true);
  assert(failed.err.startsWith("\x1b[31mError:\x1b[0m get map by id"), failed.err);
});

kernelTest("bpf prog dump jited disassembles as objdump does, cut where functions and source lines start", {
  // An object has loops of bpf_loop().
  needs: [...OPTIONS.needs ?? [], kernelSince("5.17")],
  tools: ["objdump"],
}, async () => {
  const folder = `${place("BPFFS")}/jited`;
  Deno.mkdirSync(folder);
  const file = await Deno.makeTempFile();
  try {
    for (const object of ["calls", "core", "execs", "globals"]) {
      const pin = `${folder}/${object}`;
      assertEquals((await ours(["prog", "loadall", `${OBJECTS}${object}.bpf.o`, pin])).err, "", object);
      for (const { name } of Deno.readDirSync(pin)) {
        const shown = ["prog", "dump", "jited", "pinned", `${pin}/${name}`];
        const { out, err } = await ours(["-j", ...shown, "opcodes"]);
        assertEquals(err, "");
        const functions = JSON.parse(out) as JitedFunction[];
        await ours([...shown, "file", file]);
        const bytes = functions.flatMap(({ insns }) => insns.flatMap(({ opcodes }) => opcodes.map(Number)));
        assertEquals(bytes, [...await Deno.readFile(file)]);
        // Functions follow each other in the file; the places of each count from its start.
        const found: { pc: number; operation: string }[] = [];
        let start = 0;
        for (const { insns } of functions) {
          found.push(...insns.map(({ pc, operation }) => ({ pc: start + Number(pc), operation })));
          start += insns.reduce((sum, { opcodes }) => sum + opcodes.length, 0);
        }
        const expected = await objdump(file);
        assertEquals(found.map(({ pc }) => pc), expected.map(({ pc }) => pc), `${object} ${name}`);
        for (const [index, { operation }] of found.entries()) {
          const theirs = expected[index].operation;
          // objdump writes some with the size of their operands that have none here: leaveq for leave. What does nothing
          // may have another name there: xchgw of a register with itself.
          const isSame = theirs.startsWith(operation) || operation.startsWith(theirs) || operation === "nop";
          assert(isSame, `${operation} is not ${theirs}`);
        }
      }
    }
    const [{ name }] = [...Deno.readDirSync(`${folder}/calls`)];
    const shown = ["prog", "dump", "jited", "pinned", `${folder}/calls/${name}`];
    const { out } = await ours(shown);
    assertMatch(out, /^int \w+\(.*\):\n/);
    assertMatch(out, /\n; .*\n +[0-9a-f]+:\t[a-z]/);
    assertMatch((await ours([...shown, "linum"])).out, /; .* \[file:.*calls\.bpf\.c line_num:\d+ line_col:\d+\]\n/);
    assertMatch((await ours([...shown, "opcodes"])).out, /\n +[0-9a-f]+:\t[a-z]\w*(\t.*)?\n\t([0-9a-f]{2} )+\n/);
    assertMatch((await ours([...shown, "visual"])).err, /'visual' is for xlated instructions/);
    // Without leave to read the disassembler the bytes are there all the same.
    const denied = ["run", "--cached-only", "--allow-ffi", MAIN, "-j", ...shown];
    const { stdout, stderr } = await run(Deno.execPath(), denied, { cwd: ROOT });
    assertMatch(stderr, /^Machine code is shown as bytes, as there is no disassembler: it needs --allow-read\n$/);
    for (const { insns } of JSON.parse(stdout) as JitedFunction[]) {
      let at = 0;
      for (const { pc, opcodes } of insns) {
        assertEquals(Number(pc), at);
        at += opcodes.length;
      }
    }
  } finally {
    await Deno.remove(file);
    Deno.removeSync(folder, { recursive: true });
  }
});

kernelTest("bpf map create makes what bpftool map create makes", { ...OPTIONS, tools: ["bpftool"] }, async () => {
  const folder = `${place("BPFFS")}/created`;
  Deno.mkdirSync(folder);
  try {
    const cases: readonly (readonly string[])[] = [
      ["type", "hash", "key", "4", "value", "8", "entries", "10", "name", "one", "flags", "1"],
      ["type", "array", "key", "4", "value", "0x10", "entries", "4", "name", "two"],
      ["type", "queue", "value", "4", "entries", "4", "name", "three"],
      ["type", "ringbuf", "entries", "4096", "name", "four"],
      ["type", "lpm_trie", "key", "8", "value", "8", "entries", "5", "name", "five", "flags", "0x1"],
    ];
    for (const words of cases) {
      const made: unknown[] = [];
      for (const [tool, name] of [["ours", "a"], ["theirs", "b"]] as const) {
        const args = ["map", "create", `${folder}/${name}`, ...words];
        const { code, err } = tool === "ours"
          ? await ours(args)
          : await run("bpftool", args).then(({ code, stderr }) => ({ code, err: stderr }));
        assertEquals([code, err], [0, ""], words.join(" "));
        const { stdout } = await run("bpftool", ["-j", "map", "show", "pinned", `${folder}/${name}`]);
        made.push({ ...JSON.parse(stdout), id: 0 });
        Deno.removeSync(`${folder}/${name}`);
      }
      assertEquals(made[0], made[1]);
    }
    assertEquals((await ours(["map", "create", `${folder}/inner`, ...cases[1]])).code, 0);
    const outer = [
      "map",
      "create",
      `${folder}/outer`,
      "type",
      "array_of_maps",
      "key",
      "4",
      "value",
      "4",
      "entries",
      "2",
      "name",
      "outer",
    ];
    assertEquals((await ours([...outer, "inner_map", "pinned", `${folder}/inner`])).err, "");
    const update = [
      "map",
      "update",
      "pinned",
      `${folder}/outer`,
      "key",
      "1",
      "0",
      "0",
      "0",
      "value",
      "pinned",
      `${folder}/inner`,
    ];
    assertEquals((await ours(update)).err, "");
    const [own, other] = [
      await ours(["-j", "map", "dump", "pinned", `${folder}/outer`]),
      await run("bpftool", ["-j", "map", "dump", "pinned", `${folder}/outer`]),
    ];
    assertEquals(JSON.parse(own.out), JSON.parse(other.stdout));
    assertEquals(JSON.parse(own.out).length, 1);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

kernelTest(
  "bpf token show tells what file systems delegate",
  { needs: [kernelSince("6.9")], tools: ["mount"] },
  async () => {
    const folder = await Deno.makeTempDir();
    const { code, stderr } = await run("mount", [
      "-t",
      "bpf",
      "-o",
      "delegate_cmds=map_create:prog_load,delegate_maps=any",
      "bpf",
      folder,
    ]);
    assertEquals(code, 0, stderr);
    try {
      const shown = JSON.parse((await ours(["-j", "token", "show"])).out) as {
        token_info: string;
        allowed_cmds: string[];
        allowed_progs: string[];
      }[];
      const found = shown.find(({ token_info }) => token_info === folder);
      assertEquals([found?.allowed_cmds, found?.allowed_progs], [["map_create", "prog_load"], []]);
      assertStringIncludes(
        (await ours(["token", "list"])).out,
        `token_info  ${folder}\n\tallowed_cmds:\n\t  map_create prog_load\n`,
      );
    } finally {
      await run("umount", [folder]);
      await Deno.remove(folder);
    }
  },
);

kernelTest("bpf gen object writes a module; btf dump takes root types", OPTIONS, async () => {
  const { out, err } = await ours(["gen", "object", `${OBJECTS}execs.bpf.o`]);
  assertEquals(err, "");
  assertStringIncludes(out, "export");
  const whole = await ours(["-j", "btf", "dump", "file", `${OBJECTS}execs.bpf.o`]);
  const { types } = JSON.parse(whole.out) as { types: { id: number; kind: string; name: string }[] };
  const event = types.find(({ kind, name }) => kind === "STRUCT" && name === "event")!;
  const root = await ours(["btf", "dump", "file", `${OBJECTS}execs.bpf.o`, "format", "c", "root_id", `${event.id}`]);
  assertMatch(root.out, /\nstruct event \{\n/);
  assert(root.out.length < (await ours(["btf", "dump", "file", `${OBJECTS}execs.bpf.o`, "format", "c"])).out.length);
  assertEquals(
    (await ours(["btf", "dump", "file", `${OBJECTS}execs.bpf.o`, "root_id", "999999"])).err,
    "Error: invalid root ID: 999999\n",
  );
});
