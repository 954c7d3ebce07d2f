/**
 * What is attached: links, and attachments of kernels that have no link for them.
 *
 * @module
 */

import { eachObject } from "../cmds/each.ts";
import { linkGetFdById } from "../cmds/id.ts";
import type { LinkInfo } from "../cmds/info.ts";
import { linkDetach, linkUpdate } from "../cmds/link.ts";
import { objGet, objGetInfoByFd, objPin, type PathOptions } from "../cmds/obj.ts";
import { Fd, type FdSource } from "../ffi/fd.ts";
import { tryReadKernelLink } from "../ffi/kernel_file.ts";
import type { CommandToken } from "../tokens/requirements.ts";
import type { AnyToken, Handle, PermissionToken } from "../tokens/token.ts";
import { Afterwards } from "./_afterwards.ts";

/**
 * A program that is attached for as long as this object is open: until its `using` ends, its token is revoked, or the
 * garbage collector comes.
 */
export class Attachment implements Disposable, Handle {
  /** The token that attached it. */
  readonly token: AnyToken;
  /** The descriptor that holds it: of a link, or of a perf event. */
  readonly descriptor: Fd;
  readonly #afterwards: Afterwards | undefined;

  /**
   * Takes over the descriptor that holds an attachment.
   *
   * @param token The token that attached it.
   * @param descriptor The descriptor.
   * @param afterwards What is done once it is closed: what was made for it goes.
   */
  constructor(token: AnyToken, descriptor: Fd, afterwards?: () => void) {
    this.token = token;
    this.descriptor = descriptor;
    if (afterwards === undefined) return;
    this.#afterwards = new Afterwards(this, [descriptor], afterwards);
    token.adopt(this);
  }

  /** The descriptor's number, for as long as it is open. */
  get fd(): number {
    return this.descriptor.as("link");
  }

  /** Whether it is closed. */
  get closed(): boolean {
    return this.descriptor.closed;
  }

  /**
   * Closes it, which detaches the program unless somebody else holds the link; a second call does nothing.
   *
   * @param reason What a later use is told, after "Cannot use link:".
   */
  close(reason?: string): void {
    this.descriptor.close(reason);
    this.#afterwards?.run();
  }

  /** Closes it. */
  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * A program that is attached without anything that holds it: it stays where nobody detaches it, in most places beyond the
 * end of the process.
 */
export class UnlinkedAttachment implements Disposable, Handle {
  readonly #detach: () => void;
  readonly #release: () => void;
  #closed = false;

  /**
   * Remembers how to detach.
   *
   * @param detach Detaches what is still ours.
   * @param release Lets go of what was kept for that, whether it is detached or left.
   */
  constructor(detach: () => void, release: () => void = () => {}) {
    this.#detach = detach;
    this.#release = release;
  }

  /** Whether it was detached, or left. */
  get closed(): boolean {
    return this.#closed;
  }

  /**
   * Detaches the program, unless another one has taken its place.
   *
   * @throws {SyscallError} What the kernel says.
   */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    try {
      this.#detach();
    } finally {
      this.#release();
    }
  }

  /** Leaves the program attached: from now on only others detach it. A second call does nothing. */
  leave(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#release();
  }

  /** Detaches the program. */
  [Symbol.dispose](): void {
    this.close();
  }
}

/** What /proc calls the descriptors of links; those of raw tracepoints had a name of their own before 5.8. */
const LINK = /^anon_inode:\[?bpf[_-](link|raw-tracepoint)/;

/** Where a link is: exactly one of these. */
export type LinkSource =
  | (PathOptions & {
    /** Where it is pinned. */
    path: string;
  })
  | {
    /** A descriptor of it, which is taken over. */
    fd: Fd | number;
  };

/**
 * A link: a program that is attached to something. It outlives this process where it is pinned. Since Linux 5.7.
 *
 * @example
 * ```ts
 * import { acquire, asm, attachRawTracepoint, progLoad } from "@bpf/deno";
 *
 * const token = acquire("CAP_BPF", "CAP_PERFMON");
 * using prog = progLoad(token, { type: "raw_tracepoint", license: "GPL", insns: asm`
 *   r0 = 0
 *   exit
 * ` });
 * using link = attachRawTracepoint(token, prog, "sched_process_exec");
 * console.log(link.info.type);
 * ```
 */
export class Link extends Attachment {
  /**
   * Opens a link by its pin or its descriptor: BPF_OBJ_GET.
   *
   * @param token A permission token.
   * @param source Where it is.
   * @returns The link.
   * @throws {TypeError} Where it is something else than a link.
   * @throws {SyscallError} ENOENT where there is none.
   */
  static open(token: AnyToken, source: LinkSource): Link;
  /**
   * Opens a link by its id: BPF_LINK_GET_FD_BY_ID.
   *
   * @param token A token with CAP_SYS_ADMIN.
   * @param source Its id.
   * @returns The link.
   * @throws {SyscallError} ENOENT where there is none (any more).
   */
  static open(token: CommandToken<"link_get_fd_by_id">, source: { id: number }): Link;
  static open(token: AnyToken, source: LinkSource | { id: number }): Link {
    const fd = "id" in source
      ? linkGetFdById(token as PermissionToken<"CAP_SYS_ADMIN">, source.id)
      : "path" in source
      ? objGet(token, source.path, { directory: source.directory })
      : typeof source.fd === "number"
      ? token.adopt(Fd.own(source.fd))
      : source.fd;
    const what = tryReadKernelLink(`/proc/self/fd/${fd.as("link")}`);
    // The kernel tells about maps and programs in the same way: their numbers would be taken for a link's.
    if (what !== undefined && !LINK.test(what)) {
      fd.close();
      throw new TypeError(`Cannot open a link: the file descriptor is of no link, but of ${what}`);
    }
    return new Link(token, fd);
  }

  /**
   * Goes through all links of the system. Each is closed when the next one is asked for, and at the end.
   *
   * @param token A token with CAP_SYS_ADMIN.
   * @returns The links, by rising id; those that go meanwhile are left out.
   */
  static *all(token: CommandToken<"link_get_fd_by_id">): Generator<Link, void, undefined> {
    for (const { keep } of eachObject(token, "link")) {
      using link = new Link(token, keep());
      yield link;
    }
  }

  /** What the kernel tells about it, by its type. C name: `struct bpf_link_info`. */
  get info(): LinkInfo {
    return objGetInfoByFd(this.token, this.descriptor, { kind: "link" });
  }

  /**
   * Puts another program in the place of this one, without a moment in which none is attached: BPF_LINK_UPDATE.
   *
   * @param prog The new program.
   * @param options The program that has to be there.
   * @throws {SyscallError} EPERM where another program is there; EINVAL and EOPNOTSUPP for links that cannot be updated.
   */
  update(prog: FdSource, options: { expected?: FdSource | undefined } = {}): void {
    linkUpdate(this.token, this.descriptor, { prog, ...options });
  }

  /**
   * Detaches the program while the link lives on: BPF_LINK_DETACH. Since Linux 5.9.
   *
   * @throws {SyscallError} EOPNOTSUPP for links that are detached by closing them only.
   */
  detach(): void {
    linkDetach(this.token, this.descriptor);
  }

  /**
   * Gives the link a name on a bpffs, which keeps the program attached: BPF_OBJ_PIN.
   *
   * @param path The path.
   * @param options The directory that it is relative to.
   */
  pin(path: string, options: PathOptions = {}): void {
    objPin(this.token, this.descriptor, { ...options, path });
  }
}
