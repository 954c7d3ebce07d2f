/**
 * What the types refuse, and what they accept: each call that is marked with `@ts-expect-error` is refused by the
 * compiler, and at run time, too; the others are accepted by both. The sysctl is 0: types refuse only what no value
 * of it would allow.
 *
 * @module
 */

import { assertEquals, assertThrows } from "@std/assert";
import { btfLoad } from "../../../cmds/btf.ts";
import {
  btfGetFdById,
  btfGetNextId,
  linkGetFdById,
  linkGetNextId,
  mapGetFdById,
  mapGetNextId,
  progGetFdById,
  progGetNextId,
} from "../../../cmds/id.ts";
import { linkCreate } from "../../../cmds/link.ts";
import { mapCreate, mapFreeze } from "../../../cmds/map.ts";
import { mapLookupElem } from "../../../cmds/map_elem.ts";
import { progLoad } from "../../../cmds/prog.ts";
import { progAttach, progDetach, progQuery } from "../../../cmds/prog_attach.ts";
import { enableStats } from "../../../cmds/stats.ts";
import { taskFdQuery } from "../../../cmds/task.ts";
import { PermissionError } from "../../../errors.ts";
import type { Capability } from "../../../tokens/capabilities.ts";
import { grantToken, type PermissionToken } from "../../../tokens/token.ts";
import type { MapType } from "../../../uapi/enums.gen.ts";
import { FakeKernel } from "../_fake_kernel.ts";
import { ALL, environment } from "./_environments.ts";

/** A token of some capabilities, in a process that has them all. */
function token<const C extends readonly Capability[]>(...granted: C): PermissionToken<C[number]> {
  return grantToken<C[number]>(environment({ sysctl: 0 }), granted);
}

const nobody = token();
const bpf = token("CAP_BPF");
const net = token("CAP_NET_ADMIN");
const bpfNet = token("CAP_BPF", "CAP_NET_ADMIN");
const bpfPerf = token("CAP_BPF", "CAP_PERFMON");
const admin = token("CAP_SYS_ADMIN");
const all = token("CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON", "CAP_SYS_ADMIN");

const insns = new Uint8Array([0x95, 0, 0, 0, 0, 0, 0, 0]);
const sizes = { keySize: 4, valueSize: 8, maxEntries: 1 };
const license = "GPL";

function refused(...calls: (() => unknown)[]): void {
  for (const call of calls) assertThrows(call, PermissionError, "missing CAP_", call.toString());
}

/** Makes calls that are accepted; answers how many reached the kernel. */
function accepted(...calls: (() => unknown)[]): void {
  using fake = new FakeKernel();
  for (const call of calls) {
    const before = fake.seen.length;
    const made = call();
    if (typeof made === "object" && made !== null && Symbol.dispose in made) (made as Disposable)[Symbol.dispose]();
    assertEquals(fake.seen.length > before, true, call.toString());
  }
}

Deno.test("MapToken refuses what the map's type asks for", () => {
  refused(
    // @ts-expect-error: lru_hash asks for CAP_BPF
    () => mapCreate(nobody, { type: "lru_hash", ...sizes }),
    // @ts-expect-error: CAP_NET_ADMIN is none of it
    () => mapCreate(net, { type: "lru_hash", ...sizes }),
    // @ts-expect-error: devmap asks for CAP_NET_ADMIN
    () => mapCreate(bpf, { type: "devmap", ...sizes }),
    // @ts-expect-error: a dropped capability is gone
    () => mapCreate(bpfNet.drop("CAP_BPF"), { type: "stack", ...sizes }),
  );
  accepted(
    () => mapCreate(nobody, { type: "hash", ...sizes }),
    () => mapCreate(nobody, { type: "array", ...sizes }),
    () => mapCreate(net, { type: "hash", ...sizes }),
    () => mapCreate(bpf, { type: "lru_hash", ...sizes }),
    () => mapCreate(bpf.only({ mapTypes: ["lru_hash"] }), { type: "lru_hash", ...sizes }),
    () => mapCreate(bpfPerf, { type: "lru_hash", ...sizes }),
    () => mapCreate(admin, { type: "lru_hash", ...sizes }),
    () => mapCreate(all, { type: "lru_hash", ...sizes }),
    () => mapCreate(net, { type: "devmap", ...sizes }),
    () => mapCreate(admin, { type: "devmap", ...sizes }),
  );
});

