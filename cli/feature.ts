/**
 * What the kernel supports: `bpf feature …`.
 *
 * @module
 */

import { hasFeature, hasHelper, hasMapType, hasProgType } from "../features/mod.ts";
import { tryReadKernelText } from "../ffi/kernel_file.ts";
import { readKernelConfig } from "../features/kernel_config.ts";
import { acquire, type AnyToken } from "../tokens/token.ts";
import {
  attachTypes,
  type HelperName,
  helpers,
  linkTypes,
  type MapType,
  mapTypes,
  type ProgType,
  progTypes,
} from "../uapi/enums.gen.ts";
import type { CommandGroup } from "./_command.ts";
import type { Json } from "./_json.ts";
import type { Session } from "./_session.ts";
import { CommandError, type Words } from "./_words.ts";

/** The options of the kernel's build that matter to BPF, as bpftool lists them. */
const OPTIONS = [
  "BPF",
  "BPF_SYSCALL",
  "HAVE_EBPF_JIT",
  "BPF_JIT",
  "BPF_JIT_ALWAYS_ON",
  "DEBUG_INFO_BTF",
  "DEBUG_INFO_BTF_MODULES",
  "CGROUPS",
  "CGROUP_BPF",
  "CGROUP_NET_CLASSID",
  "SOCK_CGROUP_DATA",
  "BPF_EVENTS",
  "KPROBE_EVENTS",
  "UPROBE_EVENTS",
  "TRACING",
  "FTRACE_SYSCALLS",
  "FUNCTION_ERROR_INJECTION",
  "BPF_KPROBE_OVERRIDE",
  "NET",
  "XDP_SOCKETS",
  "LWTUNNEL_BPF",
  "NET_ACT_BPF",
  "NET_CLS_BPF",
  "NET_CLS_ACT",
  "NET_SCH_INGRESS",
  "XFRM",
  "IP_ROUTE_CLASSID",
  "IPV6_SEG6_BPF",
  "BPF_LIRC_MODE2",
  "BPF_STREAM_PARSER",
  "NETFILTER_XT_MATCH_BPF",
  "BPFILTER",
  "BPFILTER_UMH",
  "TEST_BPF",
  "HZ",
] as const;

/** The settings of the running kernel, by bpftool's names. */
const SETTINGS: Readonly<Record<string, string>> = {
  unprivileged_bpf_disabled: "/proc/sys/kernel/unprivileged_bpf_disabled",
  bpf_jit_enable: "/proc/sys/net/core/bpf_jit_enable",
  bpf_jit_harden: "/proc/sys/net/core/bpf_jit_harden",
  bpf_jit_kallsyms: "/proc/sys/net/core/bpf_jit_kallsyms",
  bpf_jit_limit: "/proc/sys/net/core/bpf_jit_limit",
};

/** What settings mean, as bpftool says it. */
const MEANINGS: Readonly<Record<string, (value: number) => string>> = {
  unprivileged_bpf_disabled: (value) =>
    [
      "bpf() syscall for unprivileged users is enabled",
      "bpf() syscall restricted to privileged users (without recovery)",
      "bpf() syscall restricted to privileged users (admin can change)",
    ][value] ?? `bpf() syscall restriction has unknown value ${value}`,
  bpf_jit_enable: (value) =>
    [
      "JIT compiler is disabled",
      "JIT compiler is enabled",
      "JIT compiler is enabled with debugging traces in kernel logs",
    ][value] ??
      `JIT-compiler status has unknown value ${value}`,
  bpf_jit_harden: (value) =>
    [
      "JIT compiler hardening is disabled",
      "JIT compiler hardening is enabled for unprivileged users",
      "JIT compiler hardening is enabled for all users",
    ][value] ?? `JIT hardening status has unknown value ${value}`,
  bpf_jit_kallsyms: (value) =>
    ["JIT compiler kallsyms exports are disabled", "JIT compiler kallsyms exports are enabled for root"][value] ??
      `JIT kallsyms exports status has unknown value ${value}`,
  bpf_jit_limit: (value) => `Global memory limit for JIT compiler for unprivileged users is ${value} bytes`,
};

/** Helpers that write to the kernel's log where they are tried: left out but in a full probe. */
const NOISY: ReadonlySet<string> = new Set(["trace_printk", "trace_vprintk", "probe_write_user"]);

const MISC = {
  have_large_insn_limit: "large_insns",
  have_bounded_loops: "bounded_loops",
  have_v2_isa_extension: "isa_v2",
  have_v3_isa_extension: "isa_v3",
} as const;

const MISC_TEXTS: Readonly<Record<keyof typeof MISC, string>> = {
  have_large_insn_limit: "Large program size limit",
  have_bounded_loops: "Bounded loop support",
  have_v2_isa_extension: "ISA extension v2",
  have_v3_isa_extension: "ISA extension v3",
};

