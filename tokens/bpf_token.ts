/**
 * The kernel's own delegation of bpf(2) rights into a user namespace: the object that BPF_TOKEN_CREATE makes.
 *
 * @module
 */

import type { Fd } from "../ffi/fd.ts";
import { tryReadKernelText } from "../ffi/kernel_file.ts";
import { type AttachType, attachTypes, commands, mapTypes, progTypes } from "../uapi/enums.gen.ts";
import type { CommandName, MapType, ProgType } from "../uapi/enums.gen.ts";

/** What a BPF token allows, as its file system's `delegate_*` mount options said. */
export interface BpfTokenRights {
  /** The bpf(2) commands that may use it. */
  readonly commands: ReadonlySet<CommandName>;
  /** The map types that may be created with it. */
  readonly mapTypes: ReadonlySet<MapType>;
  /** The program types that may be loaded with it. */
  readonly progTypes: ReadonlySet<ProgType>;
  /** The attach types that programs loaded with it may expect. */
  readonly attachTypes: ReadonlySet<AttachType>;
}

function members<N extends string>(names: Readonly<Record<N, number>>, mask: string | undefined): ReadonlySet<N> {
  const all = Object.keys(names) as N[];
  if (mask === undefined) return new Set();
  if (mask === "any") return new Set(all);
  const bits = BigInt(mask);
  return new Set(all.filter((name) => (bits >> BigInt(names[name]) & 1n) === 1n));
}

/**
 * A BPF token: a file descriptor that lets a process inside a user namespace use some bpf(2) commands with the
 * capabilities that it has there. C name: `struct bpf_token`. Since Linux 6.9.
 */
export class BpfToken implements Disposable {
  readonly #fd: Fd;
  /** What it allows. */
  readonly rights: BpfTokenRights;

  /**
   * Takes ownership of a token's file descriptor, as `tokenCreate()` returns it.
   *
   * @param fd The descriptor.
   */
  constructor(fd: Fd) {
    this.#fd = fd;
    const info = tryReadKernelText(`/proc/self/fdinfo/${fd.fd}`) ?? "";
    const mask = (name: string): string | undefined => new RegExp(`^${name}:\\s*(\\S+)`, "m").exec(info)?.[1];
    this.rights = {
      commands: members(commands, mask("allowed_cmds")),
      mapTypes: members(mapTypes, mask("allowed_maps")),
      progTypes: members(progTypes, mask("allowed_progs")),
      attachTypes: members(attachTypes, mask("allowed_attachs")),
    };
  }

  /** The descriptor's number, for as long as the token is open. */
  get fd(): number {
    return this.#fd.fd;
  }

  /** Closes the descriptor. What was made with the token stays. */
  [Symbol.dispose](): void {
    this.#fd.close();
  }
}