Deno.test("MapToken refuses nothing that it cannot know: numbers, unions, any type", () => {
  // A number's rule is found at run time.
  refused(() => mapCreate(nobody, { type: 9, ...sizes }));
  const either = "lru_hash" as "hash" | "lru_hash";
  const any = "lru_hash" as MapType;
  refused(() => mapCreate(nobody, { type: either, ...sizes }), () => mapCreate(nobody, { type: any, ...sizes }));
  accepted(
    () => mapCreate(nobody, { type: 1, ...sizes }),
    () => mapCreate(bpf, { type: 9, ...sizes }),
    () => mapCreate(bpf, { type: either, ...sizes }),
    () => mapCreate(admin, { type: any, ...sizes }),
    () => mapCreate(nobody, { type: 4242, ...sizes }),
  );
  const both = "stack" as "stack" | "lru_hash";
  // @ts-expect-error: each of the two asks for CAP_BPF
  refused(() => mapCreate(nobody, { type: both, ...sizes }));
});

Deno.test("ProgToken refuses what the program's type asks for", () => {
  refused(
    // @ts-expect-error: kprobe asks for CAP_BPF and CAP_PERFMON
    () => progLoad(nobody, { type: "kprobe", insns, license }),
    // @ts-expect-error: CAP_PERFMON is missing
    () => progLoad(bpf, { type: "kprobe", insns, license }),
    // @ts-expect-error: CAP_NET_ADMIN is missing
    () => progLoad(bpfPerf, { type: "xdp", insns, license }),
    // @ts-expect-error: CAP_BPF is missing
    () => progLoad(net, { type: "xdp", insns, license }),
    // @ts-expect-error: CAP_PERFMON is missing
    () => progLoad(bpfNet, { type: "ext", insns, license }),
    () => progLoad(nobody, { type: 2, insns, license }),
  );
  accepted(
    () => progLoad(nobody, { type: "socket_filter", insns, license }),
    () => progLoad(nobody, { type: "cgroup_skb", insns, license }),
    () => progLoad(bpfPerf, { type: "kprobe", insns, license }),
    () => progLoad(bpfNet, { type: "xdp", insns, license }),
    () => progLoad(admin, { type: "xdp", insns, license }),
    () => progLoad(admin, { type: "ext", insns, license }),
    () => progLoad(all, { type: "lsm", insns, license }),
    () => progLoad(bpf, { type: "syscall", insns, license }),
    () => progLoad(bpfPerf, { type: 2, insns, license }),
  );
});

Deno.test("AttachToken refuses attaching what anybody may load", () => {
  const target = { fd: 7 };
  refused(
    // @ts-expect-error: CAP_NET_ADMIN is missing
    () => progAttach(nobody, 5, { target, attachType: "cgroup_inet_egress" }),
    // @ts-expect-error: CAP_NET_ADMIN is missing
    () => progAttach(bpf, 5, { target, attachType: "cgroup_inet_ingress" }),
    // @ts-expect-error: CAP_NET_ADMIN is missing
    () => linkCreate(bpf, { prog: 5, target, attachType: "cgroup_inet_egress" }),
    () => linkCreate(bpf, { prog: 5, target, attachType: 1 }),
  );
  accepted(
    () => progAttach(net, 5, { target, attachType: "cgroup_inet_egress" }),
    () => progAttach(admin, 5, { target, attachType: "cgroup_inet_egress" }),
    () => progAttach(nobody, 5, { target, attachType: "cgroup_device" }),
    () => progDetach(nobody, { target, attachType: "cgroup_inet_egress" }),
    () => linkCreate(net, { prog: 5, target, attachType: "cgroup_inet_egress" }),
    () => linkCreate(nobody, { prog: 5, target, attachType: "xdp" }),
    () => linkCreate(admin, { prog: 5, target, attachType: 1 }),
  );
});

