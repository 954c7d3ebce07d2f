import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { onlineCpus } from "../../ffi/cpus.ts";
import { kernelTest, type Probe, SLOWNESS } from "../_kernel_test.ts";
import { run } from "../_tools.ts";
import { type Data, data, kprobeEvent, MESSAGES, openBook, type Place } from "./_book.ts";
import { rootToken } from "./_objects.ts";

const lacksKprobes: Probe = () => {
  try {
    using _event = kprobeEvent("__x64_sys_execve");
    return undefined;
  } catch (error) {
    return `no kprobes: ${error instanceof Error ? error.message : error}`;
  }
};

const PLACES: readonly (readonly [Place, readonly ("tracefs" | Probe)[]])[] = [
  ["tracepoint", ["tracefs"]],
  ["kprobe", ["tracefs", lacksKprobes]],
];

/** Runs a program as some user, whose execve is seen. */
async function runAs(uid: number): Promise<void> {
  const { code, stderr } = await run("setpriv", ["--reuid", `${uid}`, "--clear-groups", "/bin/true"]);
  assertEquals(code, 0, stderr);
}

for (const [place, needs] of PLACES) {
  kernelTest(`the book's program: messages by user id, from a ${place}, and bpftool prints them by our BTF`, {
    needs,
    tools: ["bpftool", "setpriv"],
  }, async () => {
    using book = openBook(rootToken(), place);
    const stream = book.perf.events(data, { signal: AbortSignal.timeout(20_000 * SLOWNESS) });
    for (const uid of [0, 501, 1234]) await runAs(uid);
    const seen = new Map<number, Data>();
    for await (const { event } of stream) {
      // Others on this machine may run programs too; setpriv itself runs one as the user.
      if (event.command === "setpriv") seen.set(event.uid, event);
      if (seen.size === 3) break;
    }
    assertEquals([...seen.values()].map(({ uid, message }) => [uid, message]).sort(), [
      [0, "Hey root!"],
      [1234, "Hello World"],
      [501, "Hi user 501!"],
    ]);
    for (const { pid } of seen.values()) assert(pid > 1);
    const { stdout, code } = await run("bpftool", ["map", "dump", "name", "config"]);
    assertEquals(code, 0);
    // As the book prints it, in whichever order the hash has.
    for (const [uid, message] of MESSAGES) {
      assertStringIncludes(
        stdout,
        `"key": ${uid},\n        "value": {\n            "message": "${message}"\n        }`,
      );
    }
    const parsed = JSON.parse(stdout) as { key: number; value: { message: string } }[];
    assertEquals(
      parsed.map(({ key, value }) => [key, value.message]).sort(),
      [...MESSAGES].map((pair) => [...pair]).sort(),
    );
    assertEquals(book.config.get(501), { message: "Hi user 501!" });
    const dump = book.prog.dump();
    assertMatch(dump, /^int hello\(void \* ctx\):\n; int hello\(void \*ctx\) \{\n {3}0: \(bf\) r6 = r1\n/);
    assertStringIncludes(dump, "\n; output.perf_submit(ctx, &data, sizeof(data));\n");
  });

  kernelTest(`the book's program makes its system calls in the book's order, for a ${place}`, {
    needs,
    tools: ["strace"],
  }, async () => {
    const child = decodeURIComponent(new URL("_book_child.ts", import.meta.url).pathname);
    const log = await Deno.makeTempFile();
    const deno = ["run", "-A", "--no-check", "--cached-only", child, place];
    const options = ["-f", "-o", log, "-e", "trace=bpf,perf_event_open,ioctl", Deno.execPath()];
    const { code, stdout, stderr } = await run("strace", [...options, ...deno], { timeoutMs: 60_000 * SLOWNESS });
    assertEquals(code, 0, stderr);
    const fds = JSON.parse(stdout) as { config: number; prog: number };
    const text = await Deno.readTextFile(log);
    await Deno.remove(log);
    const lines = text.split("\n").map((line) => line.replace(/^\d+ +/, ""));
    const shown = lines.filter((line) => /^(bpf|perf_event_open)\(|PERF_EVENT_IOC_(SET_BPF|ENABLE)/.test(line));
    const names = shown.map((line) =>
      /^bpf\((BPF_\w+)/.exec(line)?.[1] ?? /PERF_EVENT_IOC_\w+|perf_event_open/.exec(line)![0]
    );
    // The library asks for the sizes of each map once, before it passes addresses of keys and values; bcc knows them.
    // What it asks the kernel for at its end is to forget the events.
    const ours = names.filter((name) => name !== "BPF_OBJ_GET_INFO_BY_FD" && name !== "BPF_MAP_DELETE_ELEM");
    const perCpu = ["perf_event_open", "BPF_MAP_UPDATE_ELEM", "PERF_EVENT_IOC_ENABLE"];
    assertEquals(ours, [
      "BPF_BTF_LOAD",
      "BPF_MAP_CREATE",
      "BPF_MAP_CREATE",
      "BPF_PROG_LOAD",
      "perf_event_open",
      "PERF_EVENT_IOC_SET_BPF",
      "PERF_EVENT_IOC_ENABLE",
      "BPF_MAP_UPDATE_ELEM",
      "BPF_MAP_UPDATE_ELEM",
      ...onlineCpus().flatMap(() => perCpu),
    ]);
    // The fields that the book explains.
    const btfFd = /= (\d+)$/.exec(shown.find((line) => line.includes("BPF_BTF_LOAD"))!)?.[1];
    const [output, config] = shown.filter((line) => line.includes("BPF_MAP_CREATE"));
    assertMatch(output, /map_type=BPF_MAP_TYPE_PERF_EVENT_ARRAY, key_size=4, value_size=4, max_entries=\d+/);
    assertStringIncludes(output, `max_entries=${onlineCpus().length}`);
    assertStringIncludes(output, 'map_name="output"');
    assertMatch(config, /map_type=BPF_MAP_TYPE_HASH, key_size=4, value_size=13, max_entries=10240, map_flags=0/);
    assertMatch(config, new RegExp(`map_name="config".*btf_fd=${btfFd}, btf_key_type_id=1, btf_value_type_id=4`));
    const load = shown.find((line) => line.includes("BPF_PROG_LOAD"))!;
    assertStringIncludes(load, `prog_type=BPF_PROG_TYPE_${place.toUpperCase()}, insn_cnt=44,`);
    assertMatch(load, /license="GPL".*prog_name="hello".*expected_attach_type=BPF_CGROUP_INET_INGRESS/);
    assertMatch(load, new RegExp(`prog_btf_fd=${btfFd}, func_info_rec_size=8, func_info=0x[0-9a-f]+, func_info_cnt=1`));
    assertMatch(load, /line_info_rec_size=16, line_info=0x[0-9a-f]+, line_info_cnt=11/);
    assertMatch(shown.find((line) => line.includes("SET_BPF"))!, new RegExp(`SET_BPF, ${fds.prog}\\)`));
    const updates = shown.filter((line) => line.includes("BPF_MAP_UPDATE_ELEM"));
    assertEquals(updates.slice(0, 2).map((line) => /map_fd=(\d+)/.exec(line)?.[1]), [`${fds.config}`, `${fds.config}`]);
    for (const line of updates) assertMatch(line, /flags=BPF_ANY.*\) = 0$/);
  });
}
