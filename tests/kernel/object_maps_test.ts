import { assertEquals, assertGreater, assertThrows } from "@std/assert";
import { mapUpdateElem } from "../../cmds/map_elem.ts";
import { possibleCpus } from "../../ffi/cpus.ts";
import { BpfMap } from "../../maps/mod.ts";
import { u32, u64 } from "../../codec.ts";
import { PermissionError, SyscallError } from "../../errors.ts";
import type { BpfObject } from "../../object/mod.ts";
import { kernelSince, kernelTest } from "../_kernel_test.ts";
import { place, rootToken } from "./_objects.ts";
import { testObject } from "./_object_files.ts";

const OPTIONS = { needs: ["btf", "bpffs"] } as const;

/** The object of maps, whose pin goes at the end. */
function withMaps(run: (object: BpfObject, pin: string) => void): void {
  const pin = `${place("BPFFS")}/pinned`;
  using object = testObject("maps");
  try {
    run(object, pin);
  } finally {
    object.close();
    try {
      Deno.removeSync(pin);
    } catch {
      // It was not made.
    }
  }
}

/** Runs the program that starts the others. */
function run(object: BpfObject): number {
  return object.progs.start_here.run({ data: new Uint8Array(64) }).returnValue;
}

kernelTest("BpfObject.load() makes maps of all attributes", OPTIONS, () => {
  withMaps((object) => {
    object.load(rootToken());
    const info = (name: string): unknown[] => {
      const { type, keySize, valueSize, maxEntries, flags } = object.maps[name].info;
      return [type, keySize, valueSize, maxEntries, flags];
    };
    assertEquals(info("sized"), ["hash", 6, 24, 100, 1]);
    assertEquals(info("typed"), ["lru_percpu_hash", 16, 16, 64, 0]);
    assertEquals(info("ring"), ["ringbuf", 0, 0, 8192, 0]);
    assertEquals(info("perf"), ["perf_event_array", 4, 4, possibleCpus(), 0]);
    assertEquals(info("queue"), ["queue", 0, 16, 4, 0]);
    assertEquals(info("stacks"), ["stack_trace", 4, 1016, 32, 0]);
    assertEquals(info("routes"), ["lpm_trie", 8, 4, 16, 1]);
    assertEquals(info("empty_outer"), ["hash_of_maps", 4, 4, 3, 0]);
    // XDP_TX: the tail call got there, by slot 2 of the program array.
    assertEquals(run(object), 3);
    assertEquals(object.maps.pinned.get(3), 7n);
    assertEquals(object.maps.first.get(1), 40n);
    assertEquals(object.maps.second.get(1), 0n);
    assertEquals(object.maps.outer.get(1), object.maps.first.info.id);
    assertEquals(object.maps.outer.get(4), object.maps.second.info.id);
    assertEquals([0, 2, 3].map((slot) => object.maps.outer.get(slot)), [undefined, undefined, undefined]);
    assertEquals(object.maps.tails.get(2), object.progs.tail_one.info.id);
    const values = object.maps.typed.get({ one: 1, other: 2n }) as unknown[];
    assertEquals(values.length, possibleCpus());
    assertGreater(values.filter((value) => (value as { one: number }).one === 1).length, 0);
  });
});

kernelTest("BpfObject.load() uses a map that is pinned by its name, and names what is different", OPTIONS, () => {
  const token = rootToken();
  withMaps((object, pin) => {
    object.load(token);
    run(object);
    assertEquals(Deno.statSync(pin).isFile, true);
    using again = testObject("maps");
    again.load(token);
    assertEquals(again.maps.pinned.info.id, object.maps.pinned.info.id);
    run(again);
    assertEquals(object.maps.pinned.get(3), 14n);
    using other = testObject("maps");
    other.spec.maps.pinned.maxEntries = 9;
    other.spec.maps.pinned.flags = 0;
    const message =
      `Cannot use ${pin} as map pinned: maxEntries is 8 there and 9 in the object, flags is 1024 there and 0`;
    assertThrows(() => other.load(token), TypeError, message);
    other.spec.maps.pinned.pinByName = false;
    other.load(token);
    assertEquals(other.maps.pinned.maxEntries, 9);
  });
});

