/**
 * The compile-time side of the rules: which permission tokens a function accepts. Types refuse only what no value of
 * kernel.unprivileged_bpf_disabled would allow, and accept CAP_SYS_ADMIN where the kernel does.
 *
 * @module
 */

import type { ClauseName, clauses, rules } from "./rules.ts";
import type { PermissionToken } from "./token.ts";

/** The clauses that hold in every process of a current kernel: no sysctl, no old release, no user namespace. */
export type Always<N extends ClauseName> = N extends ClauseName
  ? (typeof clauses)[N] extends { when: string } | { until: string } | { namespace: string } ? never : N
  : never;

/** The capabilities that a rule asks for in every process of a current kernel. */
export type Needs<R extends readonly ClauseName[]> = (typeof clauses)[Always<R[number]>]["need"];

/**
 * The tokens that pass a rule: one that has all that the rule asks for, or CAP_SYS_ADMIN, which stands in for each.
 *
 * @typeParam R The rule: a list of clause names.
 */
export type TokenFor<R extends readonly ClauseName[]> = [Needs<R>] extends [never] ? PermissionToken<never>
  : PermissionToken<Needs<R>> | PermissionToken<"CAP_SYS_ADMIN">;

/**
 * The tokens that a command accepts.
 *
 * @typeParam N The command's name.
 */
export type CommandToken<N extends string> = N extends keyof typeof rules.commands
  ? TokenFor<(typeof rules.commands)[N]>
  : PermissionToken<never>;

/**
 * The tokens with which maps of a type can be created.
 *
 * @typeParam T The type's name, or number, for which nothing is known at compile time.
 */
export type MapToken<T extends string | number> = T extends keyof typeof rules.mapTypes
  ? TokenFor<(typeof rules.mapTypes)[T]>
  : PermissionToken<never>;

/**
 * The tokens with which programs of a type can be loaded.
 *
 * @typeParam T The type's name, or number, for which nothing is known at compile time.
 */
export type ProgToken<T extends string | number> = T extends keyof typeof rules.progTypes
  ? TokenFor<(typeof rules.progTypes)[T]>
  : PermissionToken<never>;

/**
 * The tokens with which programs can be attached by a command and an attach type.
 *
 * @typeParam N The command's name.
 * @typeParam T The attach type's name, or number, for which nothing is known at compile time.
 */
export type AttachToken<N extends keyof typeof rules.attachTypes, T extends string | number> = T extends
  keyof (typeof rules.attachTypes)[N] ? TokenFor<Extract<(typeof rules.attachTypes)[N][T], readonly ClauseName[]>>
  : PermissionToken<never>;
