import { assert, assertEquals, assertGreater } from "@std/assert";
import type { JsonCgroupProg, JsonData, JsonDocument, JsonElement, JsonError, JsonHeld } from "../../cli/json.ts";
import { kernelTest, type KernelTestOptions } from "../_kernel_test.ts";
import { rootToken } from "./_objects.ts";
import { type Zoo, zoo } from "./_zoo.ts";
import { ours } from "./_cli.ts";

const OPTIONS: KernelTestOptions = { needs: ["btf", "bpffs", "cgroup", "netns"] };

const number = (value: number): void => assertEquals(typeof value, "number");
const string = (value: string): void => assertEquals(typeof value, "string");
const digits = (value: string): void => assert(/^\d+$/.test(value), value);
const hex = (value: string): void => assert(/^([0-9a-f]{2})*$/.test(value), value);

function held({ pinned, pids }: JsonHeld): void {
  pinned.forEach(string);
  for (const { pid, comm } of pids) (number(pid), string(comm));
}

function element({ key, value, values, error }: JsonElement): void {
  assert(key !== undefined);
  assertEquals([value, values, error].filter((one) => one !== undefined).length, 1, JSON.stringify(key));
}

function cgroupProg({ id, attachType, flags, name, attachBtfObjId, attachBtfId, attachBtfName }: JsonCgroupProg): void {
  [id, attachBtfObjId, attachBtfId, flags ?? 0].forEach(number);
  [attachType, name, attachBtfName].forEach(string);
}

/** A command for each kind, and what its answer has to have: the types of `@bpf/deno/json`, field by field. */
type Checks = {
  readonly [K in keyof JsonData]: readonly [
    args: (animals: Zoo) => readonly string[],
    check: (data: JsonData[K]) => void,
  ];
};

const CHECKS: Checks = {
  "prog.show": [() => ["-f", "prog", "show"], (data) => {
    assertGreater(data.length, 20);
    for (const prog of data) {
      [prog.id, prog.xlatedProgLen, prog.memlock ?? 0, prog.loadedAt ?? 0].forEach(number);
      [prog.loadTime, prog.runTimeNs, prog.runCnt, prog.recursionMisses].forEach(digits);
      hex(prog.tag);
      assertEquals(typeof prog.gplCompatible, "boolean");
      held(prog);
    }
    assertEquals(data.find(({ name }) => name === "counting")?.pinned.length, 2);
  }],
  "prog.run": [() => ["prog", "run", "name", "counting", "data_in", "/proc/self/status"], (data) => {
    [data.returnValue, data.durationNs].forEach(number);
    [data.data, data.ctx].forEach(hex);
  }],
  "map.show": [() => ["-f", "map", "show"], (data) => {
    assertGreater(data.length, 25);
    for (const map of data) {
      [map.id, map.keySize, map.valueSize, map.maxEntries, map.flags, map.memlock ?? 0].forEach(number);
      digits(map.mapExtra);
      assertEquals(typeof map.frozen, "boolean");
      held(map);
    }
    const programs = data.find(({ name }) => name === "m_prog_array");
    assert(programs !== undefined && "ownerProgType" in programs === "ownerJited" in programs);
  }],
  "map.dump": [() => ["map", "dump", "name", "m_percpu_array"], ([{ id, name, type, elements }]) => {
    number(id);
    assertEquals([name, type], ["m_percpu_array", "percpu_array"]);
    assertGreater(elements.length, 1);
    elements.forEach(element);
    assertGreater(elements[0].values?.length ?? 0, 0);
  }],
  "map.lookup": [() => ["map", "lookup", "name", "m_hash", "key", "1", "0", "0", "0"], (data) => {
    assert(data !== null);
    element(data);
    hex(data.value as string);
  }],
  "link.show": [() => ["-f", "link", "show"], (data) => {
    assertGreater(data.length, 5);
    for (const link of data) {
      [link.id, link.progId].forEach(number);
      held(link);
    }
  }],
  "btf.show": [() => ["btf", "show"], (data) => {
    for (const { id, btfSize, name, kernelBtf, progIds, mapIds } of data) {
      [id, btfSize, ...progIds, ...mapIds].forEach(number);
      string(name);
      assertEquals(typeof kernelBtf, "boolean");
    }
  }],
  "cgroup.show": [({ cgroup }) => ["cgroup", "show", cgroup], (data) => {
    assertEquals(data.length, 2);
    data.forEach(cgroupProg);
  }],
  "cgroup.tree": [({ cgroup }) => ["cgroup", "tree", cgroup, "effective"], (data) => {
    assertGreater(data.length, 0);
    for (const { path, progs } of data) {
      string(path);
      progs.forEach(cgroupProg);
    }
  }],
  "net.show": [() => ["net", "show"], (data) => {
    assertGreater(data.length, 1);
    for (const { where } of data) string(where);
  }],
  "top": [() => ["top", "--seconds", "0.2", "--interval", "0.2"], (data) => {
    assertGreater(data.length, 10);
    for (const { id, name, type, cpu, rate, averageNs } of data) {
      [id, cpu, rate, averageNs].forEach(number);
      [name, type].forEach(string);
    }
  }],
  "perf.show": [() => ["perf", "show"], (data) => {
    for (const { where } of data) string(where);
  }],
};

kernelTest("bpf --json=v1 answers with what the types of @bpf/deno/json say", OPTIONS, async () => {
  await using animals = await zoo(rootToken());
  for (const [kind, [args, check]] of Object.entries(CHECKS)) {
    const { code, out, err } = await ours("--json=v1", ...args(animals));
    assertEquals([code, err], [0, ""], `${kind}: ${out}`);
    const document = JSON.parse(out) as JsonDocument<keyof JsonData>;
    assertEquals([document.version, document.kind], [1, kind]);
    (check as (data: JsonData[keyof JsonData]) => void)(document.data);
  }
});

kernelTest("bpf --json=v1 answers every other command with one document of the same form", OPTIONS, async () => {
  await using animals = await zoo(rootToken());
  const commands = [
    "version",
    "prog dump xlated name counting",
    "prog dump jited name counting",
    "map getnext name m_hash",
    "map peek name m_queue",
    "map update name m_hash key 5 0 0 0 value 1 2 3 4 5 6 7 8",
    `map pin name m_hash ${animals.folder}/v1`,
    "btf dump map name typed",
    "btf dump map name typed format c",
    "struct_ops show",
    "struct_ops dump",
    "feature list_builtins map_types",
    "token show",
    "graph dot",
    "explain map create type hash",
    "completion bash",
    "help",
  ];
  for (const command of commands) {
    const { code, out } = await ours("--json=v1", ...command.split(" "));
    assertEquals(code, 0, command);
    const { version, kind, data } = JSON.parse(out) as JsonDocument;
    assertEquals([version, typeof kind], [1, "string"], command);
    assert(data !== undefined, command);
  }
  for (const command of ["map show id 999999999", "prog dump xlated id 0", "frob", "map lookup name m_hash key x"]) {
    const { code, out } = await ours("--json=v1", ...command.split(" "));
    assert(code !== 0, command);
    const said = JSON.parse(out) as JsonError | null;
    if (command !== "frob") string(said?.error ?? "");
  }
});