Deno.test("CommandToken refuses what the command asks for", () => {
  const query = { target: { fd: 7 }, attachType: "cgroup_device" } as const;
  refused(
    // @ts-expect-error: BPF_PROG_QUERY asks for CAP_NET_ADMIN
    () => progQuery(bpf, query),
    // @ts-expect-error: BPF_BTF_LOAD asks for CAP_BPF
    () => btfLoad(nobody, new Uint8Array(24)),
    // @ts-expect-error: ids ask for CAP_SYS_ADMIN
    () => progGetNextId(bpf),
    // @ts-expect-error: ids ask for CAP_SYS_ADMIN
    () => mapGetNextId(bpfNet),
    // @ts-expect-error: ids ask for CAP_SYS_ADMIN
    () => btfGetNextId(bpfPerf),
    // @ts-expect-error: ids ask for CAP_SYS_ADMIN
    () => linkGetNextId(nobody),
    // @ts-expect-error: ids ask for CAP_SYS_ADMIN
    () => progGetFdById(bpf, 1),
    // @ts-expect-error: ids ask for CAP_SYS_ADMIN
    () => mapGetFdById(bpf, 1),
    // @ts-expect-error: ids ask for CAP_SYS_ADMIN
    () => btfGetFdById(bpf, 1),
    // @ts-expect-error: ids ask for CAP_SYS_ADMIN
    () => linkGetFdById(bpf, 1),
    // @ts-expect-error: BPF_TASK_FD_QUERY asks for CAP_SYS_ADMIN
    () => taskFdQuery(bpfPerf, { pid: 1, fd: 1 }),
    // @ts-expect-error: BPF_ENABLE_STATS asks for CAP_SYS_ADMIN
    () => enableStats(bpf),
  );
  accepted(
    () => progQuery(net, query),
    () => progQuery(admin, query),
    () => btfLoad(bpf, new Uint8Array(24)),
    () => btfLoad(admin, new Uint8Array(24)),
    () => progGetNextId(admin),
    () => mapGetNextId(all),
    () => btfGetNextId(admin),
    () => linkGetNextId(admin),
    () => progGetFdById(admin, 1),
    () => mapGetFdById(admin, 1),
    () => btfGetFdById(all, 1),
    () => linkGetFdById(admin, 1),
    () => taskFdQuery(admin, { pid: 1, fd: 1 }),
    () => enableStats(admin),
    // Asked of old kernels only, and of nobody.
    () => mapFreeze(nobody, 5),
    () => mapLookupElem(nobody, 5, { key: new Uint8Array(4) }),
  );
});

Deno.test("PermissionToken with more capabilities can be passed for one with fewer, and not the other way", () => {
  const takes = (given: PermissionToken<"CAP_BPF">): readonly Capability[] => given.capabilities;
  assertEquals(takes(bpf), ["CAP_BPF"]);
  assertEquals(takes(all), ALL);
  // @ts-expect-error: it has none
  assertEquals(takes(nobody), []);
  // @ts-expect-error: it has another
  assertEquals(takes(net), ["CAP_NET_ADMIN"]);
  // @ts-expect-error: CAP_SYS_ADMIN stands in where a rule says so, not everywhere
  assertEquals(takes(admin), ["CAP_SYS_ADMIN"]);
  // @ts-expect-error: only what it has can be dropped
  assertEquals(bpf.drop("CAP_NET_ADMIN").capabilities, ["CAP_BPF"]);
  const anything: PermissionToken[] = [nobody, bpf, all];
  assertEquals(anything.length, 3);
});
