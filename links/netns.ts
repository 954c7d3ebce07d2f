/**
 * Programs at network namespaces, and at netfilter's hooks in one.
 *
 * @module
 */

import { linkCreate } from "../cmds/link.ts";
import type { FdSource } from "../ffi/fd.ts";
import { openPath } from "../ffi/kernel_file.ts";
import type { AttachToken } from "../tokens/requirements.ts";
import { BPF_F_NETFILTER_IP_DEFRAG } from "../uapi/constants.gen.ts";
import { Link } from "./link.ts";

/** What `attachNetns()` takes besides the program. */
export interface AttachNetnsOptions {
  /** The namespace: a path (`/run/netns/name`), the number of a process, or a descriptor. By default this process's own. */
  netns?: string | number | { readonly fd: number } | undefined;
  /** What the program does there: one `flow_dissector`, or up to 64 `sk_lookup`. */
  attachType: "flow_dissector" | "sk_lookup";
}

/**
 * Attaches a program to a network namespace. Since Linux 5.8; `sk_lookup` since 5.9.
 *
 * @param token A token with CAP_NET_ADMIN.
 * @param prog The program.
 * @param options The namespace, and what the program does there.
 * @returns The link.
 * @throws {SyscallError} ENOENT where there is no such namespace; E2BIG where it has 64, or a flow dissector; EEXIST where
 * it has a flow dissector without a link.
 */
export function attachNetns(
  token: AttachToken<"link_create", "sk_lookup">,
  prog: FdSource,
  options: AttachNetnsOptions,
): Link {
  const { netns = "/proc/self/ns/net", attachType } = options;
  const path = typeof netns === "number" ? `/proc/${netns}/ns/net` : netns;
  using opened = typeof path === "string" ? openPath(path) : undefined;
  const target = { fd: opened ?? (path as FdSource) };
  return new Link(token, linkCreate(token, { prog, target, attachType }));
}

/** A hook of netfilter. C name: `enum nf_inet_hooks`. */
export type NetfilterHook = "prerouting" | "input" | "forward" | "output" | "postrouting";

const HOOKS: Readonly<Record<NetfilterHook, number>> = {
  prerouting: 0,
  input: 1,
  forward: 2,
  output: 3,
  postrouting: 4,
};

/** A family of netfilter. C names: NFPROTO_IPV4, NFPROTO_IPV6. */
export type NetfilterFamily = "ipv4" | "ipv6";

const FAMILIES: Readonly<Record<NetfilterFamily, number>> = { ipv4: 2, ipv6: 10 };

/** What `attachNetfilter()` takes besides the program. */
export interface AttachNetfilterOptions {
  /** The family. C name: `pf`. */
  family: NetfilterFamily;
  /** The hook. C name: `hooknum`. */
  hook: NetfilterHook;
  /** The place among those of the hook: lower runs first; each has one of its own. */
  priority: number;
  /** Whether fragments are put together before. C name: BPF_F_NETFILTER_IP_DEFRAG. Since 6.6. @default {false} */
  defrag?: boolean | undefined;
}

/**
 * Attaches a program to a hook of netfilter, in this process's network namespace. Since Linux 6.4.
 *
 * @param token A token with CAP_NET_ADMIN.
 * @param prog The program, of type `netfilter`: it returns 0 to drop and 1 to accept.
 * @param options The family, the hook, the priority.
 * @returns The link.
 * @throws {TypeError} For a family or a hook that there is not.
 * @throws {SyscallError} EBUSY where the priority is taken; ERANGE for those that netfilter keeps for itself.
 */
export function attachNetfilter(
  token: AttachToken<"link_create", "netfilter">,
  prog: FdSource,
  options: AttachNetfilterOptions,
): Link {
  const { family, hook, priority, defrag = false } = options;
  if (!Object.hasOwn(FAMILIES, family)) throw new TypeError(`Cannot use family: "${family}" is none of ipv4, ipv6`);
  if (!Object.hasOwn(HOOKS, hook)) {
    throw new TypeError(`Cannot use hook: "${hook}" is none of ${Object.keys(HOOKS).join(", ")}`);
  }
  const netfilter = {
    pf: FAMILIES[family],
    hooknum: HOOKS[hook],
    priority,
    flags: defrag ? BPF_F_NETFILTER_IP_DEFRAG : 0,
  };
  return new Link(token, linkCreate(token, { prog, attachType: "netfilter", netfilter }));
}