kernelTest("BpfObject.load() uses maps that are given, which stay the caller's", OPTIONS, () => {
  const token = rootToken();
  withMaps((object) => {
    using mine = BpfMap.create(token, { type: "array", value: u64, maxEntries: 8, flags: ["mmapable"] });
    using wrong = BpfMap.create(token, { type: "hash", key: u32, value: u64, maxEntries: 8 });
    assertThrows(
      () => object.load(token, { maps: { pinned: wrong } }),
      TypeError,
      "type is hash there and array in the",
    );
    assertThrows(() => object.load(token, { maps: { no_such: mine } }), TypeError, "the object has no map no_such");
    object.load(token, { maps: { pinned: mine } });
    run(object);
    assertEquals(mine.get(3), 7n);
    object.close();
    assertEquals([mine.closed, mine.get(3)], [false, 7n]);
  });
});

kernelTest("BpfObject.load() takes the pins away that it made where it fails", OPTIONS, () => {
  const token = rootToken();
  withMaps((object, pin) => {
    object.spec.programs.tail_one.expectedAttachType = undefined;
    object.spec.programs.tail_one.type = "socket_filter";
    assertThrows(() => object.load(token), SyscallError, "(program tail_one in map tails of the object)");
    assertThrows(() => Deno.statSync(pin), Deno.errors.NotFound);
    assertEquals([...Deno.readDirSync(place("BPFFS"))].filter(({ name }) => name === "pinned"), []);
  });
});

kernelTest("BpfObject.load() makes the folder of pins by name, and takes it away where it fails", OPTIONS, () => {
  const folder = `${place("BPFFS")}/made`;
  withMaps((object) => {
    object.spec.pinFolder = folder;
    object.spec.programs.start_here.flags = ["xdp_has_frags", "sleepable"];
    assertThrows(() => object.load(rootToken()));
    assertThrows(() => Deno.statSync(folder), Deno.errors.NotFound);
    object.spec.programs.start_here.flags = [];
    assertThrows(() => object.load(rootToken().only({ pins: [`${place("BPFFS")}/other`] })), PermissionError);
    assertThrows(() => Deno.statSync(folder), Deno.errors.NotFound);
    object.load(rootToken());
    assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name), ["pinned"]);
  });
  Deno.removeSync(folder, { recursive: true });
});

kernelTest("BpfObject.load() fills maps of variables in their place", OPTIONS, () => {
  const token = rootToken();
  using first = testObject("globals");
  first.data.set({ counter: 5n });
  first.load(token);
  // The same variables for two objects: the second one takes what there is.
  using second = testObject("globals");
  second.load(token, { maps: { ".data": first.maps[".data"] } });
  assertEquals(second.data.get("counter"), 5n);
  second.data.set({ counter: 6n });
  assertEquals(first.data.get("counter"), 6n);
  const { rodata } = first;
  const key = new Uint8Array(4);
  assertThrows(() => mapUpdateElem(token, first.maps[".rodata"], { key, value: rodata.bytes }), Error, "EPERM");
});

kernelTest("BpfObject.plan() tells the calls that load() makes, in their order", OPTIONS, () => {
  const token = rootToken();
  for (const name of ["opens", "maps", "globals", "calls", "struct_ops"]) {
    using object = testObject(name);
    if (name === "maps") object.spec.maps.pinned.pinByName = false;
    // Links of structs of functions came in 6.4, callbacks and what calls them in 5.17.
    if (name === "struct_ops" && kernelSince("6.4")() !== undefined) continue;
    if (name === "calls" && kernelSince("5.17")() !== undefined) continue;
    const plan = object.plan(token);
    assertEquals([plan.allowed, plan.missing], [true, []]);
    // Probes are made once a process.
    testObject(name).load(token).close();
    const made: string[] = [];
    const wanted = /^(map_create|map_freeze|prog_load|btf_load|obj_pin)$/;
    using _audit = token.audit(({ command, result }) => {
      if (result >= 0 && wanted.test(command)) made.push(command);
    });
    object.load(token);
    // Maps of maps are made with one of those that they will hold, which goes at once.
    const inner = object.spec.maps;
    const extra = Object.values(inner).filter((map) => map.inner !== undefined).length;
    const planned: string[] = plan.steps.map(({ request }) => request.command).filter((command) =>
      wanted.test(command)
    );
    assertEquals(
      made.filter((command) => command !== "map_create"),
      planned.filter((command) => command !== "map_create"),
    );
    const creates = (list: readonly string[]): number => list.filter((command) => command === "map_create").length;
    assertEquals(creates(made), creates(planned) + extra, name);
  }
  const poor = rootToken().drop("CAP_PERFMON", "CAP_SYS_ADMIN");
  using object = testObject("opens");
  const plan = object.plan(poor);
  assertEquals([plan.allowed, plan.missing], [false, ["CAP_PERFMON"]]);
  assertEquals(plan.steps.filter(({ verdict }) => !verdict.allowed).map(({ name }) => name), [
    "enter_openat",
    "exit_openat",
  ]);
});
