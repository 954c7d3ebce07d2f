/**
 * What token_create_test.ts runs in a user namespace: mounts the bpffs that its parent delegates, makes a BPF token of
 * it and tries what that allows. The last line that it prints is what each step gave, as JSON.
 *
 * @module
 */

import { asm } from "../../asm/mod.ts";
import { btfLoad } from "../../cmds/btf.ts";
import { btfGetFdById } from "../../cmds/id.ts";
import { mapCreate, mapFreeze } from "../../cmds/map.ts";
import { mapLookupElem, mapUpdateElem } from "../../cmds/map_elem.ts";
import { objGetInfoByFd } from "../../cmds/obj.ts";
import { progLoad } from "../../cmds/prog.ts";
import { progTestRun } from "../../cmds/prog_run.ts";
import { tokenCreate } from "../../cmds/token.ts";
import { PermissionError, SyscallError } from "../../errors.ts";
import { Attr } from "../../ffi/attr.ts";
import { kernel } from "../../ffi/kernel.ts";
import { openPath } from "../../ffi/kernel_file.ts";
import type { BpfToken } from "../../tokens/bpf_token.ts";
import { acquire, acquireDelegated, type AuditedCall } from "../../tokens/token.ts";
import { BPF_F_TOKEN_FD } from "../../uapi/constants.gen.ts";
import { type MapType, mapTypes } from "../../uapi/enums.gen.ts";
import { mountBpffs, openBpffs } from "./_delegate.ts";
import { keyValueBtf } from "./_map_types.ts";
import { returning, u32s, u64s } from "./_objects.ts";

const steps: Record<string, unknown> = {};
const calls: Pick<AuditedCall, "command" | "result">[] = [];

/** Runs a step, and keeps what it gave, or the error's class and code. */
function step<T>(name: string, fn: () => T): T | undefined {
  try {
    const result = fn();
    steps[name] = result === undefined ? "done" : result;
    return result;
  } catch (error) {
    const kind = error instanceof PermissionError || error instanceof SyscallError ? error.code : String(error);
    steps[name] = `${error instanceof Error ? error.name : typeof error}: ${kind}`;
    return undefined;
  }
}

/** Asks the kernel itself for a map, with nothing of the library's own rules before it. */
function bareMapCreate(type: MapType, bpfToken: BpfToken | undefined): number {
  const attr = new Attr("map_create").u32("map_type", mapTypes[type]).u32("key_size", 4).u32("value_size", 8)
    .u32("max_entries", 4);
  if (bpfToken !== undefined) attr.s32("map_token_fd", bpfToken.fd).u32("map_flags", BPF_F_TOKEN_FD);
  const result = kernel().bpf(attr.number, attr.bytes, attr.bytes.length);
  if (result >= 0) kernel().close(result);
  return Math.min(result, 0);
}

using context = openBpffs();
console.log(`opened ${context.fd}`);
await Deno.stdin.read(new Uint8Array(16));
const directory = Deno.makeTempDirSync();
mountBpffs(context, directory);

step("acquire", () => acquire("CAP_BPF").capabilities);
const plain = acquire();
using _listening = plain.audit(({ command, result }) => void calls.push({ command, result }));
step("initialUserNamespace", () => plain.environment.initialUserNamespace);
step("bareWithout", () => bareMapCreate("lru_hash", undefined));
step("without", () => mapCreate(plain as never, { type: "lru_hash", keySize: 4, valueSize: 8, maxEntries: 4 }).close());
{
  using bpffs = openPath(directory);
  step("badFlags", () => tokenCreate(plain, bpffs, { flags: 1 }));
  using bpfToken = step("tokenCreate", () => tokenCreate(plain, bpffs));
  if (bpfToken !== undefined) {
    const { rights } = bpfToken;
    steps.tokenCreate = "done";
    steps.rights = Object.fromEntries(Object.entries(rights).map(([name, set]) => [name, [...set].sort()]));
    step("bareWith", () => bareMapCreate("lru_hash", bpfToken));
    step("bareOther", () => bareMapCreate("stack_trace", bpfToken));
    const token = acquireDelegated(bpfToken, "CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON");
    const admin = acquireDelegated(bpfToken, "CAP_SYS_ADMIN");
    using _hearing = token.audit(({ command, result }) => void calls.push({ command, result }));
    step("map", () => {
      using map = mapCreate(token, { type: "lru_hash", keySize: 4, valueSize: 8, maxEntries: 4 });
      mapUpdateElem(token, map, { key: u32s(1), value: u64s(2n) });
      const value = mapLookupElem(token, map, { key: u32s(1) });
      mapFreeze(token, map);
      return `${value}`;
    });
    step("otherMap", () => mapCreate(token, { type: "lpm_trie", keySize: 8, valueSize: 8, maxEntries: 4 }).close());
    step("prog", () => {
      using prog = progLoad(token, {
        type: "xdp",
        license: "GPL",
        insns: asm`
          call ktime_get_ns
          r0 = 7
          exit
        `,
        expectedAttachType: "xdp",
      });
      return progTestRun(token, prog, { data: new Uint8Array(64) }).returnValue;
    });
    step("otherProg", () => progLoad(token, { type: "sched_cls", license: "GPL", insns: returning() }).close());
    step(
      "otherAttachType",
      () =>
        progLoad(token, { type: "xdp", license: "GPL", insns: returning(), expectedAttachType: "xdp_cpumap" }).close(),
    );
    step("btf", () => {
      using btf = btfLoad(token, keyValueBtf());
      const { id } = objGetInfoByFd(token, btf, { kind: "btf" });
      using same = step("btfById", () => btfGetFdById(admin, id));
      if (same !== undefined) steps.btfById = objGetInfoByFd(token, same, { kind: "btf" }).id === id ? "same" : "other";
      return "done";
    });
  }
}
steps.calls = calls;
console.log(JSON.stringify(steps));
