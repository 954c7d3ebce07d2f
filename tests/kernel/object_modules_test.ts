import { assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { NotSupportedError } from "../../errors.ts";
import { kernelBtf } from "../../features/mod.ts";
import { kernelSince, kernelTest, type Probe } from "../_kernel_test.ts";
import { run, toolPath } from "../_tools.ts";
import { rootToken } from "./_objects.ts";
import { testObject } from "./_object_files.ts";

const MODULE = "nf_conntrack";

/** Whether the module is there, or could be loaded: only machines that are made for tests have it so. */
const hasModule: Probe = () => {
  const there = (): boolean => {
    try {
      return Deno.statSync(`/sys/kernel/btf/${MODULE}`).isFile;
    } catch {
      return false;
    }
  };
  if (there()) return undefined;
  const modprobe = Deno.env.get("BPF_TEST_VM") === undefined ? undefined : toolPath("modprobe");
  if (modprobe !== undefined) new Deno.Command(modprobe, { args: [MODULE], stderr: "null" }).outputSync();
  return there() ? undefined : `no module ${MODULE} with BTF`;
};

const OPTIONS = { needs: ["btf", "netns", kernelSince("6.1"), hasModule] } as const;

kernelTest("BpfObject.load() finds functions of modules that programs call", OPTIONS, () => {
  using object = testObject("modules");
  object.spec.programs.look_up.autoload = true;
  object.load(rootToken());
  assertEquals(object.progs.look_up.run({ data: new Uint8Array(64) }).returnValue, 2);
  // ENOENT: there is no such connection. EPROTO and others would say that the function was not reached as it is.
  assertEquals(object.bss.get("error"), -2);
});

kernelTest(
  "BpfObject.load() finds functions of modules that are traced, with and without the module's name",
  OPTIONS,
  async () => {
    const token = rootToken();
    using object = testObject("modules");
    const { by_module, by_name } = object.spec.programs;
    assertEquals([by_module.attachTo, by_name.attachTo], [
      { name: "nf_conntrack_in", module: MODULE },
      { name: "nf_conntrack_in" },
    ]);
    by_module.autoload = by_name.autoload = true;
    object.load(token);
    const id = kernelBtf(MODULE).find("func", "nf_conntrack_in");
    for (const { info } of Object.values(object.progs)) {
      assertEquals(info.attachBtfId, id);
      assertNotEquals(info.attachBtfObjId, 0);
    }
    using links = object.attach(token);
    assertEquals(Object.keys(links.links).sort(), ["by_module", "by_name"]);
    assertEquals((await run("true")).code, 0);
    using other = testObject("modules");
    other.spec.programs.by_module.autoload = true;
    other.spec.programs.by_module.attachTo = { name: "no_such_function", module: MODULE };
    assertThrows(() => other.load(token), NotSupportedError, "module nf_conntrack has no func no_such_function");
  },
);
