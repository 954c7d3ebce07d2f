/**
 * Programs at USDT probes.
 *
 * @module
 */

import { mapGetFdById } from "../cmds/id.ts";
import { objGetInfoByFd } from "../cmds/obj.ts";
import { NotSupportedError, SyscallError } from "../errors.ts";
import type { FdSource } from "../ffi/fd.ts";
import { tryReadKernelText } from "../ffi/kernel_file.ts";
import type { AnyToken, PermissionToken } from "../tokens/token.ts";
import { errnos } from "../uapi/errno.gen.ts";
import { findBinary, readBinary } from "./_binary.ts";
import { attachProbe, type ProbeMode } from "./_probe.ts";
import { clearAddressSpec, setAddressSpec, UsdtSpecs } from "./_usdt_spec.ts";
import { attachEach, AttachmentGroup } from "./group.ts";
import type { Attachment } from "./link.ts";
import { attachUprobeMulti } from "./uprobe_multi.ts";
import { readUsdtProbes, type UsdtProbe } from "./usdt.ts";

/** The maps of libbpf's usdt.bpf.h, by which a program reads a probe's arguments and cookie. */
export interface UsdtMaps {
  /** The map `__bpf_usdt_specs`. */
  specs: FdSource;
  /** The map `__bpf_usdt_ip_to_spec_id`, for kernels without cookies (before 5.15). */
  ipToSpecId?: FdSource | undefined;
}

/** What `attachUsdt()` takes besides the program. */
export interface AttachUsdtOptions {
  /** The program or library: the path of its file, or a name, as for `attachUprobe()`. It is read. */
  path: string;
  /** Who defines the probe. */
  provider: string;
  /** The probe's name. */
  name: string;
  /** Only in this process; 0 for the own one. By default in all. */
  pid?: number | undefined;
  /** What bpf_usdt_cookie() returns in the program. @default {0n} */
  cookie?: bigint | undefined;
  /** The maps of the program; by default those that it uses, found by their names with CAP_SYS_ADMIN. */
  maps?: UsdtMaps | undefined;
  /** How each probe is made where the kernel cannot take them all with one link. @default {"auto"} */
  mode?: ProbeMode | undefined;
  /** Where tracefs is mounted. By default where it usually is. @default {"/sys/kernel/tracing"} */
  tracefs?: string | undefined;
}

/** The names of the maps as the kernel keeps them: 15 characters. */
const SPECS = "__bpf_usdt_specs".slice(0, 15);
const ADDRESSES = "__bpf_usdt_ip_to_spec_id".slice(0, 15);

/** Maps of a program, opened for the call. */
interface FoundMaps extends Disposable, Partial<UsdtMaps> {}

/** The maps that a program uses; none for programs that read no arguments. */
function mapsOf(token: AnyToken, prog: FdSource, given: UsdtMaps | undefined): FoundMaps {
  if (given !== undefined) return { ...given, [Symbol.dispose]: () => {} };
  const stack = new DisposableStack();
  try {
    const { mapIds } = objGetInfoByFd(token, prog, { kind: "prog", details: ["mapIds"] });
    const found = new Map<string, FdSource>();
    for (const id of mapIds ?? []) {
      const map = stack.use(mapGetFdById(token as PermissionToken<"CAP_SYS_ADMIN">, id));
      found.set(objGetInfoByFd(token, map, { kind: "map" }).name, map);
    }
    const specs = found.get(SPECS);
    const ipToSpecId = found.get(ADDRESSES);
    const opened = stack.move();
    return { ...(specs === undefined ? {} : { specs, ipToSpecId }), [Symbol.dispose]: () => opened.dispose() };
  } finally {
    stack.dispose();
  }
}

/** The address at which a process has a place of a file. */
function mappedAddress(pid: number, path: string, offset: number): bigint | undefined {
  const maps = tryReadKernelText(`/proc/${pid === 0 ? "self" : pid}/maps`) ?? "";
  const real = Deno.realPathSync(path);
  for (const line of maps.split("\n")) {
    const [, start, end, mapped, file] = /^([0-9a-f]+)-([0-9a-f]+) ..x. ([0-9a-f]+) \S+ \d+\s+(.*)$/.exec(line) ?? [];
    if (file !== real) continue;
    const [from, to, at] = [start, end, mapped].map((text) => BigInt(`0x${text}`));
    if (BigInt(offset) >= at && BigInt(offset) < at + to - from) return from + BigInt(offset) - at;
  }
  return undefined;
}

/** ET_EXEC: a program at a fixed address. */
const FIXED = 2;

/** Attaches to all places with one link; undefined where the kernel or the program is not made for it. */
function attachAtOnce(
  token: AnyToken,
  prog: FdSource,
  path: string,
  { probes, cookies, pid }: {
    probes: readonly UsdtProbe[];
    cookies: readonly bigint[] | undefined;
    pid?: number | undefined;
  },
): Attachment | undefined {
  const counted = probes.some(({ semaphoreOffset }) => semaphoreOffset !== undefined);
  try {
    return attachUprobeMulti(token, prog, {
      path,
      offsets: probes.map(({ offset }) => BigInt(offset)),
      refCtrOffsets: counted ? probes.map(({ semaphoreOffset = 0 }) => BigInt(semaphoreOffset)) : undefined,
      cookies,
      pid: pid === 0 ? Deno.pid : pid,
    });
  } catch (error) {
    if (error instanceof NotSupportedError) return undefined;
    if (error instanceof SyscallError && error.errno === errnos.EINVAL) return undefined;
    throw error;
  }
}

