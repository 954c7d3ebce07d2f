import { assertEquals, assertGreater, assertStringIncludes, assertThrows } from "@std/assert";
import { NotSupportedError } from "../../errors.ts";
import { openPerfEvent } from "../../ffi/perf_event.ts";
import { structBuffer } from "../../ffi/struct_buffer.ts";
import { PERF_COUNT_SW_TASK_CLOCK, PERF_TYPE_SOFTWARE } from "../../uapi/constants.gen.ts";
import { kernelTest } from "../_kernel_test.ts";
import { run } from "../_tools.ts";

const PERF_MODULE = new URL("../../ffi/perf_event.ts", import.meta.url).href;
const STRUCT_MODULE = new URL("../../ffi/struct_buffer.ts", import.meta.url).href;
const CREDENTIALS_MODULE = new URL("../_credentials.ts", import.meta.url).href;

kernelTest("openPerfEvent() opens a software event of this process", {}, () => {
  const attr = structBuffer("perf_event_attr").u32("type", PERF_TYPE_SOFTWARE).u64("config", PERF_COUNT_SW_TASK_CLOCK);
  using event = openPerfEvent(attr, { pid: 0 });
  assertGreater(event.fd, 2);
  assertStringIncludes(Deno.readLinkSync(`/proc/self/fd/${event.fd}`), "perf_event");
});

kernelTest("openPerfEvent() says that the machine has no such event", {}, () => {
  const attr = structBuffer("perf_event_attr").u32("type", 0xfffe);
  assertThrows(() => openPerfEvent(attr, { pid: 0 }), NotSupportedError, "this perf event");
});

kernelTest("openPerfEvent() explains kernel.perf_event_paranoid to the unprivileged", {}, async () => {
  const paranoid = Deno.readTextFileSync("/proc/sys/kernel/perf_event_paranoid").trim();
  const script = `
    import { openPerfEvent } from ${JSON.stringify(PERF_MODULE)};
    import { structBuffer } from ${JSON.stringify(STRUCT_MODULE)};
    import { dropTo } from ${JSON.stringify(CREDENTIALS_MODULE)};
    const attr = structBuffer("perf_event_attr").u32("type", ${PERF_TYPE_SOFTWARE});
    dropTo(65534, []);
    try {
      openPerfEvent(attr, { cpu: 0 });
      console.log("opened");
    } catch (error) {
      console.log(error.name, error.code, error.message);
    }
  `;
  const { stdout, code } = await run(Deno.execPath(), ["run", "-A", "--no-check", "-"], { stdin: script });
  assertEquals(code, 0);
  // Below 1 everybody may count the events of a CPU.
  if (Number(paranoid) < 1) return assertEquals(stdout.trim(), "opened");
  assertStringIncludes(stdout, "PermissionError EACCES");
  assertStringIncludes(stdout, `kernel.perf_event_paranoid is ${paranoid}`);
  assertStringIncludes(stdout, "CAP_PERFMON");
});
