import { assertEquals, assertGreater } from "@std/assert";
import { Btf, type BtfKind } from "../../../btf/mod.ts";
import { forgetAnswers } from "../../../features/_answer.ts";
import { sanitizeBtf, sanitizeInsns } from "../../../object/_sanitize.ts";
import { parseObject } from "../../../object/parse.ts";
import { grantToken } from "../../../tokens/token.ts";
import { errnos } from "../../../uapi/errno.gen.ts";
import { helpers } from "../../../uapi/enums.gen.ts";
import { FakeKernel, integer } from "../_fake_kernel.ts";
import { encode } from "../../../asm/mod.ts";
import { call, exit, ldImm64, r1 } from "../../../asm/mod.ts";
import type { Capability } from "../../../tokens/capabilities.ts";

const FOLDER = new URL("../../testdata/objects/", import.meta.url);

function specOf(name: string): ReturnType<typeof parseObject>["spec"] {
  return parseObject(Deno.readFileSync(new URL(`${name}.bpf.o`, FOLDER))).spec;
}

function token(): ReturnType<typeof grantToken> {
  const held = new Set<Capability>(["CAP_BPF", "CAP_PERFMON", "CAP_SYS_ADMIN", "CAP_NET_ADMIN"]);
  const environment = { initialUserNamespace: true, unprivilegedBpfDisabled: 2, release: 4019, releaseName: "4.19" };
  return grantToken({ ...environment, capabilities: held }, [...held]) as unknown as ReturnType<typeof grantToken>;
}

/** Kinds that Linux 4.18 knew. */
const OLDEST: ReadonlySet<BtfKind> = new Set<BtfKind>(
  ["int", "ptr", "array", "struct", "union", "enum", "fwd", "typedef", "volatile", "const", "restrict"],
);

Deno.test("sanitizeBtf() leaves only kinds that the kernel knows, and moves none", () => {
  for (const name of ["kinds", "opens", "globals", "externs", "calls"]) {
    forgetAnswers();
    using _fake = new FakeKernel(({ command }) => command === "btf_load" ? -errnos.EINVAL : undefined);
    const spec = specOf(name);
    const before = spec.btf!;
    const after = Btf.parse(sanitizeBtf(token(), spec));
    assertGreater(before.typeCount, 20);
    for (let id = 1; id < before.typeCount; id++) {
      const kind = after.kindOf(id);
      assertEquals(OLDEST.has(kind), true, `${name}: ${id} is still a ${kind}`);
      if (OLDEST.has(before.kindOf(id))) assertEquals(kind, before.kindOf(id));
      const size = before.sizeOf(id);
      if (kind === "union" || kind === "struct") assertEquals(after.sizeOf(id), size, `${name}: ${id}`);
    }
    for (const map of Object.values(spec.maps)) {
      for (const id of [map.keyTypeId, map.valueTypeId]) {
        if (id !== 0) assertEquals(after.sizeOf(id), before.sizeOf(id), `${name}: ${map.name}`);
      }
    }
  }
  forgetAnswers();
});

Deno.test("sanitizeBtf() changes nothing where the kernel knows all, but hidden functions", () => {
  forgetAnswers();
  using _fake = new FakeKernel();
  const kinds = specOf("kinds");
  assertEquals(sanitizeBtf(token(), kinds), new Uint8Array(kinds.btf!.bytes));
  const calls = specOf("calls");
  const after = Btf.parse(sanitizeBtf(token(), calls));
  const changed = [...calls.btf!.types()].filter(([id, type]) =>
    JSON.stringify(type) !== JSON.stringify(after.type(id))
  );
  assertEquals(changed.map(([, { name }]) => name), ["secret"]);
  forgetAnswers();
});

Deno.test("sanitizeInsns() takes helpers that came before, where the kernel lacks later ones", () => {
  const insns = encode([
    call("probe_read_kernel"),
    call("probe_read_user_str"),
    // A number that looks like a call, in the second half of a load.
    ldImm64(r1, BigInt(helpers.probe_read_kernel) << 32n),
    call("get_current_comm"),
    exit(),
  ]);
  const calls = (bytes: Uint8Array<ArrayBuffer>): number[] => {
    const view = new DataView(bytes.buffer);
    return [4, 12, 36].map((at) => view.getInt32(at, true));
  };
  forgetAnswers();
  {
    using _fake = new FakeKernel();
    const copy = insns.slice();
    sanitizeInsns(token(), copy);
    assertEquals(copy, insns);
  }
  forgetAnswers();
  const log = new TextEncoder().encode("invalid func unknown#113\n\0");
  using _fake = new FakeKernel((kernelCall) => {
    if (kernelCall.command !== "prog_load") return undefined;
    const code = kernelCall.memory("insns", 8);
    // The least program of the type loads; one that calls the helper does not.
    if (code[0] !== 0x85) return undefined;
    if (kernelCall.get("log_level") > 0n) kernelCall.memory("log_buf", log.length).set(log);
    return -errnos.EINVAL;
  });
  const copy = insns.slice();
  sanitizeInsns(token(), copy);
  assertEquals(calls(copy), [helpers.probe_read, helpers.probe_read_str, helpers.get_current_comm]);
  assertEquals(copy.subarray(28, 32), integer(helpers.probe_read_kernel, 4));
  forgetAnswers();
});
