/**
 * Which helpers programs of a type may call on the running kernel.
 *
 * @module
 */

import { call, encode, exit } from "../asm/mod.ts";
import type { AnyToken } from "../tokens/token.ts";
import { type HelperName, helpers, type ProgType } from "../uapi/enums.gen.ts";
import { cached } from "./_answer.ts";
import { hasProgType, tryLoad } from "./prog_types.ts";

/** What the verifier says of helpers that there are not, or not for this type. */
const REFUSED = /invalid func |unknown func |program of this type cannot use helper /;

/** Types whose programs are checked against what they attach to before their instructions are looked at. */
const CHECKED_FIRST: ReadonlySet<ProgType> = new Set<ProgType>(["ext"]);

/**
 * Whether programs of a type may call a helper on the running kernel. It is found out by loading a program that calls
 * it without arguments, and by what the verifier complains of.
 *
 * @example
 * ```ts
 * import { acquire, hasHelper } from "@bpf/deno";
 *
 * console.log(hasHelper(acquire("CAP_BPF", "CAP_NET_ADMIN"), "xdp", "redirect_map"));
 * ```
 *
 * @param token A token with what the type and the helper ask for.
 * @param type The program type.
 * @param helper The helper, without `bpf_`.
 * @returns Undefined where it could not be told: the token or the kernel refuses, or the type is one whose programs are
 * not looked at without a target. Other answers are kept for as long as the process lives.
 * @throws {TypeError} For a helper that this library does not know.
 */
export function hasHelper(token: AnyToken, type: ProgType, helper: HelperName): boolean | undefined {
  if (!Object.hasOwn(helpers, helper)) throw new TypeError(`Cannot use helper: "${helper}" is unknown`);
  return cached(`helper ${type} ${helper}`, () => {
    const isThere = hasProgType(token, type);
    if (isThere !== true) return isThere;
    if (CHECKED_FIRST.has(type)) return undefined;
    const { errno, log } = tryLoad(token, type, { insns: encode([call(helper), exit()]) });
    if (errno === 0) return true;
    // Without a log the program was not looked at.
    if (errno === undefined || log === "") return undefined;
    return !REFUSED.test(log);
  });
}

/**
 * The helpers that programs of a type may call on the running kernel.
 *
 * @param token A token with what the type and the helpers ask for.
 * @param type The program type.
 * @returns Their names, without `bpf_`; those that could not be told are left out.
 */
export function helpersFor(token: AnyToken, type: ProgType): HelperName[] {
  return (Object.keys(helpers) as HelperName[]).filter((helper) => hasHelper(token, type, helper) === true);
}
