import { assertEquals, assertThrows } from "@std/assert";
import { mapCreate, mapFreeze } from "../../../cmds/map.ts";
import { SyscallError } from "../../../errors.ts";
import { LITTLE_ENDIAN } from "../../../ffi/memory.ts";
import { grantToken } from "../../../tokens/token.ts";
import { errnos } from "../../../uapi/errno.gen.ts";
import { structLayouts } from "../../../uapi/structs.gen.ts";
import { FakeKernel, memoryAt } from "../_fake_kernel.ts";
import { ALL, environment } from "../tokens/_environments.ts";

const token = grantToken(environment({ release: "7.2" }), ALL);
const options = { type: "hash", keySize: 4, valueSize: 8, maxEntries: 1 } as const;

/** A kernel that refuses everything, and says why where it is asked with common attributes. */
function saying(text: string, answer: number = -errnos.ENOMEM): FakeKernel {
  const fake = new FakeKernel(() => -errnos.ENOMEM);
  fake.bpfCommon = (_cmd, _attr, common) => {
    const { log_buf: buffer, log_size: size } = structLayouts.bpf_common_attr.fields;
    const view = new DataView(common.buffer, common.byteOffset, common.length);
    const log = memoryAt(view.getBigUint64(buffer.offset, LITTLE_ENDIAN), view.getUint32(size.offset, LITTLE_ENDIAN));
    log.set(new TextEncoder().encode(text));
    return answer;
  };
  return fake;
}

Deno.test("mapCreate() tells what the kernel says about a refusal", () => {
  using _fake = saying("Invalid map_type.\nand more\n");
  const error = assertThrows(() => mapCreate(token, options), SyscallError);
  assertEquals(error.hint, "the kernel says: Invalid map_type.; and more");
});

Deno.test("mapCreate() keeps the usual hint where the kernel says nothing", () => {
  using _fake = saying("");
  const error = assertThrows(() => mapCreate(token, options), SyscallError);
  assertEquals(error.hint, "the map is larger than the kernel has memory for");
});

Deno.test("mapCreate() closes a map that it gets while it only asks why", () => {
  using fake = saying("", 77);
  assertThrows(() => mapCreate(token, options), SyscallError);
  assertEquals(fake.closed, [77]);
});

Deno.test("mapFreeze() is not tried again to hear why it failed", () => {
  using _fake = saying("never asked for");
  assertEquals(assertThrows(() => mapFreeze(token, 9), SyscallError).hint, undefined);
});
