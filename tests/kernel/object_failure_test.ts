import { assert, assertEquals, assertGreater } from "@std/assert";
import { openFds } from "../../ffi/fd.ts";
import { generateModule } from "../../object/mod.ts";
import { commands } from "../../uapi/enums.gen.ts";
import { kernelSince, kernelTest, SLOWNESS } from "../_kernel_test.ts";
import { run } from "../_tools.ts";
import { FailingKernel, isHarmless, type Spared } from "./_failing.ts";
import { place, rootToken } from "./_objects.ts";
import { objectBytes, testObject } from "./_object_files.ts";

/** Deleting a pin, and taking back what is attached, have to be possible. */
const isSpared: Spared = (name, args) =>
  isHarmless(name, args) || name === "unlink" || (name === "bpf" && args[0] === commands.map_delete_elem);

function pins(): string[] {
  return [...Deno.readDirSync(place("BPFFS"))].map(({ name }) => name).filter((name) => name === "pinned");
}

kernelTest("BpfObject leaves nothing behind, whichever step of loading and attaching fails", {
  needs: ["btf", "bpffs", kernelSince("6.4")],
}, () => {
  const token = rootToken();
  for (const name of ["maps", "latency", "struct_ops", "kfuncs", "arena"]) {
    // What is asked once a process is asked before.
    testObject(name).load(token).close();
    for (const pin of pins()) Deno.removeSync(`${place("BPFFS")}/${pin}`);
    const before = openFds().length;
    let [failures, step] = [0, 0];
    // A step of few is as good as each, where each takes a while.
    for (;; step += SLOWNESS === 1 ? 1 : 3) {
      assert(step < 2000, "loading never ends");
      let failed: string | undefined;
      {
        using object = testObject(name);
        using failing = new FailingKernel(step, isSpared);
        try {
          object.load(token);
          using _links = object.attach(token);
        } catch {
          failures++;
          // A pin stays only where the object was loaded.
          if (!object.loaded) assertEquals(pins(), [], `${name}, step ${step}, ${failing.failed}`);
        }
        failed = failing.failed;
      }
      assertEquals(openFds().length, before, `${name}, step ${step}, ${failed}`);
      for (const pin of pins()) Deno.removeSync(`${place("BPFFS")}/${pin}`);
      if (failed === undefined) break;
    }
    assertGreater(failures, SLOWNESS === 1 ? 3 : 0, name);
  }
  const names = Deno.readTextFileSync("/proc/sys/net/ipv4/tcp_available_congestion_control");
  assertEquals(names.includes("bpf_deno"), false);
});

kernelTest("BpfObject needs --allow-ffi, and nothing else", { needs: ["btf"] }, async () => {
  const folder = await Deno.makeTempDir();
  try {
    const from = new URL("../../mod.ts", import.meta.url).href;
    const module = generateModule(testObject("globals"), { bytes: objectBytes("globals"), from });
    await Deno.writeTextFile(`${folder}/globals.ts`, module);
    const script = `
      import { parseGlobals } from "./globals.ts";
      import { acquire } from ${JSON.stringify(from)};
      using object = parseGlobals();
      object.variables(".rodata.named").set({ named: 40 });
      object.load(acquire("CAP_BPF", "CAP_PERFMON", "CAP_SYS_ADMIN"));
      console.log(object.progs.all.run({ data: new Uint8Array(64) }).returnValue, object.variables(".data.custom").get("custom"));
    `;
    await Deno.writeTextFile(`${folder}/script.ts`, script);
    const config = decodeURIComponent(new URL("../../deno.json", import.meta.url).pathname);
    const args = ["run", "--no-prompt", "--allow-ffi", "--config", config, `${folder}/script.ts`];
    const { code, stdout, stderr } = await run(Deno.execPath(), args, { timeoutMs: 60_000 * SLOWNESS });
    assertEquals([code, stdout.trim()], [0, "180 49"], stderr);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
