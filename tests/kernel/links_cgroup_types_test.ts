import { assertEquals } from "@std/assert";
import {
  attachCgroup,
  attached,
  attachUnlinked,
  type CgroupAttachType,
  hasAttachType,
  hasProgType,
  objGetInfoByFd,
  type ProgType,
} from "../../mod.ts";
import { attachTypes } from "../../uapi/enums.gen.ts";
import { kernelSince, kernelTest } from "../_kernel_test.ts";
import { makeCgroup, rootToken, simpleProg } from "./_objects.ts";

/** The program types that are not told by the attach type's name. */
const PROG_TYPES: { readonly [T in CgroupAttachType]?: ProgType } = {
  cgroup_inet_ingress: "cgroup_skb",
  cgroup_inet_egress: "cgroup_skb",
  cgroup_inet_sock_create: "cgroup_sock",
  cgroup_inet_sock_release: "cgroup_sock",
  cgroup_inet4_post_bind: "cgroup_sock",
  cgroup_inet6_post_bind: "cgroup_sock",
  cgroup_sock_ops: "sock_ops",
  cgroup_device: "cgroup_device",
  cgroup_sysctl: "cgroup_sysctl",
  cgroup_getsockopt: "cgroup_sockopt",
  cgroup_setsockopt: "cgroup_sockopt",
};

/** Those of which a link or BPF_PROG_ATTACH is another matter: LSM hooks are told by BTF, and have a test of their own. */
const CGROUP_TYPES = Object.keys(attachTypes).filter((name) => name.startsWith("cgroup_")) as CgroupAttachType[];

kernelTest("attachCgroup() and attachUnlinked() attach by every attach type of cgroups that the kernel has", {
  needs: ["cgroup"],
}, () => {
  const token = rootToken();
  using cgroup = makeCgroup("types");
  const where = { cgroup: cgroup.path };
  let attachedTypes = 0;
  for (const attachType of CGROUP_TYPES) {
    const type = PROG_TYPES[attachType] ?? "cgroup_sock_addr";
    if (hasProgType(token, type) === false || hasAttachType(token, attachType) === false) continue;
    // getpeername, getsockname and recvmsg programs may only let things pass.
    using prog = simpleProg(token, type, { value: 1, expectedAttachType: attachType });
    const progId = objGetInfoByFd(token, prog, { kind: "prog" }).id;
    const ways = {
      link: () => attachCgroup(token, prog, { ...where, attachType }),
      unlinked: () => attachUnlinked(token, prog, { ...where, attachType, allow: "multi" }),
    };
    for (const [way, attach] of Object.entries(ways)) {
      const attachment = attach();
      assertEquals(
        attached(token, where).map((one) =>
          one.where === "cgroup" && [one.attachType, one.progId, one.linkId !== undefined]
        ),
        [[attachType, progId, way === "link"]],
        attachType,
      );
      attachment.close();
      assertEquals(attached(token, where), [], attachType);
    }
    attachedTypes++;
  }
  // 5.10 has all but those of Unix sockets, which came with 6.7.
  assertEquals(attachedTypes, CGROUP_TYPES.length - (kernelSince("6.7")() === undefined ? 0 : 5));
});