/**
 * Attaches a program to a USDT probe, at each place that it has, and tells the program where the arguments are: by the maps
 * of libbpf's usdt.bpf.h, which the program reads with bpf_usdt_arg(). With one link where the kernel has uprobe.multi
 * (6.6) and the program was loaded with the attach type `trace_uprobe_multi`, else with one a place. Since Linux 4.20 for
 * probes with semaphores; on kernels before 5.15 a library's probes need `pid` where the program reads arguments.
 *
 * @example
 * ```ts
 * import { acquire, asm, attachUsdt, progLoad } from "@bpf/deno";
 *
 * const token = acquire("CAP_BPF", "CAP_PERFMON", "CAP_SYS_ADMIN");
 * using prog = progLoad(token, { type: "kprobe", license: "GPL", insns: asm`
 *   r0 = 0
 *   exit
 * ` });
 * using probe = attachUsdt(token, prog, { path: "libc.so.6", provider: "libc", name: "setjmp" });
 * console.log(probe.attachments.length);
 * ```
 *
 * @param token A permission token.
 * @param prog The program, of type `kprobe`.
 * @param options The file, the probe, the process, a cookie, and the program's maps.
 * @returns The attachments.
 * @throws {TypeError} Where there is no such file or probe.
 * @throws {SyntaxError} Where the file is no ELF file.
 * @throws {NotSupportedError} For an argument that programs cannot read, and where the kernel was built without uprobes.
 * @throws {RangeError} Where the map of specs is full.
 */
export function attachUsdt(token: AnyToken, prog: FdSource, options: AttachUsdtOptions): AttachmentGroup {
  const { provider, name, pid, cookie = 0n, mode, tracefs } = options;
  const path = findBinary(options.path);
  const elf = readBinary(path);
  const probes = readUsdtProbes(elf).filter((probe) => probe.provider === provider && probe.name === name);
  if (probes.length === 0) throw new TypeError(`Cannot attach to a USDT probe: ${path} has no "${provider}:${name}"`);
  using maps = mapsOf(token, prog, options.maps);
  const specs = maps.specs === undefined ? undefined : new UsdtSpecs(token, maps.specs);
  let undo = (): void => specs?.releaser()();
  try {
    const ids = specs === undefined ? undefined : probes.map((probe) => specs.idOf(probe.arguments, cookie));
    // What is kept is the numbers, not the map.
    undo = specs?.releaser() ?? (() => {});
    const cookies = ids?.map(BigInt);
    const single = (by: ProbeMode | undefined, withCookie: boolean): Attachment[] =>
      attachEach(probes.keys(), (index) => {
        const { offset, semaphoreOffset = 0 } = probes[index];
        return attachProbe(token, prog, { kind: "uprobe", target: path, offset, refCtrOffset: semaphoreOffset }, {
          pid,
          tracefs,
          mode: by,
          cookie: withCookie ? cookies?.[index] : undefined,
        });
      });
    const atOnce = mode === undefined || mode === "auto"
      ? attachAtOnce(token, prog, path, { probes, cookies, pid })
      : undefined;
    if (atOnce !== undefined) return new AttachmentGroup(token, [atOnce], undo);
    try {
      if (ids === undefined || mode !== "perf") return new AttachmentGroup(token, single(mode, true), undo);
    } catch (error) {
      if (!(error instanceof NotSupportedError) || maps.ipToSpecId === undefined || ids === undefined) throw error;
    }
    // Without cookies the program finds its spec by the address that it is at.
    const addresses = probes.map(({ address, offset }) => {
      const found = elf.type === FIXED
        ? BigInt(address)
        : pid === undefined
        ? undefined
        : mappedAddress(pid, path, offset);
      if (found !== undefined) return found;
      throw new NotSupportedError("arguments of a library's USDT probes in all processes", { since: "5.15" });
    });
    const ipToSpecId = maps.ipToSpecId;
    if (ipToSpecId === undefined) throw new TypeError("Cannot use maps: without cookies there has to be an ipToSpecId");
    return attachByAddress(token, { ids, addresses, ipToSpecId, release: undo, attach: () => single(mode, false) });
  } catch (error) {
    undo();
    throw error;
  }
}

/** Writes the specs of addresses, attaches, and takes them back when the attachments are closed. */
function attachByAddress(token: AnyToken, parts: {
  readonly ids: readonly number[];
  readonly addresses: readonly bigint[];
  readonly ipToSpecId: FdSource;
  readonly release: () => void;
  readonly attach: () => Attachment[];
}): AttachmentGroup {
  const { ids, addresses, release, attach } = parts;
  const { id } = objGetInfoByFd(token, parts.ipToSpecId, { kind: "map" });
  // The caller may close the map: the addresses are taken back by a descriptor of their own.
  const map = mapGetFdById(token as PermissionToken<"CAP_SYS_ADMIN">, id);
  const clear = (): void => {
    // Where the token was revoked, nobody may write to the map any more.
    if (!map.closed) { for (const address of addresses) clearAddressSpec(token, map, address); }
    map.close();
    release();
  };
  try {
    addresses.forEach((address, index) => setAddressSpec(token, map, address, ids[index]));
    return new AttachmentGroup(token, attach(), clear);
  } catch (error) {
    clear();
    throw error;
  }
}