const names = <T extends string>(table: Readonly<Record<T, unknown>>): T[] =>
  (Object.keys(table) as T[]).filter((name) => name !== "unspec");

/** All that was found out. */
interface Probed {
  readonly settings: ReadonlyMap<string, number | undefined>;
  readonly config: ReadonlyMap<string, string | undefined>;
  readonly syscall: boolean;
  readonly progTypes: ReadonlyMap<ProgType, boolean | undefined>;
  readonly mapTypes: ReadonlyMap<MapType, boolean | undefined>;
  readonly helpers: ReadonlyMap<ProgType, readonly HelperName[]>;
  readonly misc: ReadonlyMap<keyof typeof MISC, boolean | undefined>;
}

/** Shows how far long work is, where somebody watches. */
function progress(session: Session, text: string): void {
  if (session.isText && session.output.terminal) session.output.err(`\r\x1b[K${text}`);
}

function probe(session: Session, token: AnyToken, full: boolean): Probed {
  const config = readKernelConfig();
  const progs = new Map(names<ProgType>(progTypes).map((type) => [type, hasProgType(token, type)] as const));
  const maps = new Map(names<MapType>(mapTypes).map((type) => [type, hasMapType(token, type)] as const));
  const found = new Map<ProgType, HelperName[]>();
  for (const [type, isThere] of progs) {
    progress(session, `helpers of ${type} …`);
    const tried = names<HelperName>(helpers).filter((helper) => full || !NOISY.has(helper));
    found.set(type, isThere ? tried.filter((helper) => hasHelper(token, type, helper) === true) : []);
  }
  progress(session, "");
  return {
    settings: new Map(
      Object.entries(SETTINGS).map(([name, path]) => {
        const text = tryReadKernelText(path);
        return [name, text === undefined ? undefined : Number(text)] as const;
      }),
    ),
    config: new Map(OPTIONS.map((name) => [`CONFIG_${name}`, config?.get(`CONFIG_${name}`)] as const)),
    syscall: [...progs.values(), ...maps.values()].some((one) => one !== undefined),
    progTypes: progs,
    mapTypes: maps,
    helpers: found,
    misc: new Map(
      (Object.keys(MISC) as (keyof typeof MISC)[]).map((name) => [name, hasFeature(token, MISC[name])] as const),
    ),
  };
}

function json(probed: Probed, whole: boolean): { readonly [name: string]: Json } {
  const flags = (entries: ReadonlyMap<string, boolean | undefined>, suffix: string): Json =>
    Object.fromEntries([...entries].map(([name, value]) => [`have_${name}${suffix}`, value ?? false]));
  return {
    ...(whole
      ? {
        system_config: {
          ...Object.fromEntries([...probed.settings].map(([name, value]) => [name, value ?? -1])),
          ...Object.fromEntries([...probed.config].map(([name, value]) => [name, value ?? null])),
        },
      }
      : {}),
    syscall_config: { have_bpf_syscall: probed.syscall },
    program_types: flags(probed.progTypes, "_prog_type"),
    map_types: flags(probed.mapTypes, "_map_type"),
    helpers: Object.fromEntries(
      [...probed.helpers].map(([type, list]) => [`${type}_available_helpers`, list.map((name) => `bpf_${name}`)]),
    ),
    misc: Object.fromEntries([...probed.misc].map(([name, value]) => [name, value ?? false])),
  };
}

function text(probed: Probed, whole: boolean): string {
  const yes = (value: boolean | undefined): string =>
    value ? "available" : value === undefined ? "unknown" : "NOT available";
  const parts: string[] = [];
  if (whole) {
    const settings = [...probed.settings].map(([name, value]) =>
      value === undefined ? `Unable to retrieve ${name}` : MEANINGS[name](value)
    );
    const config = [...probed.config].map(([name, value]) =>
      value === undefined ? `${name} is not set` : `${name} is set to ${value}`
    );
    parts.push(["Scanning system configuration...", ...settings, ...config].join("\n"));
  }
  parts.push(`Scanning system call availability...\nbpf() syscall is ${yes(probed.syscall)}`);
  const list = (title: string, noun: string, entries: ReadonlyMap<string, boolean | undefined>): void => {
    parts.push([title, ...[...entries].map(([name, value]) => `eBPF ${noun} ${name} is ${yes(value)}`)].join("\n"));
  };
  list("Scanning eBPF program types...", "program_type", probed.progTypes);
  list("Scanning eBPF map types...", "map_type", probed.mapTypes);
  parts.push([
    "Scanning eBPF helper functions...",
    ...[...probed.helpers].flatMap(([type, found]) => [
      `eBPF helpers supported for program type ${type}:${found.length === 0 ? " none" : ""}`,
      ...found.map((name) => `\t- bpf_${name}`),
    ]),
  ].join("\n"));
  parts.push([
    "Scanning miscellaneous eBPF features...",
    ...[...probed.misc].map(([name, value]) => `${MISC_TEXTS[name]} is ${yes(value)}`),
  ].join("\n"));
  return `${parts.join("\n\n")}\n`;
}

