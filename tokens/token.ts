/**
 * Permission tokens: what a script may ask of the kernel, looked up once and passed to every call.
 *
 * A token is not a security boundary by itself: code that holds `--allow-ffi` can call libc without it.
 *
 * @module
 */

import { PermissionError } from "../errors.ts";
import { errnos } from "../uapi/errno.gen.ts";
import type { CommandName } from "../uapi/enums.gen.ts";
import type { BpfToken } from "./bpf_token.ts";
import { capabilities, type Capability } from "./capabilities.ts";
import { type PermissionRequest, refusal } from "./check.ts";
import { type Environment, readEnvironment } from "./environment.ts";
import { remedyFor, setcapCommand } from "./remedy.ts";
import { checkRestrictions, intersect, restrictionAgainst, type Restrictions } from "./restrictions.ts";
import { WeakList } from "./_weak_list.ts";

/** What `token.check()` answers. */
export interface Verdict {
  /** Whether the call may be made, as far as permissions go. */
  readonly allowed: boolean;
  /** The capabilities that are missing; empty where a restriction of the token refuses. */
  readonly missing: readonly Capability[];
  /** The positive error number that the kernel would answer; undefined where a restriction of the token refuses. */
  readonly errno: number | undefined;
  /** Why it is asked for; empty where the call is allowed. */
  readonly reason: string;
  /** What would grant it; empty where the call is allowed. */
  readonly remedy: string;
}

/** One call that was made with an audited token. */
export interface AuditedCall {
  /** The command, in lower case. */
  readonly command: CommandName;
  /** What the kernel answered: ≥ 0, or −errno. */
  readonly result: number;
  /** The call as strace(1) prints it. It is made when it is read: read it inside of the listener. */
  readonly text: string;
}

/** Something that was opened with a token, and is closed when the token is revoked. */
export interface Handle {
  /** Whether it is closed already. */
  readonly closed: boolean;
  /** Closes it; a later use is told the reason. */
  close(reason?: string): void;
}

/** Who is told of the calls of a token. */
export type AuditListener = (call: AuditedCall) => void;

const ALLOWED: Verdict = { allowed: true, missing: [], errno: undefined, reason: "", remedy: "" };

/** What a token needs to be made. */
interface Grant {
  readonly environment: Environment;
  readonly granted: ReadonlySet<Capability>;
  readonly restrictions: Restrictions;
  readonly bpfToken: BpfToken | undefined;
  readonly parent: PermissionToken<never> | undefined;
}

/** What only this module has. */
const KEY: unique symbol = Symbol("permission token");

/** Makes a token. Set by the class itself, which alone can. */
let make: <C extends Capability>(grant: Grant) => PermissionToken<C>;

/** What a later use of a handle is told. */
const REVOKED = "its permission token was revoked";

/**
 * What a script may ask of the kernel: capabilities that the process has, and restrictions that the script gave itself.
 *
 * @example
 * ```ts
 * import { acquire } from "@bpf/deno";
 *
 * const token = acquire("CAP_BPF");
 * const weaker = token.only({ commands: ["map_create"], mapTypes: ["hash"] });
 * console.log(weaker.check({ command: "map_create", mapType: "array" }).reason);
 * ```
 *
 * @typeParam C The union of the capabilities that it grants.
 */
export class PermissionToken<C extends Capability = never> {
  /**
   * Never there at run time: it tells TypeScript that a token with more capabilities can be passed where one with fewer
   * is asked for, and not the other way round.
   */
  declare readonly grants: (capability: C) => void;

  readonly #grant: Grant;
  readonly #derived = new WeakList<PermissionToken<never>>((token) => !token.revoked);
  readonly #listeners = new Set<AuditListener>();
  readonly #handles = new WeakList<Handle>((handle) => !handle.closed);
  /** Commands that were found to be allowed, whatever they are about: what that goes by does not change. */
  readonly #allowed = new Set<CommandName>();
  #revoked = false;

  /** Made by `acquire()`, `acquireDelegated()`, `only()` and `drop()`: the key keeps everybody else from it. */
  private constructor(key: typeof KEY, grant: Grant) {
    if (key !== KEY) throw new TypeError("Cannot make a permission token: call acquire()");
    this.#grant = grant;
  }

  static {
    make = <D extends Capability>(grant: Grant) => new PermissionToken<D>(KEY, grant);
  }

  /** The process and the system that the token was made for. */
  get environment(): Environment {
    return this.#grant.environment;
  }