/** As a C header: `#define HAVE_…`. */
function macros(probed: Probed, prefix: string): string {
  const define = (name: string, value: boolean | undefined): string =>
    `#define ${prefix}${value ? "" : "NO_"}${name.toUpperCase()}\n`;
  let lines = `/*** System call availability ***/\n${define("HAVE_BPF_SYSCALL", probed.syscall)}`;
  lines += "\n/*** eBPF program types ***/\n";
  for (const [name, value] of probed.progTypes) lines += define(`HAVE_${name}_PROG_TYPE`, value);
  lines += "\n/*** eBPF map types ***/\n";
  for (const [name, value] of probed.mapTypes) lines += define(`HAVE_${name}_MAP_TYPE`, value);
  lines += `\n/*** eBPF helper functions ***/
/*
 * Use ${prefix}HAVE_PROG_TYPE_HELPER(prog_type_name, helper_name)
 * to determine if <helper_name> is available for <prog_type_name>,
 * e.g.
 *	#if ${prefix}HAVE_PROG_TYPE_HELPER(xdp, bpf_redirect)
 *		// do stuff with this helper
 *	#elif
 *		// use a workaround
 *	#endif
 */
#define ${prefix}HAVE_PROG_TYPE_HELPER(prog_type, helper)	\\
	${prefix}BPF__PROG_TYPE_ ## prog_type ## __HELPER_ ## helper
`;
  for (const [type, list] of probed.helpers) {
    for (const name of names(helpers)) {
      lines += `#define ${prefix}BPF__PROG_TYPE_${type}__HELPER_bpf_${name} ${list.includes(name) ? 1 : 0}\n`;
    }
  }
  lines += "\n/*** eBPF misc features ***/\n";
  for (const [name, value] of probed.misc) lines += define(name, value);
  return lines;
}

function probeCommand(session: Session, words: Words): void {
  let [full, unprivileged] = [false, false];
  let prefix: string | undefined;
  while (words.left > 0) {
    if (words.accept("kernel")) continue;
    else if (words.accept("full")) full = true;
    else if (words.accept("unprivileged")) unprivileged = true;
    else if (words.accept("macros")) prefix ??= "";
    else if (words.accept("prefix")) {
      if (prefix === undefined) throw new CommandError("'prefix' argument can only be use after 'macros'");
      prefix = words.next("a prefix");
    } else if (words.accept("dev")) {
      throw new CommandError("no device here loads programs: offload is not probed");
    } else {throw new CommandError(
        `expected no more arguments, 'kernel', 'dev', 'macros' or 'prefix', got: '${words.peek}'?`,
      );}
  }
  const probed = probe(session, unprivileged ? acquire() : session.token, full);
  session.answer({
    json: () => json(probed, !unprivileged),
    v1: ["feature.probe", () => json(probed, true)],
    text: () => prefix === undefined ? text(probed, !unprivileged) : macros(probed, prefix),
  });
}

/** What this library knows by name. */
const BUILTINS: Readonly<Record<string, () => readonly string[]>> = {
  prog_types: () => ["unspec", ...names(progTypes)],
  map_types: () => ["unspec", ...names(mapTypes)],
  attach_types: () => names(attachTypes),
  link_types: () => ["unspec", ...names(linkTypes)],
  helpers: () => ["bpf_unspec", ...names(helpers).map((name) => `bpf_${name}`)],
};

function listBuiltins(session: Session, words: Words): void {
  const word = words.next("a group");
  words.end();
  const found = Object.keys(BUILTINS).find((name) => name.startsWith(word));
  if (found === undefined) {
    throw new CommandError(`failed to get builtins for '${word}', expected one of ${Object.keys(BUILTINS).join(", ")}`);
  }
  const list = BUILTINS[found]();
  session.answer({ json: () => list, v1: ["feature.list_builtins", () => list], text: () => `${list.join("\n")}\n` });
}

/** What the kernel supports. */
export const group: CommandGroup = {
  usage: `Usage: {} feature probe [kernel] [full] [unprivileged] [macros [prefix PREFIX]]
       {} feature list_builtins GROUP

       GROUP := { prog_types | map_types | attach_types | link_types | helpers }
`,
  commands: { probe: probeCommand, list_builtins: listBuiltins },
};