  /** The capabilities that it grants. */
  get capabilities(): readonly Capability[] {
    return [...this.#grant.granted];
  }

  /** The kernel's own token that is passed along with every command that takes one. */
  get bpfToken(): BpfToken | undefined {
    return this.#grant.bpfToken;
  }

  /** Whether it was restricted to reading. */
  get readOnly(): boolean {
    return this.#grant.restrictions.readOnly ?? false;
  }

  /** Whether it, or a token that it comes from, was revoked. */
  get revoked(): boolean {
    return this.#revoked;
  }

  /** Whether anybody listens to its calls. */
  get audited(): boolean {
    return this.#listeners.size > 0 || (this.#grant.parent?.audited ?? false);
  }

  /**
   * A weaker token.
   *
   * @param restrictions What remains; what an earlier restriction refuses stays refused.
   * @returns A token that allows only what this one and the restrictions allow.
   * @throws {PermissionError} Where this token is revoked.
   * @throws {TypeError} For a restriction that there is not.
   */
  only(restrictions: Restrictions): PermissionToken<C> {
    checkRestrictions(restrictions);
    return this.#derive({ restrictions: intersect(this.#grant.restrictions, restrictions) });
  }

  /**
   * A token without some of the capabilities.
   *
   * @param dropped The capabilities to give up.
   * @returns A token that grants the others.
   * @throws {PermissionError} Where this token is revoked.
   * @throws {TypeError} For a name that is no capability.
   */
  drop<D extends C>(...dropped: D[]): PermissionToken<Exclude<C, D>> {
    checkNames(dropped, "drop a capability");
    const granted = [...this.#grant.granted].filter((name) => !dropped.includes(name as D));
    return this.#derive({ granted: new Set(granted) });
  }

  /** Ends this token and all that were derived from it, and closes what was opened with them. */
  revoke(): void {
    if (this.#revoked) return;
    this.#revoked = true;
    for (const handle of this.#handles.take()) handle.close(REVOKED);
    for (const token of this.#derived.take()) token.revoke();
  }

  /**
   * Whether a call would be allowed, without calling the kernel.
   *
   * @param request The call.
   * @returns The verdict, with what is missing and what would grant it.
   */
  check(request: PermissionRequest): Verdict {
    const { environment, granted, restrictions, bpfToken } = this.#grant;
    const refused = (reason: string, remedy: string): Verdict => ({ ...ALLOWED, allowed: false, reason, remedy });
    if (this.#revoked) return refused("the token was revoked", "Call acquire() again");
    const restriction = restrictionAgainst(restrictions, request);
    if (restriction !== undefined) return refused(restriction, "Use the token that it was derived from");
    const found = refusal(request, { environment, granted, delegated: bpfToken?.rights });
    if (found === undefined) return ALLOWED;
    const { clause, missing } = found;
    const acquired = environment.initialUserNamespace && missing.every((name) => available(name, environment));
    return {
      allowed: false,
      missing,
      errno: errnos[clause.errno],
      reason: clause.why,
      remedy: remedyFor(missing, clause, environment, acquired),
    };
  }

  /**
   * Refuses a call that would not be allowed.
   *
   * @param request The call.
   * @param action What is being done: it follows "Cannot" in the message.
   * @throws {PermissionError} With what is missing, why, and what would grant it.
   */
  assert(request: PermissionRequest, action: string): void {
    const verdict = this.check(request);
    if (!verdict.allowed) throw new PermissionError({ ...verdict, command: request.command, action });
  }

  /**
   * Refuses a command that would not be allowed, where the rules ask for nothing but the command.
   *
   * @param command The command.
   * @param action What is being done: it follows "Cannot" in the message.
   * @throws {PermissionError} With what is missing, why, and what would grant it.
   */
  assertCommand(command: CommandName, action: string): void {
    if (!this.#revoked && this.#allowed.has(command)) return;
    this.assert({ command }, action);
    this.#allowed.add(command);
  }

  /**
   * Remembers a handle that was opened with this token, so that {@link PermissionToken.revoke} of this token and of those
   * that it comes from closes it. It is not kept from the garbage collector.
   *
   * @param handle The handle.
   * @returns The handle, closed where the token was revoked while it was opened.
   */
  adopt<H extends Handle>(handle: H): H {
    if (this.#revoked) {
      handle.close(REVOKED);
      return handle;
    }
    // Not by way of the derived tokens: those may be gone before their handles are.
    this.#grant.parent?.adopt(handle);
    this.#handles.add(handle);
    return handle;
  }

  /**
   * Tells a listener of every bpf(2) call that is made with this token or one derived from it.
   *
   * @param listener Called after each call. What it throws is thrown to the caller.
   * @returns To be disposed of to stop listening.
   */
  audit(listener: AuditListener): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  /**
   * Tells the listeners of this token, and of those that it comes from, of a call.
   *
   * @param call The call.
   */
  report(call: AuditedCall): void {
    for (const listener of this.#listeners) listener(call);
    this.#grant.parent?.report(call);
  }

  #derive<D extends Capability>(change: Partial<Grant>): PermissionToken<D> {
    if (this.#revoked) {
      throw new PermissionError({
        command: "only",
        action: "derive a permission token",
        missing: [],
        reason: "the token was revoked",
        remedy: "Call acquire() again",
      });
    }
    const token = new PermissionToken<D>(KEY, { ...this.#grant, ...change, parent: this });
    this.#derived.add(token);
    return token;
  }
}

/** Any permission token: what functions take that ask for nothing at compile time. */
export type AnyToken = PermissionToken<never>;

/**
 * Makes a token of capabilities without looking at the process, for tests and for the functions below.
 *
 * @param environment The process and its system.
 * @param granted The capabilities.
 * @param bpfToken A BPF token that is passed along with every command that takes one.
 * @returns The token.
 */
export function grantToken<C extends Capability>(
  environment: Environment,
  granted: readonly C[],
  bpfToken?: BpfToken,
): PermissionToken<C> {
  return make({ environment, granted: new Set<Capability>(granted), restrictions: {}, bpfToken, parent: undefined });
}

/** Whether a process may use a capability: CAP_SYS_ADMIN contains the two that were split off from it. */
function available(name: Capability, { capabilities: held }: Environment): boolean {
  return held.has(name) || ((name === "CAP_BPF" || name === "CAP_PERFMON") && held.has("CAP_SYS_ADMIN"));
}

function refuseAcquire(missing: readonly Capability[], reason: string, remedy: string): never {
  throw new PermissionError({ command: "acquire", action: "acquire a permission token", missing, reason, remedy });
}

function checkNames(names: readonly Capability[], action = "acquire a permission token"): void {
  for (const name of names) {
    if (!Object.hasOwn(capabilities, name)) {
      const known = Object.keys(capabilities).join(", ");
      throw new TypeError(`Cannot ${action}: "${name}" is none of ${known}`);
    }
  }
}

/**
 * Looks at the process, and grants the capabilities that are named.
 *
 * @example
 * ```ts
 * import { acquire } from "@bpf/deno";
 *
 * const token = acquire("CAP_BPF", "CAP_NET_ADMIN");
 * console.log(token.check({ command: "prog_load", progType: "xdp" }).allowed);
 * ```
 *
 * @typeParam C The union of the capabilities that are named.
 * @param names The capabilities that the script needs; none for what an unprivileged process may do. CAP_BPF and
 * CAP_PERFMON are granted to a process that has CAP_SYS_ADMIN, of which they were split off.
 * @returns The token.
 * @throws {PermissionError} Where the process lacks one of them, with what would grant it.
 */
export function acquire<C extends Capability = never>(...names: C[]): PermissionToken<C> {
  checkNames(names);
  const environment = readEnvironment();
  if (names.length > 0 && !environment.initialUserNamespace) {
    refuseAcquire(
      names,
      "the process is in a user namespace, whose capabilities do not count for bpf(2)",
      remedyFor(names, { need: names[0], errno: "EPERM", delegable: "6.9", why: "" }, environment, false),
    );
  }
  const missing = names.filter((name) => !available(name, environment));
  if (missing.length > 0) {
    const sysctl = `kernel.unprivileged_bpf_disabled is ${environment.unprivilegedBpfDisabled}`;
    refuseAcquire(missing, `the process does not have it; ${sysctl}`, `Run as root, or ${setcapCommand(missing)}`);
  }
  return grantToken(environment, names);
}

/**
 * Grants capabilities that the process has in its own user namespace, for the commands and types that a BPF token
 * delegates to it. Since Linux 6.9.
 *
 * @typeParam C The union of the capabilities that are named.
 * @param bpfToken The kernel's token, as `tokenCreate()` makes it. The caller keeps it open.
 * @param names The capabilities that the script needs.
 * @returns A permission token that passes the BPF token along.
 * @throws {PermissionError} Where the process lacks one of them in its own user namespace.
 */
export function acquireDelegated<C extends Capability = never>(bpfToken: BpfToken, ...names: C[]): PermissionToken<C> {
  checkNames(names);
  const environment = readEnvironment();
  const missing = names.filter((name) => !available(name, environment));
  if (missing.length > 0) {
    refuseAcquire(missing, "the process does not have it in its user namespace", "Become root of the user namespace");
  }
  return grantToken(environment, names, bpfToken);
}
